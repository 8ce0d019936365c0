"""The `teachers` node: a set of teachers by name, options that concern all of them, and the pools they make."""

import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from phis_lab.bounds import Positive
from phis_lab.config.build import build
from phis_lab.data import PartitionPlan
from phis_lab.features import Grid, Resize
from phis_lab.precision import Precision
from phis_lab.teachers import Teacher, TeacherPool, at_image_size, at_smallest_sizes, share_parameters


@dataclass(frozen=True, kw_only=True)
class TeacherOptions:
    """Options of the whole set; no teacher can have one of these names.

    Args:
        store: folder of the feature store; None computes features as they are needed.
        store_dtype: how the store keeps a value; int8 has a scale per channel.
        smallest: every teacher sees the smallest images whose features are not coarser than the student's tokens.
        match: the grid on which spatial features are compared: the "student"'s, to which the teachers' are resampled
            (PHI-S), or the "larger" of both (AM-RADIO).
        resize: how spatial features are resampled to that grid, see `match_grid`: "antialias", or "bilinear" as in
            NVIDIA's code.
        microbatch: images that go through a teacher at a time on a GPU; None takes the whole batch, and halves it for
            a teacher that runs out of memory. A CPU takes 16.
        compile: teachers go through torch.compile: faster passes of large ones on a GPU, for minutes of compilation at
            the first batch of every size, which count as a step's (`trainer.step_timeout`).
            Their features differ in the last bits, so what was stored without it is not taken with it.
    """

    store: str | None = None
    store_dtype: Literal["float32", "bfloat16", "float16", "int8"] = "bfloat16"
    smallest: bool = False
    match: Literal["student", "larger"] = "student"
    resize: Resize = "antialias"
    microbatch: Positive | None = None
    compile: bool = False


RESERVED = tuple(field.name for field in fields(TeacherOptions))


def split(node: Mapping[str, Any]) -> tuple[dict[str, Any], TeacherOptions]:
    """The teachers by name, and the options of the set.

    A teacher's name is its key in the set, whatever its option file calls it: logs, records, stores and errors agree.

    Args:
        node: `teachers` of the resolved configuration; a teacher that is null is left out.

    Raises:
        ValueError: an option has a wrong value; the message begins with its dotted name.
    """
    given = {name: option for name, option in node.items() if name not in RESERVED and option is not None}
    members = {name: _named(name, option) for name, option in given.items()}
    chosen = {name: node[name] for name in RESERVED if name in node}
    try:
        return members, TypeAdapter(TeacherOptions).validate_python(chosen)
    except ValidationError as error:
        problems = [f"teachers.{detail['loc'][0]}={detail['input']!r}: {detail['msg']}" for detail in error.errors()]
        raise ValueError("; ".join(problems)) from error


def _named(key: str, option: Any) -> Any:
    """With the name that it has in the set, and the image size that its files tell where none is said."""
    if not isinstance(option, dict):
        return option
    named = option | {"name": key} if "name" in option else option
    if "image_size" in named and named["image_size"] is None and "_target_" in named:
        try:
            named = named | {"image_size": pkgutil.resolve_name(str(named["_target_"])).usual_size(named)}
        except (ValueError, FileNotFoundError) as error:
            raise type(error)(f"teachers.{key}: {error}") from error
    return named


def nodes_for(
    partition: PartitionPlan, members: Mapping[str, Any], options: TeacherOptions, grids: Iterable[Grid]
) -> dict[str, Any]:
    """The nodes of the teachers that see a partition, at the image sizes at which they see it.

    Args:
        partition: says who, and at which size.
        members: all teachers' nodes by name.
        options: of the set.
        grids: token grids of the students, which set the image sizes where `options.smallest` asks for it.
    """
    nodes = {name: at_image_size(members[name], factor) for name, factor in partition.factors(members).items()}
    return at_smallest_sizes(nodes, grids) if options.smallest else nodes


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

    def pool(self, partition: PartitionPlan, grids: Iterable[Grid]) -> TeacherPool:
        """The teachers that see a partition.

        Args:
            partition: says who, and at which size.
            grids: token grids of the students, which set the image sizes where `options.smallest` asks for it.

        Raises:
            ValueError: a teacher refused an option, or its weights cannot be reached.
        """
        nodes = nodes_for(partition, self.members, self.options, grids)
        teachers = {name: self._teacher(name, node) for name, node in nodes.items()}
        return TeacherPool(teachers, self.precision, self.options.resize, self.options.microbatch, self.options.compile)

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


def feature_identity(
    pool: TeacherPool, options: TeacherOptions, device: str, data: str, pixels: int
) -> dict[str, dict[str, str]]:
    """What identifies the spatial features of each teacher that has any, wherever its weights lie.

    Args:
        pool: the teachers.
        options: of the set.
        device: kind of device that computes, "cpu" or "cuda"; the precision depends on it.
        data: fingerprint of the images.
        pixels: side of the images that are given to the teachers.
    """
    shared = {"data": data, "pixels": str(pixels), "match": options.match}
    return {
        name: {"teacher": name} | shared | {key: str(value) for key, value in facts.items() if key != "source"}
        for name, facts in pool.describe(device).items()
        if facts["spatial_dim"] is not None
    }
