"""Folders: where downloads are kept between runs, and those that a command makes and takes away again."""

import os
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


def cache_folder(*parts: str) -> Path:
    """Returns the folder `$PHIS_LAB_CACHE/<parts>` and creates it; the default root is `~/.cache/phis_lab`.

    Whatever is written there must be written to a temporary name and renamed, so that an interrupted or a
    parallel run never leaves half a file under a final name.
    """
    folder = cache_path().joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def cache_path() -> Path:
    """Root of these folders, which need not be there."""
    return Path(os.environ.get("PHIS_LAB_CACHE") or "~/.cache/phis_lab").expanduser()
