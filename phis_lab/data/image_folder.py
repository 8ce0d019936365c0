"""A folder of image files with one subfolder per class."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS

from phis_lab.data.decoding import decode_image, fingerprint_files
from phis_lab.data.options import DataSource
from phis_lab.data.source import UNLABELLED, ImageSource, NoImages

_TEST_FOLDERS = ("test", "val", "validation", "valid")


@dataclass(frozen=True, kw_only=True)
class ImageFolder(DataSource):
    """Image files at `<root>/train/<class>/...` and `<root>/test/<class>/...`.

    `val`, `validation` or `valid` serve where there is no `test`; without any of them there are no test images.


    A class is a folder name and counts from 0 in alphabetical order over train and test together. An image
    that lies directly in `train` has no class: it can be trained on but not evaluated on.

    Attributes:
        root: folder that holds `train` and `test`.
    """

    root: str

    def read(self) -> tuple[ImageSource, ImageSource]:
        """Returns the train and the test images.

        Raises:
            ValueError: `train` is missing, or a folder holds no image.
        """
        root = Path(self.root).expanduser()
        tests = [root / name for name in _TEST_FOLDERS if (root / name).is_dir()]
        folders = [root / "train", *tests[:1]]
        files = [_image_files(folder) for folder in folders]
        names = {
            name
            for folder, found in zip(folders, files, strict=True)
            for file in found
            if (name := _class_name(folder, file))
        }
        classes = sorted(names)
        parts = [FolderImages(folder, found, classes) for folder, found in zip(folders, files, strict=True)]
        if len(parts) == 1:
            reason = f"{root} holds none of the folders {', '.join(_TEST_FOLDERS)}"
            return parts[0], NoImages(f"{root.name}/test", reason, classes)
        return parts[0], parts[1]


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
        return decode_image(self.files[index].read_bytes(), self.image_name(index))

    def image_name(self, index: int) -> str:  # noqa: D102
        return str(self.files[index])


def _image_files(folder: Path) -> list[Path]:
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in IMG_EXTENSIONS)
    if not files:
        raise ValueError(
            f"{folder} holds no image; data.root needs the folders train and test (or val), each with "
            f"<class>/<name> ending in one of {', '.join(IMG_EXTENSIONS)}"
        )
    return files


def _class_name(folder: Path, file: Path) -> str:
    """Returns the first folder below `folder` on the way to `file`, empty where there is none."""
    parts = file.relative_to(folder).parts
    return parts[0] if len(parts) > 1 else ""
