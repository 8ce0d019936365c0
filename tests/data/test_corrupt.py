import logging

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from phis_lab.data import Augmentation, CorruptCounter, DataModule
from phis_lab.data.image_folder import ImageFolder


def folder_with(tmp_path, png, images, corrupt):
    """Writes `images` PNGs per split of which the given numbers are no images."""
    for split in ("train", "test"):
        for number in range(images):
            file = tmp_path / split / "only" / f"{number:03}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"broken" if number in corrupt else png(number))
    return ImageFolder(root=str(tmp_path), batch_size=10)


@given(images=st.integers(1, 5000), seen=st.integers(1, 5000), corrupt=st.integers(0, 60))
def test_a_run_ends_when_more_than_one_percent_of_the_images_are_corrupt(images, seen, corrupt):
    counter = CorruptCounter("made", images)
    names = [str(number) for number in range(corrupt)]
    if corrupt * 100 > min(images, max(seen, 1000)):
        with pytest.raises(ValueError, match=f"made: {corrupt} corrupt images"):
            counter.update(names, seen)
    else:
        counter.update(names, seen)


def test_an_image_that_is_corrupt_in_every_epoch_counts_and_is_logged_once(caplog):
    counter = CorruptCounter("made", 200)
    with caplog.at_level(logging.WARNING):
        for _ in range(10):
            counter.update(["made[7]"], seen=200)
    assert counter.names == {"made[7]"}
    assert [record.getMessage() for record in caplog.records] == ["left out a corrupt image: made[7]"]


def test_the_reason_is_told_with_the_name(tmp_path, png, caplog):
    data = DataModule(folder_with(tmp_path, png, 100, {42}), Augmentation(8), 10)
    with caplog.at_level(logging.WARNING):
        list(data.train_dataloader())
    (line,) = (record.getMessage() for record in caplog.records if "corrupt" in record.getMessage())
    assert line.endswith("only/042.png (its content is no image that the installed Pillow reads)")
    with pytest.raises(ValueError, match=r"Among them: a \(truncated\), b$"):
        CorruptCounter("made", 100).update(["a", "b"], 50, ["truncated", ""])


def test_the_message_that_ends_a_run_names_some_images_and_the_total():
    counter = CorruptCounter("made", 100)
    with pytest.raises(ValueError, match=r"12 corrupt images among 50 seen .* more than 1%.*a00, a01, a02, a03, a04$"):
        counter.update([f"a{number:02}" for number in range(12)], seen=50)


def test_a_corrupt_image_is_left_out_of_its_batch_and_named(tmp_path, png, pixels):
    data = DataModule(folder_with(tmp_path, png, 100, {42}), Augmentation(8, (1.0, 1.0), (1.0, 1.0), False), 10)
    batches = [step["all"] for step in data.train_dataloader()]
    assert sorted(len(batch.images) for batch in batches) == [9] + [10] * 9
    (name,) = [name for batch in batches for name in batch.corrupt]
    assert name.endswith("only/042.png")
    for batch in batches:
        for image, (index, _) in zip(batch.images, batch.keys.tolist(), strict=True):
            torch.testing.assert_close(image, pixels(index) / 255)


def test_evaluations_leave_corrupt_images_out_with_their_labels(tmp_path, png):
    data = DataModule(folder_with(tmp_path, png, 100, {3}), Augmentation(8), steps=1)
    batches = list(data.eval_loader("test"))
    assert [len(images) for images, _ in batches] == [len(labels) for _, labels in batches] == [9] + [10] * 9


def test_views_to_be_stored_leave_corrupt_images_out_even_where_a_batch_has_no_others(tmp_path, png, caplog):
    data = DataModule(folder_with(tmp_path, png, 200, {3, 4}), Augmentation(8, views=1), steps=1)
    asked = [[(index, 0) for index in range(first, first + 2)] for first in (1, 3, 5)]
    batches = [(images.shape[1:], keys[:, 0].tolist()) for images, keys in data.fixed_train_views().render(asked)]
    assert batches == [((3, 8, 8), [1, 2]), ((3, 8, 8), []), ((3, 8, 8), [5, 6])]
    assert "left out a corrupt image" in caplog.text


def test_too_many_corrupt_images_end_training_and_evaluation(tmp_path, png):
    data = DataModule(folder_with(tmp_path, png, 40, {3, 17}), Augmentation(8), steps=4)
    for loader in (data.train_dataloader(), data.eval_loader("test")):
        with pytest.raises(ValueError, match="more than 1%"):
            list(loader)


def test_a_batch_without_a_sound_image_is_refused(tmp_path, png):
    data = DataModule(folder_with(tmp_path, png, 10, set(range(10))), Augmentation(8), steps=1)
    with pytest.raises(ValueError, match=r"no image of this batch decodes: .*only/00\d\.png.*\(10 in all\)"):
        list(data.train_dataloader())
