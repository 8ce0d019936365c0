"""The fifteen common corruptions of ImageNet-C at five severities, by imagecorruptions."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from phis_lab.guards import require
from phis_lab.seeds import named_seed
from phis_lab.shapes import Float

ALEXNET_ERRORS = {
    "gaussian_noise": 0.886428,
    "shot_noise": 0.894468,
    "impulse_noise": 0.922640,
    "defocus_blur": 0.819880,
    "glass_blur": 0.826268,
    "motion_blur": 0.785948,
    "zoom_blur": 0.798360,
    "snow": 0.866816,
    "frost": 0.826572,
    "fog": 0.819324,
    "brightness": 0.564592,
    "contrast": 0.853204,
    "elastic_transform": 0.646056,
    "pixelate": 0.717840,
    "jpeg_compression": 0.606500,
}
"""AlexNet's top-1 errors on ImageNet-C, mean over severities (Hendrycks and Dietterich, 2019, and their repository)."""


CORRUPTIONS = tuple(ALEXNET_ERRORS)


SEVERITIES = (1, 2, 3, 4, 5)


_SMALLEST_SIDE = 32


_SEEDED_BY_ARGUMENT = ("glass_blur", "impulse_noise")


def check_corruptions_installed() -> None:
    """Raises ModuleNotFoundError where the library or what it needs is missing."""
    for module in ("imagecorruptions", "numba", "cv2", "skimage"):
        require(module, "robustness", "the corruption suite")


def corrupt(images: Float[Tensor, "b 3 h w"], name: str, severity: int, first: int = 0) -> Float[Tensor, "b 3 h w"]:
    """Corrupts images in [0, 1]; the result lies on the 256 levels of an image file.

    The noise of an image depends on the corruption, the severity and its position alone, so that all students and
    teachers see the same pixels.

    Args:
        images: at the size at which they are looked at, 32 pixels or more.
        name: one of `CORRUPTIONS`.
        severity: 1 to 5.
        first: position of the first image in its set.

    Raises:
        ValueError: images that are too small, or no such corruption or severity.
        ModuleNotFoundError: the library is not installed.
    """
    if name not in CORRUPTIONS or severity not in SEVERITIES:
        raise ValueError(f"a corruption is one of {', '.join(CORRUPTIONS)} at 1 to 5, got {name!r} at {severity}")
    if min(images.shape[-2:]) < _SMALLEST_SIDE:
        raise ValueError(
            f"corruptions are made for images of {_SMALLEST_SIDE} pixels or more, got {tuple(images.shape[-2:])}; "
            "raise the image size of the student"
        )
    check_corruptions_installed()
    pixels = (images * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    made = [_corrupt(image, name, severity, first + i) for i, image in enumerate(pixels)]
    return torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2).to(images.device).float() / 255


def _corrupt(image: np.ndarray, name: str, severity: int, position: int) -> np.ndarray:
    import imagecorruptions  # noqa: PLC0415  an extra

    seed = named_seed("corruption", name, severity, position)
    options = {"seed": seed} if name in _SEEDED_BY_ARGUMENT else {}
    with _seeded_numpy(seed):
        made: np.ndarray = imagecorruptions.corrupt(image, severity=severity, corruption_name=name, **options)
    return made


@contextmanager
def _seeded_numpy(seed: int) -> Iterator[None]:
    """Seeds the global stream, which the library draws from, and puts it back."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
