"""A folder of image files with one subfolder per class."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from phis_lab.data.datasource import DataSource
from phis_lab.data.decoding import decode_image, reading
from phis_lab.data.fingerprint import fingerprint_files
from phis_lab.data.left_out import LeftOut
from phis_lab.data.listing import Listing, list_images
from phis_lab.data.plain_files import read_plain
from phis_lab.data.source import UNLABELLED, ImageSource, NoImages

TEST_NAMES = ("test", "val", "validation", "valid")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ImageFolder(DataSource):
    """Image files at `<root>/train/<class>/...` and `<root>/test/<class>/...`.

    `val`, `validation` or `valid` serve where `test` is missing, empty, or without classes while they have some;
    without any of them there are no test images. A class is a folder name and counts from 0 in alphabetical order
    over train and test together. An image that lies directly in `train` has no class: it can be trained on but not
    evaluated on. `docs/data.md` tells which files are images.

    Attributes:
        root: folder that holds `train` and `test`.
    """

    root: str

    def read(self) -> tuple[ImageSource, ImageSource]:
        """Returns the train and the test images.

        Raises:
            ValueError: `root` is no folder, or `train` holds no image.
        """
        root = Path(self.root).expanduser()
        if not root.is_dir():
            raise ValueError(f"data.root={self.root} is no folder; give the one that holds train and test")
        found = _train_and_test(root)
        files = {folder: listing.files for folder, listing in found.items()}
        classes = sorted({name for folder, found in files.items() for name in class_names(folder, found)})
        sources = [FolderImages(folder, found, classes) for folder, found in files.items()]
        if len(sources) == 2:
            _tell_of_classes(*sources)
            return sources[0], sources[1]
        reason = f"none of the folders {', '.join(TEST_NAMES)} in {root} holds an image"
        return sources[0], NoImages(f"{root.name}/test", reason, classes)


class FolderImages(ImageSource):
    """The image files of one folder, decoded when asked for.

    Args:
        folder: what file names are relative to.
        files: the images, all below `folder`.
        classes: names of the classes, in the order of the labels.
    """

    def __init__(self, folder: Path, files: list[Path], classes: Iterable[str]) -> None:
        position = {name: label for label, name in enumerate(classes)}
        labels = torch.tensor([position.get(_class_name(folder, file), UNLABELLED) for file in files])
        fingerprint = fingerprint_files({str(file.relative_to(folder)): file for file in files})
        super().__init__(f"{folder.parent.name}/{folder.name}", fingerprint, labels, position)
        self.files = files

    def image(self, index: int) -> Tensor:  # noqa: D102
        name = self.image_name(index)
        with reading(name):
            data = read_plain(self.files[index])
        return decode_image(data, name)

    def image_name(self, index: int) -> str:  # noqa: D102
        return str(self.files[index])


def class_names(folder: Path, files: Iterable[Path]) -> set[str]:
    """Returns the names of the classes of image files below a folder."""
    return {_class_name(folder, file) for file in files} - {""}


def _class_name(folder: Path, file: Path) -> str:
    """Returns the first folder below `folder` on the way to `file`, empty where there is none."""
    parts = file.relative_to(folder).parts
    return parts[0] if len(parts) > 1 else ""


def _train_and_test(root: Path) -> dict[Path, Listing]:
    """What `train` holds, and the first of the other folders that has classes, or else the first with an image."""
    train = root / "train"
    images = list_images(train) if train.is_dir() else Listing([], LeftOut())
    if not images.files:
        raise ValueError(_without_images(root, images.left_out))
    listings = {root / name: list_images(root / name) for name in TEST_NAMES if (root / name).is_dir()}
    tests = {folder: listing for folder, listing in listings.items() if listing.files}
    labelled = [folder for folder, listing in tests.items() if class_names(folder, listing.files)]
    chosen = next(iter(labelled or tests), None)
    for folder, listing in ((train, images), *listings.items()):
        if folder in (train, chosen):
            listing.left_out.tell(f"{root.name}/{folder.name}")
        else:
            _log.warning("%s is not read: %s", folder, "another folder has the test images" if chosen else "no image")
    return {train: images} if chosen is None else {train: images, chosen: tests[chosen]}


def _without_images(root: Path, left_out: LeftOut) -> str:
    inside = ", ".join(sorted(entry.name for entry in root.iterdir())[:8])
    return (
        f"{root / 'train'} holds no image; data.root needs the folders train and test (or {', '.join(TEST_NAMES[1:])}, "
        f"or train alone), each with <class>/<name>.jpg or another kind of image. It holds {inside or 'nothing'}"
        + (f"; left out of train: {left_out}" if left_out.counts else "")
    )


def _tell_of_classes(train: ImageSource, test: ImageSource) -> None:
    """Logs the classes that only one of both has."""
    has = [{of.classes[label] for label in of.labels.unique().tolist() if label >= 0} for of in (train, test)]
    alone = [(train.name, has[0] - has[1]), (test.name, has[1] - has[0])]
    if all(has) and has[0] != has[1]:
        told = [f"{name} alone has {', '.join(sorted(names)[:5])} ({len(names)})" for name, names in alone if names]
        _log.warning("train and test have other classes: %s", "; ".join(told))
