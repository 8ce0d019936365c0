"""Fingerprints of files: cheap for large collections, and sensitive to any file of them that is replaced."""

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from phis_lab.data.plain_files import read_plain
from phis_lab.data.source import digest
from phis_lab.folders import cache_folder
from phis_lab.whole_files import DamagedFileError, broken_seal, open_plain, read_json, sealed, write_text

Fact = TypeVar("Fact")
_READ_WHOLE = 256 * 1024**2
_SAMPLE = 1024
_BETWEEN_SAMPLES = 16 * 1024**2
_READERS = 16
_AT_ONCE = 4096
_log = logging.getLogger(__name__)


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
    with suppress(OSError, DamagedFileError):
        known = read_json(kept)
        if isinstance(known, dict) and not broken_seal(known):
            found: Fact = known["fact"]
            return found
    fact = make()
    write_text(kept, json.dumps(sealed({"fact": fact})))
    return fact


def fingerprint_files(files: Mapping[str, Path], known: Sequence[str] = ()) -> str:
    """Returns the sha256 of the files' names, sizes and contents.

    Up to 256 MiB in all, contents are read whole. Beyond, the first, the middle and the last KiB of every file are,
    and one KiB of every 16 MiB of a large file; the result is kept in the cache until a file changes its time of
    modification or of status. A file that cannot be read counts as an empty one, for it is reported where it is used.

    Args:
        files: path by the name that stands for it, so that moving a data set keeps its fingerprint.
        known: what else is known of the contents, where they are not read whole.
    """
    sizes = {name: _size(file) for name, file in files.items()}
    parts = [f"{name} {size}" for name, size in sizes.items()]
    if sum(sizes.values()) <= _READ_WHOLE:
        return digest(*parts, *(digest(_content(file)) for file in files.values()))
    states = [file_state(file) for file in files.values()]
    _log.info("taking the fingerprint of %d files, which is remembered", len(files))
    samples = remembered("fingerprints", [*parts, *states], lambda: digest(*_sampled(list(files.values()))))
    return digest(*parts, *known, samples)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _content(file: Path) -> bytes:
    try:
        return read_plain(file)
    except OSError:
        return b""


def _sampled(files: list[Path]) -> list[str]:
    found: list[str] = []
    with ThreadPoolExecutor(_READERS) as pool:
        for first in range(0, len(files), _AT_ONCE):
            found += pool.map(sample_digest, files[first : first + _AT_ONCE])
    return found


def sample_digest(path: Path) -> str:
    """Returns the sha256 of parts of a file: its first, middle and last KiB, and one KiB of every 16 MiB."""
    try:
        with open_plain(path) as file:
            last = max(0, file.seek(0, 2) - _SAMPLE)
            count = max(2, last // _BETWEEN_SAMPLES)
            parts = []
            for number in range(count + 1):
                file.seek(last * number // count)
                parts.append(file.read(_SAMPLE))
            return digest(*parts)
    except OSError:
        return digest()
