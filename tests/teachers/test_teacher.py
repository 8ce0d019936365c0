"""The protocol that every teacher shares."""

import pytest
import torch
from torch.testing import assert_close
from toy_teacher import Toy, images

from phis_lab.teachers.pixels import Pixels, check_images


def test_a_teacher_stays_in_evaluation_mode(toy: Toy) -> None:
    before = toy(images())
    toy.train()
    assert not any(module.training for module in toy.modules())
    assert_close(toy(images()).spatial, before.spatial, rtol=0, atol=0)


def test_a_teacher_is_frozen(toy: Toy) -> None:
    assert not any(parameter.requires_grad for parameter in toy.parameters())
    assert not toy(images().requires_grad_()).spatial.requires_grad


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float32])
def test_features_are_float32_whatever_the_images_are(toy: Toy, dtype: torch.dtype) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        summary, spatial = toy(images().to(dtype))
    assert summary.dtype == spatial.dtype == torch.float32


def test_spatial_features_are_channels_last(toy: Toy) -> None:
    summary, spatial = toy(images(3, size=11))
    assert spatial.shape == (3, 4, 4, 5)
    assert_close(summary, spatial.mean(dim=(1, 2)))


def test_an_empty_batch_gives_empty_features(toy: Toy) -> None:
    assert toy(images(0)).spatial.shape == (0, 4, 4, 5)


def test_pixels_are_resized_as_pillow_does() -> None:
    pil = pytest.importorskip("PIL.Image")
    x = images(1, size=20)
    resized = Pixels(8, mean=(0.0,) * 3, std=(1.0,) * 3)(x)
    expected = pil.fromarray(x[0, 1].numpy()).resize((8, 8), pil.Resampling.BILINEAR)
    assert_close(resized[0, 1], torch.tensor(list(expected.get_flattened_data())).view(8, 8))


def test_bicubic_overshoot_is_clipped() -> None:
    edges = (images(1, size=4) > 0.5).float()
    x = Pixels(16, mean=(0.0,) * 3, std=(1.0,) * 3, interpolation="bicubic")(edges)
    assert x.min() == 0.0
    assert x.max() == 1.0


def test_mean_and_std_count_in_the_order_of_the_network() -> None:
    x = images()
    y = Pixels(8, mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 4.0), bgr=True)(x)
    assert_close(y[:, 0], x[:, 2] - 0.1)
    assert_close(y[:, 2], (x[:, 0] - 0.3) / 4.0)


@pytest.mark.parametrize("wrong", [images() * 255, images() - 0.5, images() * float("nan")])
def test_images_outside_zero_to_one_are_refused(wrong: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"images in \[0, 1\] and normalises them itself, received values from"):
        check_images(wrong)
    with pytest.raises(ValueError, match=r"images in \[0, 1\]"):
        Toy()(wrong)


@pytest.mark.parametrize("wrong", [images()[0], images()[:, :1], (images() * 255).byte()])
def test_what_is_not_a_batch_of_images_is_refused(wrong: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"images \[batch, 3, height, width\], received torch\."):
        check_images(wrong)
