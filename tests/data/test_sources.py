import shutil

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from phis_lab.data import Augmentation, CorruptImageError, DataModule, TensorImages
from phis_lab.data.digits import Digits
from phis_lab.data.image_folder import ImageFolder


@pytest.fixture
def folder(tmp_path, png):
    for number in range(12):
        split = "train" if number < 8 else "test"
        file = tmp_path / "photos" / split / ("cat", "dog")[number % 2] / f"{number:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(number))
    return tmp_path / "photos"


def test_digits_are_scikit_learn_s_in_255_grey_levels_on_three_channels():
    bunch, digits = load_digits(), Digits()
    images = [source.image(i) for source in (digits.train, digits.test) for i in range(len(source))]
    assert [len(digits.train), len(digits.test)] == [1500, 297]
    expected = np.rint(bunch.images * 255 / 16)
    for channel in range(3):
        assert np.array_equal(torch.stack(images)[:, channel].numpy(), expected)
    assert torch.cat([digits.train.labels, digits.test.labels]).tolist() == bunch.target.tolist()
    assert digits.train.classes == tuple("0123456789")


def test_a_data_set_takes_the_subsets_it_is_asked_for():
    digits = Digits(train_images=100, test_images=20)
    assert digits.train.labels.bincount().tolist() == [10] * 10
    assert digits.test.labels.bincount().tolist() == [2] * 10


def test_the_fingerprint_of_images_in_memory_changes_with_a_pixel_a_label_or_the_shape():
    images, labels = torch.zeros(4, 2, 3, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64)
    other, relabelled = images.clone(), labels.clone()
    other[3, 1, 2] = relabelled[3] = 1
    made = [(images, labels), (other, labels), (images, relabelled), (images.reshape(4, 3, 2), labels)]
    assert len({TensorImages("made", *contents, "ab").fingerprint for contents in made}) == 4


def test_an_image_folder_gives_every_file_with_the_class_of_its_folder(folder, pixels):
    source = ImageFolder(root=str(folder))
    assert source.train.classes == source.test.classes == ("cat", "dog")
    numbers = [0, 2, 4, 6, 1, 3, 5, 7]
    assert source.train.labels.tolist() == [number % 2 for number in numbers]
    for index, number in enumerate(numbers):
        assert torch.equal(source.train.image(index), pixels(number))
    assert len(source.test) == 4


def test_validation_images_serve_where_there_are_no_test_images(folder):
    (folder / "test").rename(folder / "val")
    source = ImageFolder(root=str(folder)).test
    assert (len(source), source.name) == (4, "photos/val")


@pytest.mark.parametrize("name", ["validation", "valid"])
def test_other_usual_names_of_the_test_folder_are_known(folder, name):
    (folder / "test").rename(folder / name)
    assert ImageFolder(root=str(folder)).test.name == f"photos/{name}"


def test_without_test_images_some_training_images_are_held_out_and_serve_whoever_needs_no_labels(folder):
    shutil.rmtree(folder / "test")
    source = ImageFolder(root=str(folder))
    assert [len(source.train), len(source.test), source.test.classes] == [7, 1, ("cat", "dog")]
    data = DataModule(source, Augmentation(8), steps=1)
    assert sum(len(images) for images, _ in data.eval_loader("test", labelled=False)) == 1
    assert data.central_test_views(4).count == 1
    with pytest.raises(ValueError, match=r"none of the folders test, val, .*choose evaluation=matching"):
        data.eval_loader("test")
    assert len(list(data.eval_loader("train").labels)) == 7


def test_images_outside_class_folders_have_no_label_and_classes_agree_over_both_splits(folder, png):
    (folder / "train" / "loose.png").write_bytes(png(50))
    shutil.rmtree(folder / "train" / "cat")
    source = ImageFolder(root=str(folder))
    assert source.train.labels.tolist() == [1, 1, 1, 1, -1]
    assert source.test.labels.tolist() == [0, 0, 1, 1]


def test_the_fingerprint_of_a_folder_survives_a_move_but_not_a_changed_file(folder, tmp_path, png):
    before = ImageFolder(root=str(folder)).train.fingerprint
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    assert ImageFolder(root=str(moved)).train.fingerprint == before
    (moved / "train" / "cat" / "00.png").write_bytes(png(99))
    assert ImageFolder(root=str(moved)).train.fingerprint != before


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"train holds no image; data\.root needs the folders train and test"):
        ImageFolder(root=str(tmp_path)).read()


@pytest.mark.parametrize("damage", [lambda png: png[: len(png) // 2], lambda _: b"", lambda _: b"no image"])
def test_a_damaged_file_is_a_corrupt_image_and_named(folder, damage):
    file = folder / "train" / "cat" / "02.png"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(CorruptImageError, match=r"cat/02\.png does not decode"):
        ImageFolder(root=str(folder)).train.image(1)
