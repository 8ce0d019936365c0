"""The teachers of a configuration as pools."""

from collections.abc import Iterable, Mapping
from typing import Any

from phis_lab.config.build import build
from phis_lab.config.teachers import TeacherOptions
from phis_lab.data import Partition
from phis_lab.features import Grid
from phis_lab.precision import Precision
from phis_lab.teachers import Teacher, TeacherPool, at_image_size, at_smallest_sizes, share_parameters


class Catalogue:
    """Every teacher, built once for each image size that is asked for; sizes share the weights that do not differ.

    Args:
        members: the teachers' nodes by name.
        options: of the set.
        precision: of their forward passes.
    """

    def __init__(self, members: Mapping[str, Any], options: TeacherOptions, precision: Precision) -> None:
        self.members, self.options, self.precision = members, options, precision
        self._built: dict[str, dict[int, Teacher]] = {}

    def pool(self, partition: Partition, grids: Iterable[Grid]) -> TeacherPool:
        """The teachers that see a partition.

        Args:
            partition: says who, and at which size.
            grids: token grids of the students, which set the image sizes where `options.smallest` asks for it.

        Raises:
            ValueError: a teacher refused an option, or its weights cannot be reached.
        """
        factors = partition.factors(self.members)
        nodes = {name: at_image_size(self.members[name], factor) for name, factor in factors.items()}
        if self.options.smallest:
            nodes = at_smallest_sizes(nodes, grids)
        teachers = {name: self._teacher(name, node) for name, node in nodes.items()}
        return TeacherPool(teachers, self.precision, self.options.resize)

    def dims(self) -> dict[str, tuple[int | None, int | None]]:
        """Channels (summary, spatial) of every teacher that some partition sees, in the order of the set."""
        found = {name: next(iter(self._built[name].values())) for name in self.members if name in self._built}
        return {name: (teacher.summary_dim, teacher.spatial_dim) for name, teacher in found.items()}

    def _teacher(self, name: str, node: Mapping[str, Any]) -> Teacher:
        sizes = self._built.setdefault(name, {})
        size = node["image_size"]
        if size not in sizes:
            teacher: Teacher = build(node, f"teachers.{name}")
            teacher.name = name
            if sizes:
                share_parameters(next(iter(sizes.values())), teacher)
            sizes[size] = teacher
        return sizes[size]
