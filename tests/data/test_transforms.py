import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from phis_lab.data import Augmentation
from phis_lab.data.transforms import central_part

whole = {"scale": (1.0, 1.0), "ratio": (1.0, 1.0)}


def test_the_central_view_of_an_image_of_the_right_size_is_its_values_over_255(pixels):
    assert_close(Augmentation(8).central_view(pixels(0)), pixels(0) / 255)


def test_the_central_view_of_a_wide_image_is_its_middle(pixels):
    wide = pixels(0, height=4, width=8)
    assert_close(Augmentation(4).central_view(wide), wide[:, :, 2:6] / 255)


class Largest(TorchDispatchMode):
    """Notes the largest tensor that any operation makes."""

    size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        self.size = max(self.size, made.numel() if isinstance(made, torch.Tensor) else 0)
        return made


@pytest.mark.parametrize("shape", [(3, 60_000, 1), (3, 1, 60_000)])
def test_a_strip_takes_no_more_memory_than_sixteen_crops(shape):
    strip = torch.arange(60_000).remainder(251).to(torch.uint8).reshape(1, *shape[1:]).expand(shape).contiguous()
    for render in (Augmentation(32).central_view, lambda image: Augmentation(32).random_view(image, 0, 0, 0)):
        with Largest() as largest:
            assert render(strip).shape == (3, 32, 32)
        assert largest.size <= max(strip.numel(), 16 * 3 * 32 * 32)


@pytest.mark.parametrize("size", [30, 60, 120])
def test_the_central_view_of_a_long_image_is_that_of_its_middle(pixels, size):
    long, square = pixels(0, height=60, width=2000), pixels(0, height=60, width=960)
    assert torch.equal(Augmentation(size).central_view(long), Augmentation(size).central_view(long[:, :, 520:1480]))
    assert central_part(square) is square


@pytest.mark.parametrize("size", [5, 8, 13])
def test_without_augmentation_training_sees_the_central_view(pixels, size):
    plain = Augmentation(size, flip=False, views=1, **whole)
    assert torch.equal(plain.random_view(pixels(0), 3, 0, 0), plain.central_view(pixels(0)))


def test_about_half_of_the_views_are_mirrored_and_the_others_are_not(pixels):
    augmentation = Augmentation(8, flip=True, **whole)
    image = augmentation.central_view(pixels(0))
    views = [augmentation.random_view(pixels(0), 0, 0, view) for view in range(200)]
    straight = sum(torch.equal(view, image) for view in views)
    mirrored = sum(torch.equal(view, image.flip(-1)) for view in views)
    assert straight + mirrored == 200
    assert 60 < mirrored < 140


@given(
    key=st.tuples(st.integers(0, 2**40), st.integers(0, 10**9), st.integers(0, 1000)),
    state=st.integers(0, 99),
)
def test_a_view_depends_on_seed_index_and_view_alone_and_leaves_the_global_stream_alone(key, state):
    image = torch.arange(3 * 9 * 9).remainder(251).to(torch.uint8).reshape(3, 9, 9)
    first = Augmentation(8).random_view(image, *key)
    torch.manual_seed(state)
    before = torch.get_rng_state()
    assert torch.equal(Augmentation(8).random_view(image, *key), first)
    assert torch.equal(torch.get_rng_state(), before)
    assert first.dtype == torch.float32
    assert 0 <= first.min() <= first.max() <= 1


def test_views_differ_between_seeds_images_and_view_numbers(pixels):
    augmentation = Augmentation(8, scale=(0.1, 0.9))
    keys = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    views = [augmentation.random_view(pixels(0, height=32, width=32), *key) for key in keys]
    assert not any(torch.equal(a, b) for i, a in enumerate(views) for b in views[:i])


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_evaluations_see_the_centre_of_what_pillow_resizes(pixels, interpolation):
    image = pixels(0, height=50, width=75)
    augmentation = Augmentation(28, interpolation=interpolation, central_size=32)
    resized = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((48, 32), Image.Resampling[interpolation.upper()])
    expected = torch.tensor(list(resized.crop((10, 2, 38, 30)).get_flattened_data())).view(28, 28, 3).permute(2, 0, 1)
    assert_close(augmentation.central_view(image), expected / 255, rtol=0, atol=1.01 / 255)
    twice = augmentation.resized(2.0)
    assert (twice.image_size, twice.central_size) == (56, 64)


def test_training_crops_are_resized_by_the_chosen_filter(pixels):
    image = pixels(0, height=50, width=70)
    linear, cubic = (Augmentation(28, interpolation=name, views=2) for name in ("bilinear", "bicubic"))
    assert not torch.equal(linear.random_view(image, 0, 0, 0), cubic.random_view(image, 0, 0, 0))
    assert linear.fixed_recipe() != cubic.fixed_recipe()
    assert linear.central_recipe() != cubic.central_recipe()
    assert linear.resized(2.0).central_recipe() != cubic.resized(2.0).central_recipe()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": (0.0, 1.0)}, "scale is a range of area shares"),
        ({"scale": (0.5, 1.5)}, r"got \(0.5, 1.5\)"),
        ({"ratio": (2.0, 1.0)}, "ratio is a range of positive"),
        ({"image_size": 0}, "image_size is a positive number of pixels, got 0"),
        ({"central_size": 7}, "central_size must hold the centre of 8 px, got 7"),
        ({"views": 0}, "views is a positive number or null for fresh ones every epoch, got 0"),
    ],
)
def test_an_impossible_augmentation_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**{"image_size": 8} | options)
