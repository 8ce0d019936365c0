"""Checkpoints: the newest and the one before of every arm, each with a digest; all arms of a group at the same step."""

import hashlib
import logging
import os
import pickle
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from phis_lab.refusals import one_line
from phis_lab.whole_files import flush, open_plain, write_whole

log = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"
PREVIOUS = "checkpoint.previous.pt"
_SEAL = b"phis_lab sha256 "
_SEAL_BYTES = len(_SEAL) + hashlib.sha256().digest_size
_NO_COMMENT = bytes(2)
"""The length of the comment, the last two bytes of a zip archive without one."""
_BLOCK = 2**22


def save_checkpoint(folder: Path, state: Mapping[str, Any]) -> None:
    """Write an arm's state and keep the one before; a crash at any moment leaves one of them whole.

    Raises:
        OSError: it cannot be written, as on a full disk; both that were there are left.
    """

    def write(temporary: Path) -> None:
        torch.save(dict(state), temporary)
        _seal(temporary)

    path, newest = folder / CHECKPOINT, folder / f".{CHECKPOINT}.new"
    write_whole(newest, write)
    if path.exists():
        path.replace(folder / PREVIOUS)
    newest.replace(path)
    flush(folder)


def _seal(path: Path) -> None:
    """Append a digest of the file to it, as the comment that the format of zip archives allows at the end."""
    with path.open("rb+") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
        file.seek(-len(_NO_COMMENT), os.SEEK_END)
        file.write(_SEAL_BYTES.to_bytes(2, "little"))
        file.write(_SEAL + digest)


def _is_whole(path: Path) -> bool:
    """Whether the digest at the end of a file is that of what was there before it was sealed."""
    facts = path.stat()
    return _has_own_seal(path, facts.st_size, facts.st_mtime_ns, facts.st_ino)


@lru_cache
def _has_own_seal(path: Path, size: int, *of_this_version: int) -> bool:
    """Read a file once, for a run asks twice: whether it may go on, and where."""
    size -= _SEAL_BYTES + len(_NO_COMMENT)
    if size < 0:
        return False
    found = hashlib.sha256()
    with open_plain(path) as file:
        for start in range(0, size, _BLOCK):
            found.update(file.read(min(_BLOCK, size - start)))
        length, seal = file.read(len(_NO_COMMENT)), file.read()
    found.update(_NO_COMMENT)
    return length == _SEAL_BYTES.to_bytes(2, "little") and seal == _SEAL + found.digest()


def load_checkpoint(
    folder: Path,
    config_sha256: str,
    seed: int | None = None,
    sources: Mapping[str, str] | None = None,
    newest: bool = False,
) -> dict[str, Any] | None:
    """An arm's state, or None where it never saved one.

    Args:
        folder: of the run.
        config_sha256: of its configuration.
        seed: of the run; None takes a checkpoint of any.
        sources: what the run is made of now, sha256 by name; names that the checkpoint does not know are not compared.
        newest: take no older one in the place of a damaged one: a run that has ended has its student in the newest.

    Raises:
        OSError: a file cannot be read at all.
        ValueError: it belongs to another configuration, to another seed or to other sources; or there are only damaged
            ones.
    """
    found = _newest_whole(folder, (CHECKPOINT,) if newest else (CHECKPOINT, PREVIOUS))
    if found is None:
        return None
    path, state = found
    if state["config_sha256"] != config_sha256:
        raise ValueError(f"{path} is of another configuration; choose another folder or delete it")
    if seed is not None and state.get("seed", seed) != seed:
        raise ValueError(f"{path} is of seed {state['seed']}, not of seed {seed}; delete it to train this run anew")
    known = state.get("sources", {})
    changed = [name for name, sha256 in (sources or {}).items() if known.get(name, sha256) != sha256]
    if changed:
        raise ValueError(
            f"{', '.join(changed)} changed since {path} was written, and a run does not go on from what it was not "
            f"made of; bring the former back, or delete {folder} to train anew"
        )
    return state


def _newest_whole(folder: Path, names: Sequence[str]) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint that is not damaged, with its content; None where there is no checkpoint."""
    damaged = []
    for name in names:
        path = folder / name
        if not path.exists():
            continue
        try:
            if not path.is_file():
                raise ValueError("it is no file")
            if not _is_whole(path):
                raise ValueError("its content is not what was written, by its sha256")
            state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu", mmap=True)
            is_of_arm = isinstance(state, dict) and "config_sha256" in state
            if not is_of_arm or not isinstance(state.get("sources", {}), dict):
                raise ValueError("it holds something else than the state of an arm")
        except (ValueError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            damaged.append(f"{path} is damaged ({one_line(error)})")
            continue
        for reason in damaged:
            log.warning("%s; going on from %s, of step %s.", reason, name, state.get("step"))
        return path, state
    if damaged:
        raise ValueError(f"{'; '.join(damaged)}; delete it to train this run anew")
    return None
