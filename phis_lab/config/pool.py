"""The teachers of a configuration as one pool."""

from collections.abc import Iterable, Mapping
from typing import Any

from phis_lab.config.build import build
from phis_lab.config.teachers import TeacherOptions
from phis_lab.teachers import Grid, TeacherPool, at_smallest_sizes
from phis_lab.teachers.pool import Precision


def build_pool(
    members: Mapping[str, Any], options: TeacherOptions, precision: Precision, grids: Iterable[Grid]
) -> TeacherPool:
    """Load every teacher.

    Args:
        members: the teachers' nodes by name.
        options: of the set.
        precision: of their forward passes.
        grids: token grids of the students, which set the image sizes where `options.smallest` asks for it.

    Raises:
        ValueError: a teacher refused an option, or its weights cannot be reached.
    """
    if options.smallest:
        members = at_smallest_sizes(members, grids)
    return TeacherPool({name: build(node, f"teachers.{name}") for name, node in members.items()}, precision=precision)
