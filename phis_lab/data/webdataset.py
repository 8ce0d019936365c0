"""Webdataset's tar shards on local disk, read at random through an index."""

import glob
import logging
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from braceexpand import braceexpand
from torch import Tensor

from phis_lab.data.datasource import DataSource
from phis_lab.data.decoding import decode_image, reading
from phis_lab.data.fingerprint import fingerprint_files
from phis_lab.data.left_out import LeftOut
from phis_lab.data.plain_files import read_part
from phis_lab.data.source import ImageSource, NoImages, digest
from phis_lab.data.tar_index import TarIndex, index_shard
from phis_lab.whole_files import open_plain

_TEST_SHARDS = ("test-*.tar", "val-*.tar", "validation-*.tar", "valid-*.tar")
_log = logging.getLogger(__name__)


def matching_shards(root: Path, patterns: str | Sequence[str]) -> list[Path]:
    """Returns the shards that some patterns name, in the patterns' order and within `*` in that of their names.

    Args:
        root: what relative patterns begin at.
        patterns: one or more, in a list or joined by `::`. Braces are expanded first, as a shell does, and what they
            name must exist; then `*`, `?`, `[...]`, `**` take what is there. A shard that several of them name is read
            once.

    Raises:
        ValueError: a pattern names no shard, or a remote one.
    """
    given = [patterns] if isinstance(patterns, str) else patterns
    shards: dict[Path, None] = {}
    for pattern in (part for several in given for part in several.split("::")):
        if re.match(r"\w+://|pipe:", pattern):
            raise ValueError(f"{pattern} is no file on a disk; shards are read at random, so copy them into a folder")
        for name in _expanded(pattern):
            shards.update(dict.fromkeys(_files(root, name)))
    return list(shards)


def _files(root: Path, name: str) -> list[Path]:
    path = root / Path(name).expanduser()
    if path.exists() or not glob.has_magic(name):
        return [path]
    found = sorted(glob.glob(str(Path(name).expanduser()), root_dir=root, recursive=True))  # noqa: PTH207  # Path takes no absolute one
    if not found:
        raise ValueError(f"no shard in {root} matches {name}; check data.root and the pattern")
    return [root / file for file in found]


def _expanded(pattern: str) -> Iterator[str]:
    try:
        yield from braceexpand(pattern, escape=False)
    except ValueError as error:
        raise ValueError(f"{pattern} has a brace that is never closed or never opened: {error}") from None


@dataclass(frozen=True, kw_only=True)
class WebDataset(DataSource):
    """Images in local tar shards: `<key>.jpg` or another kind of image, its label in `<key>.cls` or `<key>.json`.

    A key ends at the first dot of a file's name. The shards are indexed once and then read by offset, so the order of
    samples is the seed's, not the shards'. Class names come from `<root>/classes.txt`, one per line, if there is one,
    and else are the labels' numbers. `docs/data.md` has the rules.

    Attributes:
        root: folder of the shards.
        train_shards: shards to train on, as in `train-{000..009}.tar` or `train-*.tar`, or a list of such patterns.
        test_shards: shards to test on; None takes `test-*.tar`, else `val-*.tar`, `validation-*.tar` or `valid-*.tar`,
            else there are no test images.
        image: ending of the image where a sample has several, such as `input.jpg`.
    """

    root: str
    train_shards: str | Sequence[str] = "train-*.tar"
    test_shards: str | Sequence[str] | None = None
    image: str | None = None

    def read(self) -> tuple[ImageSource, ImageSource]:
        """Returns the train and the test images.

        Raises:
            ValueError: no shard matches, or one is missing or damaged; the message names it.
        """
        root = Path(self.root).expanduser()
        if not root.is_dir():
            raise ValueError(f"data.root={self.root} is no folder; give the one that holds the shards")
        shards = {"train": matching_shards(root, self.train_shards), "test": self._test_shards(root)}
        if both := [shard.name for shard in shards["test"] if shard in shards["train"]]:
            _log.warning("shards of %s both train and test: %s (%d)", root, ", ".join(both[:3]), len(both))
        indexes = {part: [index_shard(shard, self.image) for shard in of] for part, of in shards.items()}
        for part, of in indexes.items():
            _tell(f"{root.name}/{part}", of)
        classes = _classes(root) or _numbers([*indexes["train"], *indexes["test"]])
        sources: list[ImageSource] = [
            TarImages(f"{root.name}/{part}", root, shards[part], of, classes, self.image)
            for part, of in indexes.items()
            if of
        ]
        if len(sources) == 1:
            reason = f"no shard in {root} matches {', '.join(_TEST_SHARDS)}"
            sources.append(NoImages(f"{root.name}/test", reason, classes))
        return sources[0], sources[1]

    def _test_shards(self, root: Path) -> list[Path]:
        if self.test_shards is not None:
            return matching_shards(root, self.test_shards)
        return next((found for pattern in _TEST_SHARDS if (found := sorted(root.glob(pattern)))), [])


class TarImages(ImageSource):
    """The images of some shards, in the shards' order; each read opens its file, which every worker may do.

    Args:
        name: of the source.
        root: folder that the names of the shards are relative to.
        shards: uncompressed tar files.
        indexes: one of each shard.
        classes: names of the classes.
        image: ending by which one of several images of each sample was chosen.
    """

    def __init__(
        self,
        name: str,
        root: Path,
        shards: list[Path],
        indexes: list[TarIndex],
        classes: Iterable[str],
        image: str | None = None,
    ) -> None:
        labels = torch.tensor([label for index in indexes for label in index.labels])
        self.shards, self._states = shards, [_state(shard.stat()) for shard in shards]
        self.names = [file for index in indexes for file in index.names]
        files = {os.path.relpath(shard, root): shard for shard in shards} | _class_file(root)
        known = [*self.names, str(labels.tolist())]
        fingerprint = fingerprint_files(files, known)
        if image is not None:
            fingerprint = digest(fingerprint, *known)
        super().__init__(name, fingerprint, labels, classes)
        self.places = torch.tensor(
            [
                (number, offset, size)
                for number, index in enumerate(indexes)
                for offset, size in zip(index.offsets, index.sizes, strict=True)
            ]
        )

    def image(self, index: int) -> Tensor:
        """Decodes an image.

        Raises:
            CorruptImageError: it does not decode, or its shard cannot be read.
            ValueError: the shard was changed since it was indexed, so that the bytes at this place are others.
        """
        number, offset, size = self.places[index].tolist()
        shard, name = self.shards[number], self.image_name(index)
        with reading(name), open_plain(shard) as file:
            changed = _state(os.fstat(file.fileno())) != self._states[number]
            data = read_part(file, offset, size)
        if changed:
            raise ValueError(f"{shard} was changed while the run reads it; start the run again when it is complete")
        return decode_image(data, name)

    def image_name(self, index: int) -> str:  # noqa: D102
        return f"{self.shards[int(self.places[index, 0])]}:{self.names[index]}"


def _state(found: os.stat_result) -> tuple[int, int]:
    return found.st_size, found.st_mtime_ns


def _class_file(root: Path) -> dict[str, Path]:
    file = root / "classes.txt"
    return {file.name: file} if file.is_file() else {}


def _classes(root: Path) -> list[str]:
    return [name for file in _class_file(root).values() for name in file.read_text("utf-8-sig").splitlines()]


def _tell(name: str, indexes: Iterable[TarIndex]) -> None:
    """Logs in one line what the shards of a source hold besides its images."""
    left_out = LeftOut()
    for index in indexes:
        for reason, details in index.left_out.items():
            for detail, count in details.items():
                left_out.add(reason, detail, count)
    left_out.tell(name)


def _numbers(indexes: list[TarIndex]) -> list[str]:
    return [str(label) for label in range(max(max(index.labels) for index in indexes) + 1)]
