"""Encoded image files: decoding, and a fingerprint that is cheap for large collections."""

import io
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from phis_lab.data.source import digest

_HASHED_BYTES = 256 * 1024**2
_UNDECODABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


class CorruptImageError(ValueError):
    """An image does not decode; it is left out of its batch and reported by name."""


def decode_image(data: bytes, name: str) -> Tensor:
    """Decodes a JPEG, PNG, WebP or other file that Pillow knows into uint8 [3, h, w].

    Args:
        data: the file's bytes.
        name: what the error calls it.

    Raises:
        CorruptImageError: Pillow cannot read the image to its end.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            pixels = np.array(image.convert("RGB"))
    except _UNDECODABLE as error:
        raise CorruptImageError(f"{name} does not decode: {error}") from error
    return torch.from_numpy(pixels).permute(2, 0, 1)


def fingerprint_files(files: Mapping[str, Path]) -> str:
    """Returns the sha256 of the files' names and sizes, and of their contents as well up to 256 MiB in all.

    Args:
        files: path by the name that stands for it, so that moving a data set keeps its fingerprint.
    """
    sizes = {name: file.stat().st_size for name, file in files.items()}
    parts = [f"{name} {size}" for name, size in sizes.items()]
    if sum(sizes.values()) > _HASHED_BYTES:
        return digest(*parts)
    return digest(*parts, *(digest(file.read_bytes()) for file in files.values()))
