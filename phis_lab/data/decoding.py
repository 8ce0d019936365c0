"""Encoded image files to uint8 RGB, by one rule for every kind of pixel; `docs/data.md` states it."""

import io
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
import torch
from PIL import EpsImagePlugin, Image, ImageCms, UnidentifiedImageError
from PIL.Image import Transpose
from torch import Tensor

# fmt: off
ENDINGS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".gif", ".webp", ".bmp", ".dib", ".tif", ".tiff",
    ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".jp2", ".j2k", ".jpx", ".avif", ".heic", ".heif", ".hif", ".jxl",
    ".tga", ".qoi",
)
# fmt: on
"""Endings of the names of image files, in lower case; Pillow may lack the decoder of some."""

MOST_PIXELS = 2**27
"""Pixels of the largest image that is read, 134 million: each takes up to 23 bytes while it is decoded."""

EpsImagePlugin.gs_binary = False  # no image starts Ghostscript, whoever opens it in this process

_WHITE = (255, 255, 255, 255)
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
_BITS_PER_SAMPLE, _PHOTOMETRIC, _MIN_IS_WHITE = 258, 262, 0
_NO_MEMORY = "can't allocate memory"  # torch raises no error of its own kind for it
_told: set[str] = set()
_log = logging.getLogger(__name__)


class CorruptImageError(ValueError):
    """An image does not decode; it is left out of its batch and reported by name.

    Args:
        name: of the image.
        reason: what is wrong with it.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name, self.reason = name, reason

    def __str__(self) -> str:
        return f"{self.name} does not decode: {self.reason}"


@lru_cache
def readable_endings() -> frozenset[str]:
    """Those of `ENDINGS` for which the installed Pillow has a decoder."""
    Image.init()
    return frozenset(ENDINGS).intersection(Image.registered_extensions())


@lru_cache
def _formats() -> list[str]:
    """What Pillow calls the kinds of images that `ENDINGS` stand for; no file is opened as any other kind."""
    return sorted({Image.registered_extensions()[ending] for ending in readable_endings()} & Image.OPEN.keys())


@contextmanager
def reading(name: str, *errors: type[Exception]) -> Iterator[None]:
    """Let an image count as corrupt that cannot be read, or not with the memory that there is.

    Args:
        name: of the image.
        errors: what else makes it corrupt.

    Raises:
        CorruptImageError: in place of such an error.
    """
    corrupting: tuple[type[Exception], ...] = (OSError, MemoryError, *errors)
    try:
        yield
    except CorruptImageError:
        raise
    except corrupting as error:
        raise CorruptImageError(name, _reason(error)) from error
    except RuntimeError as error:
        if _NO_MEMORY not in str(error):
            raise
        raise CorruptImageError(name, _reason(MemoryError())) from error


def decode_image(data: bytes, name: str) -> Tensor:
    """Decodes the first picture of a JPEG, PNG, TIFF, WebP or another file of `ENDINGS` into uint8 [3, h, w].

    Args:
        data: the file's bytes.
        name: what the error calls it.

    Raises:
        CorruptImageError: Pillow cannot read the image to its end, it has more than `MOST_PIXELS`, or its values have
            no defined white.
    """
    with opened(data, name) as image:
        pixels = np.array(_upright(_to_rgb(image), _orientation(image)))
    return torch.from_numpy(pixels).permute(2, 0, 1)


@contextmanager
def opened(data: bytes, name: str) -> Iterator[Image.Image]:
    """Opens a file of `ENDINGS`, by its content, and decodes it as it is; see `decode_image`."""
    with reading(name, Exception), _warnings_told(name):  # decoders raise whatever a damaged file leads them to
        if not data:
            raise CorruptImageError(name, "the file is empty")
        with Image.open(io.BytesIO(data), formats=_formats()) as image:
            if image.width * image.height > MOST_PIXELS:
                raise CorruptImageError(
                    name,
                    f"it is too large, with {image.width} x {image.height} pixels where at most {MOST_PIXELS:,} are "
                    "read; make it smaller",
                )
            image.load()
            yield image


@contextmanager
def _warnings_told(name: str) -> Iterator[None]:
    """Log what Pillow warns of, once for each kind of warning; the bound on pixels is `MOST_PIXELS`, not Pillow's."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield
    for text in (str(warning.message) for warning in found):
        kind = re.sub(r"\d+", "", text)
        if kind not in _told:
            _told.add(kind)
            _log.warning("%s is read, and Pillow warns: %s. Further warnings like this are not told.", name, text)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "its content is no image that the installed Pillow reads"
    if isinstance(error, Image.DecompressionBombError):
        return f"it is too large ({error})"
    if isinstance(error, MemoryError):
        return "there is not enough memory for it"
    if isinstance(error, OSError) and error.strerror:
        return f"it cannot be read ({error.strerror})"
    return str(error) or type(error).__name__


def _to_rgb(image: Image.Image) -> Image.Image:
    """Eight bits per channel, transparent pixels on white, colour profiles ignored."""
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_grey(image)).convert("RGB")
    if image.mode == "LAB":
        return ImageCms.applyTransform(image, _lab_to_rgb()) or image
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, _WHITE), picture).convert("RGB")
    return image.convert("RGB")


def _grey(image: Image.Image) -> np.ndarray:
    """Grey levels from more than eight bits: the highest eight of integers, 255 times a float.

    Raises:
        ValueError: integers of 32 bits or with a sign, or floats outside [0, 1].
    """
    values = np.asarray(image)
    if image.mode == "F":
        scaled = np.rint(values * 255)
        if not (scaled.min() >= 0 and scaled.max() <= 255):
            raise ValueError(
                f"its floating-point values go from {values.min():g} to {values.max():g}, and 0 is black and 1 is "
                "white; rescale them"
            )
        return np.asarray(scaled, np.uint8)
    if image.mode == "I" and image.format not in ("PNG", "PPM"):
        raise ValueError("its integers have 32 bits or a sign, so that no value is white; save it with 8 or 16 bits")
    tags = getattr(image, "tag_v2", {})
    levels: np.ndarray = (values >> (tags.get(_BITS_PER_SAMPLE, (16,))[0] - 8)).astype(np.uint8)
    if tags.get(_PHOTOMETRIC) == _MIN_IS_WHITE:
        levels = 255 - levels
    if "transparency" in image.info:
        levels[values == image.info["transparency"]] = 255
    return levels


@lru_cache
def _lab_to_rgb() -> ImageCms.ImageCmsTransform:
    lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(lab, rgb, "LAB", "RGB")


def _orientation(image: Image.Image) -> int | None:
    """How a camera was held, by EXIF; a damaged entry says nothing."""
    try:
        found: int | None = image.getexif().get(_ORIENTATION)
    except Exception:  # it is the pixels that make an image corrupt
        return None
    return found


def _upright(image: Image.Image, orientation: int | None) -> Image.Image:
    turn = None if orientation is None else _UPRIGHT.get(orientation)
    return image if turn is None else image.transpose(turn)
