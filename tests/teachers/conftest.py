"""Photos, and a cache folder that the tests may write to."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_sample_images
from torch import Tensor
from torch.nn.functional import interpolate
from toy_teacher import Toy

from phis_lab.teachers import Teacher


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder of this test session."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PHIS_LAB_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def whole_photos() -> list[Tensor]:
    """china.jpg and flower.jpg: `[1, 3, 427, 640]` in [0, 1]."""
    return [torch.from_numpy(photo.copy()).permute(2, 0, 1)[None] / 255 for photo in load_sample_images().images]


@pytest.fixture(scope="session")
def photos(whole_photos: list[Tensor]) -> Tensor:
    """Twelve crops of the two photos: `[12, 3, 128, 128]` in [0, 1]."""
    crops = [photo[..., y : y + 213, x : x + 213] for photo in whole_photos for y in (0, 213) for x in (0, 213, 426)]
    return interpolate(torch.cat(crops), (128, 128), mode="bilinear", antialias=True)


@pytest.fixture
def toy() -> Teacher:
    """A convolution as a teacher."""
    return Toy()
