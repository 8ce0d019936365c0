"""Fashion-MNIST: 60,000 + 10,000 grey images of 28 x 28, ten classes of clothing (Xiao et al., 2017; MIT)."""

import gzip
import hashlib
import logging
import math
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision
from torch import Tensor

from phis_lab.data.datasource import DataSource
from phis_lab.data.download import appearing_folder, fetching, unpack_debian_package
from phis_lab.data.source import TensorImages
from phis_lab.folders import cache_folder

_CLASSES = tuple(torchvision.datasets.FashionMNIST.classes)
_PACKAGE = "dataset-fashion-mnist"
_INSTALLED = Path("/usr/share/datasets/fashion-mnist")
_SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FashionMNIST(DataSource):
    """Fashion-MNIST, fetched on first use: from torchvision's host, or else from Debian's package of it.

    Both are checked against the sha256 of the decompressed files. Debian compressed them anew, so the
    published md5 sums of the archives do not apply to it; with the archives' original headers put back, they
    do.

    Attributes:
        root: folder with the four idx files, compressed or not, which are then taken as they are; None
            fetches them.
    """

    root: str | None = None

    def read(self) -> tuple[TensorImages, TensorImages]:
        """Returns the train and the test images."""
        folder = Path(self.root).expanduser() if self.root else _locate()
        contents = {name: _content(folder, name) for name in _SHA256}
        if self.root is None:
            _check(contents, folder)
        train, test = (
            TensorImages(
                f"fashion_mnist/{split}",
                parse_idx(contents[f"{prefix}-images-idx3-ubyte"]),
                parse_idx(contents[f"{prefix}-labels-idx1-ubyte"]).long(),
                _CLASSES,
            )
            for split, prefix in (("train", "train"), ("test", "t10k"))
        )
        return train, test


def parse_idx(content: bytes) -> Tensor:
    """Returns the tensor of an idx file: two zero bytes, type 8, rank, big-endian sizes, then the bytes.

    Raises:
        ValueError: the header is not one of unsigned bytes, or the sizes do not multiply to the number of
            values.
    """
    rank = content[3] if content[:3] == b"\0\0\x08" else 0
    start = 4 + 4 * rank
    sizes = [int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)]
    if rank == 0 or len(content) - start != math.prod(sizes):
        raise ValueError(
            f"an idx file is a header of unsigned bytes' sizes and as many values, got {len(content)} bytes "
            f"that begin with {content[:4].hex()} and sizes {sizes}; fetch the file again"
        )
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=start).view(sizes)


def _content(folder: Path, name: str) -> bytes:
    plain, packed = folder / name, folder / f"{name}.gz"
    if plain.is_file():
        return plain.read_bytes()
    if packed.is_file():
        return gzip.decompress(packed.read_bytes())
    raise ValueError(f"Fashion-MNIST is four idx files, got no {name}(.gz) in {folder}; set data.root")


def _check(contents: dict[str, bytes], folder: Path) -> None:
    for name, content in contents.items():
        received = hashlib.sha256(content).hexdigest()
        if received != _SHA256[name]:
            raise ValueError(
                f"{folder / name}: sha256 of the decompressed file is {received}, expected {_SHA256[name]}; "
                "delete the folder to fetch it again, or set data.root to use files as they are"
            )


def fetched() -> Path | None:
    """Returns a folder with the four files if they are on this machine: the cache, or the installed package."""
    folders = (cache_folder("data") / "fashion_mnist", _INSTALLED)
    return next((folder for folder in folders if folder.is_dir()), None)


def _locate() -> Path:
    """Returns a folder with the four files: the cache, the installed package, or the filled cache."""
    if (there := fetched()) is not None:
        return there
    cache = cache_folder("data") / "fashion_mnist"
    causes = [f"Debian package {_PACKAGE}: not installed ({_INSTALLED} is missing)"]
    for way, fetch in (("torchvision", _from_torchvision), ("apt-get download", _from_debian)):
        _log.info("fetching Fashion-MNIST (30 MB) by %s into %s", way, cache)
        try:
            with appearing_folder(cache) as folder:
                fetch(folder)
                _check({name: _content(folder, name) for name in _SHA256}, folder)
        except (OSError, RuntimeError, ValueError, subprocess.SubprocessError) as error:
            causes.append(f"{way}: {' '.join(str(error).split())}")
        else:
            return cache
    raise ValueError(
        "Fashion-MNIST is not here and cannot be fetched:\n  "
        + "\n  ".join(causes)
        + "\nset data.root to a folder with its four idx files, or install the package"
    )


def _from_torchvision(folder: Path) -> None:
    with fetching():
        torchvision.datasets.FashionMNIST(folder, download=True)
    for archive in folder.glob("FashionMNIST/raw/*.gz"):
        archive.rename(folder / archive.name)
    shutil.rmtree(folder / "FashionMNIST")


def _from_debian(folder: Path) -> None:
    unpack_debian_package(_PACKAGE, folder / "tree")
    for archive in (folder / "tree" / _INSTALLED.relative_to("/")).glob("*.gz"):
        archive.rename(folder / archive.name)
    shutil.rmtree(folder / "tree")
