"""The `teachers` node: a set of teachers by name, and among them a few options that concern all of them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from phis_lab.features import Resize


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
    """

    store: str | None = None
    store_dtype: Literal["float32", "bfloat16", "float16", "int8"] = "bfloat16"
    smallest: bool = False
    match: Literal["student", "larger"] = "student"
    resize: Resize = "antialias"


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
    return option | {"name": key} if isinstance(option, dict) and "name" in option else option
