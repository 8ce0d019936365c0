"""Training images that stand in where a data set has no test images."""

import pytest
import torch

from phis_lab.data import DataSource, ImageSource, NoImages, TensorImages
from phis_lab.data.subset import hold_out


def numbered(count: int) -> TensorImages:
    """Grey images that show their own number."""
    shades = torch.arange(count, dtype=torch.int32)
    images = torch.stack([shades // 256, shades % 256], 1).to(torch.uint8)[:, None, :].expand(-1, 2, 2).clone()
    return TensorImages("photos/train", images, torch.full((count,), -1), ())


def numbers(source: ImageSource) -> list[int]:
    return [256 * int(image[0, 0, 0]) + int(image[0, 0, 1]) for image in map(source.image, range(len(source)))]


@pytest.mark.parametrize(("count", "held"), [(2, 1), (9, 1), (20, 2), (333, 33), (10_500, 1000)])
def test_a_tenth_is_held_out_but_at_least_one_and_at_most_a_thousand(count, held):
    train, test = hold_out(numbered(count), NoImages("photos/test", "there is no folder test"))
    assert (len(train), len(test)) == (count - held, held)
    if count < 1000:
        assert sorted([*numbers(train), *numbers(test)]) == list(range(count))


def test_the_choice_is_the_same_every_time_and_both_parts_have_fingerprints_of_their_own():
    missing = NoImages("photos/test", "there is no folder test")
    first, again = (hold_out(numbered(50), missing) for _ in range(2))
    assert [numbers(part) for part in first] == [numbers(part) for part in again]
    assert len({part.fingerprint for part in (*first, numbered(50))}) == 3
    assert [part.name for part in first] == ["photos/train", "photos/train (held out)"]
    assert first[1].image_name(0) == f"photos/train[{numbers(first[1])[0]}]"


def test_one_image_cannot_be_divided():
    with pytest.raises(ValueError, match="has one image and there is no test set"):
        hold_out(numbered(1), NoImages("photos/test", "there is no folder test"))


class _Given(DataSource):
    def read(self) -> tuple[ImageSource, ImageSource]:
        train = numbered(40)
        return train, TensorImages("photos/test", train.images[:5], train.labels[:5], ())


def test_data_with_test_images_are_left_as_they_are():
    source = _Given()
    assert numbers(source.train) == list(range(40))
    assert source.lacks_test is None
    assert len(source.test) == 5
