"""Which values an option may have: the types with which constructors annotate their numbers.

`config.check` reads them, so that a value outside is refused by its name before anything is built. The upper ends are
far beyond any use; what lies above them is a slip of the keyboard. They are annotations that pydantic knows, and the
library can be used without it.
"""

import math
from dataclasses import dataclass
from typing import Annotated

try:
    from annotated_types import Interval
except ModuleNotFoundError:  # normalisers work with torch alone, where nobody checks options

    def Interval(**ends: float) -> tuple[str, ...]:  # type: ignore[no-redef]  # noqa: N802
        """Stand in for the class: a mark that nobody reads."""
        return tuple(ends)


Positive = Annotated[int, Interval(ge=1, le=10**9)]
"""Steps, images, epochs, neighbours."""

NonNegative = Annotated[int, Interval(ge=0, le=10**9)]
"""The same where none is meaningful."""

Seed = Annotated[int, Interval(ge=0, lt=2**32)]
"""What every random generator takes."""

Side = Annotated[int, Interval(ge=1, le=2**14)]
"""The side of an image or of a patch."""

Width = Annotated[int, Interval(ge=1, le=2**16)]
"""Channels of a layer."""

Layers = Annotated[int, Interval(ge=1, le=1000)]
"""Blocks of a network."""

HiddenLayers = Annotated[int, Interval(ge=0, le=1000)]
"""Layers that a head may do without."""

Processes = Annotated[int, Interval(ge=1, le=2**16)]
"""Devices, or machines."""

Workers = Annotated[int, Interval(ge=0, le=1024)]
"""Processes that load data."""

Above = Annotated[float, Interval(gt=0, lt=math.inf)]
"""A positive number, such as a temperature."""

Seconds = Annotated[float, Interval(ge=0.1, le=10**7)]
"""How long something may take."""

AtLeastZero = Annotated[float, Interval(ge=0, lt=math.inf)]
"""A number that is not negative, such as a weight."""

Share = Annotated[float, Interval(ge=0, le=1)]
"""A part of a whole, or a momentum."""

SmallShare = Annotated[float, Interval(ge=0, lt=1)]
"""A part of a whole that leaves something over."""


WholeOrShare = Annotated[float | int, Interval(ge=0, le=1)]
"""A part of a whole, both ends included, for who calls the library with 0 or 1."""

WholeOrAbove = Annotated[float | int, Interval(gt=0, lt=math.inf)]
"""A positive number, for who calls the library with whole ones."""

WholeOrAtLeastZero = Annotated[float | int, Interval(ge=0, lt=math.inf)]
"""A number that is not negative, likewise."""


@dataclass(frozen=True)
class Supplied:
    """Marks a part that is finished later: these arguments come from the run, and no option can set them."""

    arguments: tuple[str, ...]

    def __init__(self, *arguments: str) -> None:
        object.__setattr__(self, "arguments", arguments)
