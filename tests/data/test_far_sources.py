"""Photographs, faces and noise."""

import pytest
import torch

from phis_lab.data import photographs
from phis_lab.data.faces import Faces
from phis_lab.data.noise import Noise
from phis_lab.data.photographs import Photographs


def test_crops_of_photographs_repeat_and_differ() -> None:
    pytest.importorskip("skimage")
    train, test = Photographs(crops=28, size=64).read()
    assert train.images.shape == test.images.shape == (28, 3, 64, 64)
    assert len({crop.numpy().tobytes() for source in (train, test) for crop in source.images}) == 56
    assert Photographs(crops=28, size=64).read()[1].fingerprint == test.fingerprint
    assert test.labels.unique().tolist() == [-1]


def test_a_crop_is_part_of_its_photograph() -> None:
    pytest.importorskip("skimage")
    from skimage.data import astronaut

    crop = Photographs(crops=1, size=48).test.image(0)
    windows = torch.from_numpy(astronaut())[:, 256:].permute(2, 0, 1).unfold(1, 48, 1).unfold(2, 48, 1)
    assert (windows == crop[:, None, None]).flatten(3).all(dim=3).all(dim=0).any()


def test_crops_larger_than_a_photograph_are_refused() -> None:
    pytest.importorskip("skimage")
    with pytest.raises(ValueError, match="a crop is at most 192 pixels wide"):
        Photographs(size=500).read()


def test_a_missing_scikit_image_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photographs, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'phis-lab\[ood\]'"):
        Photographs().read()


def test_faces_are_those_of_scikit_image() -> None:
    pytest.importorskip("skimage")
    from skimage.data import lfw_subset

    train, test = Faces().read()
    assert torch.equal(train.images[3], torch.from_numpy(lfw_subset()[6] * 255).round().byte())
    assert test.labels.tolist() == [0] * 50 + [1] * 50
    assert test.image(0).shape == (3, 25, 25)


def test_noise_is_even_over_all_values() -> None:
    train, test = Noise(count=3, size=64).read()
    assert train.fingerprint != test.fingerprint
    counts = torch.bincount(test.images.flatten().long(), minlength=256).double()
    assert counts.std().item() == pytest.approx((3 * 3 * 64 * 64 / 256) ** 0.5, rel=0.2)  # as Poisson counts spread
    assert torch.equal(Noise(count=3, size=64).read()[0].images, train.images)
