"""Data sets with masks: the composed one by its own definition, VOC and ADE20K on folders made here."""

import numpy as np
import pytest
import torch
from PIL import Image

from phis_lab.data.ade20k import ADE20K
from phis_lab.data.composed import Composed
from phis_lab.data.digits import Digits
from phis_lab.data.masks import IGNORED
from phis_lab.data.voc2012 import VOC2012


@pytest.fixture(scope="module")
def composed():
    return Composed(items=Digits(), image_size=48, train_images=60, test_images=30)


def test_a_composed_image_is_a_function_of_seed_split_and_index(composed):
    again = Composed(items=Digits(), image_size=48, train_images=60, test_images=30)
    other = Composed(items=Digits(), image_size=48, train_images=60, test_images=30, seed=1)
    for index in (59, 0, 7):
        assert torch.equal(composed.train[index].image, again.train[index].image)
        assert torch.equal(composed.train[index].mask, again.train[index].mask)
        assert not torch.equal(composed.train[index].image, other.train[index].image)
        assert not torch.equal(composed.train[index].image, composed.test[index % 30].image)


def test_composed_masks_hold_digits_and_mostly_background(composed):
    assert composed.train.classes == ("background", *"0123456789")
    assert (len(composed.train), len(composed.test)) == (60, 30)
    masks = torch.stack([composed.train[i].mask for i in range(60)])
    assert (masks.dtype, tuple(masks.shape)) == (torch.uint8, (60, 48, 48))
    assert masks.unique().tolist() == list(range(11))
    assert 0.5 < (masks == 0).float().mean() < 0.95
    present = [len(mask.unique()) for mask in masks]
    assert min(present) >= 2  # an item at least
    assert max(present) <= 4  # three at most


def test_pixels_of_an_item_are_the_item_s_and_the_others_the_photo_s():
    one = Composed(items=Digits(), image_size=32, train_images=20, most_items=1, item_size=(1.0, 1.0))
    for index in range(20):
        image, mask = one.train[index]
        inside = mask > 0
        assert (image[:, inside].amax(0) > 38).all()
        assert torch.equal(image[0, inside], image[1, inside])  # digits are grey
        (digit,) = set(mask[inside].tolist())
        shown = torch.where(inside, image[0], 0).float()
        drawn = torch.stack(
            [
                torch.nn.functional.interpolate(one.items.train.image(i)[None, :1].float(), (32, 32), mode="bilinear")
                for i in range(1500)
                if one.items.train.labels[i] == digit - 1
            ]
        )[:, 0, 0]
        nearest = (drawn * (drawn > 38) - shown).abs().amax((1, 2)).min()
        assert nearest <= 40  # rounding, and the threshold at the outline


def test_composed_data_without_classes_or_with_a_reversed_range_is_refused():
    with pytest.raises(ValueError, match="smallest to the largest"):
        Composed(items=Digits(), item_size=(0.6, 0.4))


@pytest.fixture
def voc(tmp_path):
    base = tmp_path / "VOCdevkit" / "VOC2012"
    for folder in ("ImageSets/Segmentation", "JPEGImages", "SegmentationClass"):
        (base / folder).mkdir(parents=True)
    for part, names in (("train", ["a", "b"]), ("val", ["c"])):
        (base / "ImageSets/Segmentation" / f"{part}.txt").write_text("\n".join(names) + "\n")
        for name in names:
            Image.new("RGB", (6, 4), (255, 0, 0)).save(base / "JPEGImages" / f"{name}.jpg")
            mask = Image.fromarray(np.array([[0, 20, 255, 1, 2, 3]] * 4, dtype=np.uint8), mode=None).convert("P")
            mask.putdata([0, 20, 255, 1, 2, 3] * 4)
            mask.putpalette(list(range(256)) * 3)
            mask.save(base / "SegmentationClass" / f"{name}.png")
    return tmp_path


def test_voc_is_read_from_its_folder(voc):
    data = VOC2012(root=str(voc))
    assert (len(data.train), len(data.test), len(data.train.classes)) == (2, 1, 21)
    image, mask = data.train[1]
    assert tuple(image.shape) == (3, 4, 6)
    assert image.dtype == torch.uint8
    assert mask.tolist() == [[0, 20, 255, 1, 2, 3]] * 4


@pytest.fixture
def ade(tmp_path):
    for part, count in (("training", 3), ("validation", 2)):
        for kind in ("images", "annotations"):
            (tmp_path / kind / part).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (5, 3), (0, 128, 0)).save(tmp_path / "images" / part / f"{number}.jpg")
            numbers = np.array([[0, 1, 2, 149, 150]] * 3, dtype=np.uint8)
            Image.fromarray(numbers).save(tmp_path / "annotations" / part / f"{number}.png")
    return tmp_path


def test_ade20k_counts_its_classes_from_one_and_ignores_other(ade):
    data = ADE20K(root=str(ade))
    assert (len(data.train), len(data.test), len(data.train.classes)) == (3, 2, 150)
    image, mask = data.test[0]
    assert tuple(image.shape) == (3, 3, 5)
    assert (mask.dtype, mask[0].tolist()) == (torch.uint8, [IGNORED, 0, 1, 148, 149])


def test_ade20k_without_images_or_without_a_mask_is_refused(ade):
    (ade / "annotations/training/1.png").unlink()
    with pytest.raises(ValueError, match=r"lacks the masks of 1 of 3 images, the first is 1\.png"):
        ADE20K(root=str(ade)).read()
    with pytest.raises(ValueError, match=r"holds no \.jpg; root is the folder ADEChallengeData2016"):
        ADE20K(root=str(ade / "images")).read()
