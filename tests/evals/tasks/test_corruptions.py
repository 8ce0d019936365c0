"""Corruptions of known images."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from phis_lab import guards
from phis_lab.evals.tasks.corruptions import CORRUPTIONS, check_corruptions_installed, corrupt


def grey(count: int = 2, side: int = 32, value: float = 0.5) -> torch.Tensor:
    return torch.full((count, 3, side, side), round(value * 255) / 255)


def drawn(count: int = 3, side: int = 32) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def _library() -> None:
    for module in ("imagecorruptions", "cv2", "numba", "skimage"):
        pytest.importorskip(module)


@pytest.mark.usefixtures("_library")
def test_the_fifteen_are_those_of_the_library_and_repeat_exactly() -> None:
    import imagecorruptions

    assert list(CORRUPTIONS) == imagecorruptions.get_corruption_names()
    images = drawn(1)
    for name in CORRUPTIONS:
        once = corrupt(images, name, 3)
        assert once.shape == images.shape
        assert 0 <= once.min() <= once.max() <= 1
        assert not torch.equal(once, images)
        np.random.random()  # noqa: NPY002
        assert torch.equal(corrupt(images, name, 3), once)


@pytest.mark.usefixtures("_library")
def test_gaussian_noise_has_the_published_spread() -> None:
    for severity, std in enumerate([0.08, 0.12, 0.18], start=1):
        assert corrupt(grey(side=128), "gaussian_noise", severity).std().item() == pytest.approx(std, rel=0.02)


@pytest.mark.usefixtures("_library")
def test_contrast_shrinks_differences_from_the_mean() -> None:
    images = drawn(1)
    mean = images.mean(dim=(2, 3), keepdim=True)
    assert_close(corrupt(images, "contrast", 1), mean + 0.4 * (images - mean), atol=2 / 255, rtol=0)


@pytest.mark.usefixtures("_library")
@pytest.mark.parametrize("name", ["gaussian_noise", "impulse_noise", "glass_blur", "fog"])
def test_the_noise_belongs_to_the_image_and_not_to_its_batch(name: str) -> None:
    images = drawn(4)
    together = corrupt(images, name, 2)
    assert torch.equal(corrupt(images[2:], name, 2, first=2), together[2:])
    same = images[:1].expand(2, -1, -1, -1)
    assert not torch.equal(*corrupt(same, name, 2))


@pytest.mark.usefixtures("_library")
def test_the_global_stream_of_numpy_is_left_alone() -> None:
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.random(3)  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    corrupt(grey(), "gaussian_noise", 1)
    assert np.random.random(3).tolist() == expected.tolist()  # noqa: NPY002


def test_unknown_corruptions_and_small_images_are_refused() -> None:
    for name, severity in (("rain", 1), ("fog", 6)):
        with pytest.raises(ValueError, match=f"a corruption is one of .*, got '{name}' at {severity}"):
            corrupt(grey(), name, severity)
    with pytest.raises(ValueError, match=r"32 pixels or more, got \(28, 28\)"):
        corrupt(grey(side=28), "fog", 1)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"needs imagecorruptions, .* pip install 'phis-lab\[robustness\]'"):
        check_corruptions_installed()
