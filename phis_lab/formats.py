"""What `phis-lab export` writes a student as. Import-light: the command line asks it."""

from collections.abc import Sequence
from difflib import get_close_matches
from enum import StrEnum


class Format(StrEnum):
    """A layout of files that some program loads."""

    SAFETENSORS = "safetensors"
    TIMM = "timm"
    HUB = "hub"
    ONNX = "onnx"


def formats_of(given: Sequence[str]) -> list[Format]:
    """The formats that were named, each once; several may stand in one text with commas between them.

    Raises:
        ValueError: there is no such format.
    """
    words = [word.strip() for text in given for word in text.split(",")]
    known = [str(kind) for kind in Format]
    for word in words:
        if word not in known:
            close = get_close_matches(word, known, n=1)
            near = f"; did you mean {close[0]}?" if close else ""
            raise ValueError(f"there is no format {word!r}, there are {', '.join(known)}{near}")
    return [Format(word) for word in dict.fromkeys(words)]
