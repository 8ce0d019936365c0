"""Which values an option may have: the types with which constructors annotate their numbers.

`config.check` reads them, so that a value outside is refused by its name before anything is built. The upper ends are
far beyond any use; what lies above them is a slip of the keyboard.
"""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

Positive = Annotated[int, Field(ge=1, le=10**9)]
"""Steps, images, epochs, neighbours."""

NonNegative = Annotated[int, Field(ge=0, le=10**9)]
"""The same where none is meaningful."""

Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""What every random generator takes."""

Side = Annotated[int, Field(ge=1, le=2**14)]
"""The side of an image or of a patch."""

Width = Annotated[int, Field(ge=1, le=2**16)]
"""Channels of a layer."""

Layers = Annotated[int, Field(ge=1, le=1000)]
"""Blocks of a network."""

HiddenLayers = Annotated[int, Field(ge=0, le=1000)]
"""Layers that a head may do without."""

Processes = Annotated[int, Field(ge=1, le=2**16)]
"""Devices, or machines."""

Workers = Annotated[int, Field(ge=0, le=1024)]
"""Processes that load data."""

Above = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A positive number, such as a temperature."""

AtLeastZero = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A number that is not negative, such as a weight."""

Share = Annotated[float, Field(ge=0, le=1)]
"""A part of a whole, or a momentum."""

SmallShare = Annotated[float, Field(ge=0, lt=1)]
"""A part of a whole that leaves something over."""


@dataclass(frozen=True)
class Supplied:
    """Marks a part that is finished later: these arguments come from the run, and no option can set them."""

    arguments: tuple[str, ...]

    def __init__(self, *arguments: str) -> None:
        object.__setattr__(self, "arguments", arguments)
