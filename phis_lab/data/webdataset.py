"""Webdataset's tar shards on local disk, read at random through an index."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from phis_lab.data.decoding import decode_image, fingerprint_files
from phis_lab.data.options import DataSource
from phis_lab.data.source import ImageSource, NoImages
from phis_lab.data.tar_index import TarIndex, index_shard

_TEST_SHARDS = ("test-*.tar", "val-*.tar", "validation-*.tar", "valid-*.tar")


@dataclass(frozen=True, kw_only=True)
class WebDataset(DataSource):
    """Images in local tar shards: `<key>.jpg` (jpeg, png, webp), its label in `<key>.cls` or `<key>.json`.

    The shards are indexed once and then read by offset, so the order of samples is the seed's, not the
    shards'. Class names come from `<root>/classes.txt`, one per line, if there is one, and else are the
    labels' numbers.

    Attributes:
        root: folder of the shards.
        train_shards: shards to train on, as in `train-{000..009}.tar` or `train-*.tar`.
        test_shards: shards to test on; None takes `test-*.tar`, else `val-*.tar`, `validation-*.tar` or `valid-*.tar`,
            else there are no test images.
    """

    root: str
    train_shards: str = "train-*.tar"
    test_shards: str | None = None

    def read(self) -> tuple[ImageSource, ImageSource]:
        """Returns the train and the test images.

        Raises:
            ValueError: no shard matches, or one is missing or damaged; the message names it.
        """
        root = Path(self.root).expanduser()
        shards = [matching_shards(root, self.train_shards), self._test_shards(root)]
        indexes = [[index_shard(shard) for shard in part] for part in shards]
        classes = _classes(root) or _numbers(indexes[0] + indexes[1])
        train = TarImages(f"{root.name}/train", shards[0], indexes[0], classes)
        name = f"{root.name}/test"
        if not shards[1]:
            return train, NoImages(name, f"no shard in {root} matches {', '.join(_TEST_SHARDS)}", classes)
        return train, TarImages(name, shards[1], indexes[1], classes)

    def _test_shards(self, root: Path) -> list[Path]:
        if self.test_shards is not None:
            return matching_shards(root, self.test_shards)
        return next((found for pattern in _TEST_SHARDS if (found := sorted(root.glob(pattern)))), [])


class TarImages(ImageSource):
    """The images of some shards, in the shards' order; each read opens its file, which every worker may do.

    Args:
        name: of the source.
        shards: uncompressed tar files.
        indexes: one of each shard.
        classes: names of the classes.
    """

    def __init__(self, name: str, shards: list[Path], indexes: list[TarIndex], classes: Iterable[str]) -> None:
        labels = torch.tensor([label for index in indexes for label in index.labels])
        super().__init__(name, fingerprint_files({shard.name: shard for shard in shards}), labels, classes)
        self.shards = shards
        self.names = [file for index in indexes for file in index.names]
        self.places = torch.tensor(
            [
                (number, offset, size)
                for number, index in enumerate(indexes)
                for offset, size in zip(index.offsets, index.sizes, strict=True)
            ]
        )

    def image(self, index: int) -> Tensor:  # noqa: D102
        shard, offset, size = self.places[index].tolist()
        with self.shards[shard].open("rb") as file:
            file.seek(offset)
            return decode_image(file.read(size), self.image_name(index))

    def image_name(self, index: int) -> str:  # noqa: D102
        return f"{self.shards[int(self.places[index, 0])]}:{self.names[index]}"


def expand_braces(pattern: str) -> list[str]:
    """Expands `{a,b}` and `{00..12}` as a shell does; numbers keep the width of their leading zeros.

    Example:
        >>> expand_braces("{a,b}-{08..10}.tar")[:3]
        ['a-08.tar', 'a-09.tar', 'a-10.tar']
    """
    braces = re.search(r"\{([^{}]*)\}", pattern)
    if braces is None:
        return [pattern]
    bounds = re.fullmatch(r"(\d+)\.\.(\d+)", braces[1])
    if bounds:
        choices = [f"{number:0{len(bounds[1])}}" for number in range(int(bounds[1]), int(bounds[2]) + 1)]
    else:
        choices = braces[1].split(",")
    before, after = pattern[: braces.start()], pattern[braces.end() :]
    return [expanded for choice in choices for expanded in expand_braces(before + choice + after)]


def matching_shards(root: Path, pattern: str) -> list[Path]:
    """Returns the shards of `root` that `pattern` names: braces must all exist, `*` takes what is there.

    Raises:
        ValueError: there is none.
    """
    shards = [
        shard
        for name in expand_braces(pattern)
        for shard in (sorted(root.glob(name)) if "*" in name else [root / name])
    ]
    if not shards:
        raise ValueError(f"no shard in {root} matches {pattern}; check data.root and the pattern")
    return shards


def _classes(root: Path) -> list[str]:
    file = root / "classes.txt"
    return file.read_text().splitlines() if file.is_file() else []


def _numbers(indexes: list[TarIndex]) -> list[str]:
    return [str(label) for label in range(max(max(index.labels) for index in indexes) + 1)]
