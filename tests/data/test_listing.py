"""What a folder holds: images, classes, and what is left out and told."""

import logging
import os
import shutil
import socket

import pytest
import torch

from phis_lab.data import Augmentation, CorruptImageError, DataModule
from phis_lab.data.image_folder import ImageFolder
from phis_lab.data.loading import refuse_absent_classes


@pytest.fixture
def folder(tmp_path, png):
    """Twelve images in the classes a and b, eight of them to train on."""
    for number in range(12):
        file = tmp_path / "set" / ("train" if number < 8 else "test") / "ab"[number % 2] / f"{number:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(number))
    return tmp_path / "set"


@pytest.fixture
def told(folder, caplog):
    """Reads the folder and returns its training images with what was logged."""

    def read():
        caplog.clear()
        with caplog.at_level(logging.INFO, "phis_lab"):
            train, _ = ImageFolder(root=str(folder)).read()
        return train, [record.getMessage() for record in caplog.records]

    return read


def test_a_folder_of_images_alone_is_told_nothing_about(told):
    train, lines = told()
    assert (len(train), lines) == (8, [])


def test_what_is_no_image_is_counted_by_reason_in_one_line(folder, told, png):
    train = folder / "train"
    for name in ("._00.png", ".DS_Store", "Thumbs.db"):
        (train / "a" / name).write_bytes(b"\0\5\x16\7")
    for name in ("notes.txt", "labels.txt", "raw.dng", "README"):
        (train / name).write_bytes(b"text")
    for name in (".ipynb_checkpoints", "__MACOSX"):
        (train / name).mkdir()
        (train / name / "00.png").write_bytes(png(99))
    (train / "a" / "album.png").mkdir()
    (train / "c").mkdir()
    (train / "a" / "gone.png").symlink_to(folder / "nowhere.png")
    (train / "a" / "self.png").symlink_to(train / "a" / "self.png")
    os.mkfifo(train / "a" / "pipe.png")
    source, lines = told()
    assert (len(source), source.classes, len(lines)) == (8, ("a", "b"), 1)
    assert lines[0].startswith("left out of set/train: ")
    for part in (
        "3 hidden files (",
        "2 hidden folders (",
        "2 dead links (a/gone.png, a/self.png)",
        "2 folders without an image (a/album.png, c)",
        "1 pipe, sockets or devices (a/pipe.png)",
        "4 files of other kinds (.txt, no ending, .dng)",
    ):
        assert part in lines[0]


def test_a_socket_is_no_image(folder, told, monkeypatch):
    monkeypatch.chdir(folder / "train" / "a")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.png")
        assert len(told()[0]) == 8


def test_kinds_that_pillow_cannot_read_are_told(folder, told, monkeypatch):
    monkeypatch.setattr("phis_lab.data.listing.readable_endings", lambda: frozenset({".png"}))
    (folder / "train" / "a" / "phone.HEIC").write_bytes(b"x")
    assert "1 image file that the installed Pillow cannot read (.heic)" in told()[1][0]


def test_endings_are_read_in_upper_case_and_all_kinds_count(folder, told, png):
    for name in ("x.PNG", "x.gif", "x.Tiff", "x.jp2", "x.jfif"):
        (folder / "train" / "a" / name).write_bytes(png(50))
    assert len(told()[0]) == 13


def test_links_to_classes_files_and_splits_are_followed(folder, told, tmp_path, pixels):
    for path in (folder / "train" / "b", folder / "train" / "a" / "00.png", folder / "test"):
        shutil.move(path, tmp_path / path.name)
        path.symlink_to(tmp_path / path.name)
    source, lines = told()
    assert (source.labels.tolist(), lines) == ([0] * 4 + [1] * 4, [])
    assert torch.equal(source.image(0), pixels(0))


def test_a_link_to_a_folder_around_it_ends(folder, told):
    (folder / "train" / "a" / "again").symlink_to(folder / "train")
    source, lines = told()
    assert len(source) == 8
    assert "1 link to a folder around it (a/again)" in lines[0]


def test_an_unreadable_folder_is_named(folder, told, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if os.fspath(path).endswith("train/b"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert "1 folder that cannot be read: Permission denied (b)" in told()[1][0]


def test_a_root_that_is_no_folder_is_named(folder):
    with pytest.raises(ValueError, match=r"data\.root=.*/nothing is no folder"):
        ImageFolder(root=str(folder / "nothing")).read()
    with pytest.raises(ValueError, match=r"train holds no image.* It holds a, b$"):
        ImageFolder(root=str(folder / "train")).read()


def test_an_image_that_vanishes_or_may_not_be_read_is_corrupt(folder, monkeypatch):
    train = ImageFolder(root=str(folder)).train
    (folder / "train" / "a" / "00.png").unlink()
    with pytest.raises(CorruptImageError, match=r"00\.png does not decode: it cannot be read \(No such file"):
        train.image(0)


def test_test_images_are_those_of_the_first_folder_with_classes(folder, told, png):
    (folder / "test").rename(folder / "validation")
    (folder / "test").mkdir()
    (folder / "test" / "loose.png").write_bytes(png(3))
    assert ImageFolder(root=str(folder)).test.name == "set/validation"
    assert told()[1] == [f"{folder / 'test'} is not read: another folder has the test images"]


def test_classes_that_one_split_lacks_are_told_and_refused_before_an_evaluation(folder, told):
    (folder / "test" / "a").rename(folder / "test" / "lemur")
    assert told()[1] == ["train and test have other classes: set/train alone has a (1); set/test alone has lemur (1)"]
    data = DataModule(ImageFolder(root=str(folder)), Augmentation(8), steps=1)
    with pytest.raises(ValueError, match=r"set/test has images of 1 classes that the 8 .* of set/train lack: lemur"):
        refuse_absent_classes(data.eval_loader("train"), data.eval_loader("test"))


def test_a_subset_that_loses_a_class_is_refused_and_a_test_set_of_some_classes_is_not(folder):
    data = DataModule(ImageFolder(root=str(folder), train_images=1), Augmentation(8), steps=1)
    with pytest.raises(ValueError, match=r"raise data\.train_images and evaluation\.train_images"):
        refuse_absent_classes(data.eval_loader("train"), data.eval_loader("test"))
    shutil.rmtree(folder / "test" / "a")
    data = DataModule(ImageFolder(root=str(folder)), Augmentation(8), steps=1)
    refuse_absent_classes(data.eval_loader("train"), data.eval_loader("test"))
