"""Facts about files that take long to find and are kept in the cache."""

import json
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from phis_lab.cache import cache_folder
from phis_lab.data.source import digest

Fact = TypeVar("Fact")


def file_state(path: Path) -> str:
    """Returns what changes when a file is written or replaced: its size, its node and its times.

    The time of status, unlike that of modification, is set by no program that copies or unpacks files.
    """
    try:
        found = path.stat()
    except OSError:
        return "none"
    return f"{found.st_size} {found.st_ino} {found.st_mtime_ns} {found.st_ctime_ns}"


def remembered(kind: str, key: Iterable[str], make: Callable[[], Fact]) -> Fact:
    """Returns a fact in JSON's types from the cache, or makes and keeps it.

    Args:
        kind: folder of the cache.
        key: everything that the fact depends on.
        make: finds it out.
    """
    kept = cache_folder(kind) / f"{digest(*key)}.json"
    if kept.is_file():
        known: Fact = json.loads(kept.read_text())
        return known
    fact = make()
    with tempfile.NamedTemporaryFile("w", dir=kept.parent, delete=False) as file:
        json.dump(fact, file)
    Path(file.name).replace(kept)
    return fact
