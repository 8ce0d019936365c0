"""Folders that a command makes, and takes away again where it leaves nothing in them."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def missing_folders(folder: Path) -> list[Path]:
    """Of a folder and its parents those that are not there yet, the innermost first."""
    absolute = folder.absolute()
    return [path for path in (absolute, *absolute.parents) if not path.exists()]


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove those that hold nothing; the innermost must come first."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()
