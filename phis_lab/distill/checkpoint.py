"""Checkpoints: one file per arm, all of a group at the same step."""

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

CHECKPOINT = "checkpoint.pt"


def save_checkpoint(folder: Path, state: Mapping[str, Any]) -> None:
    """Write an arm's state; a crash leaves the previous file."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{CHECKPOINT}.{os.getpid()}"
    torch.save(dict(state), temporary)
    temporary.replace(folder / CHECKPOINT)


def load_checkpoint(folder: Path, config_sha256: str) -> dict[str, Any] | None:
    """An arm's state, or None where it never saved one.

    Raises:
        ValueError: the file belongs to another configuration, or cannot be read.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu", mmap=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f"{path} cannot be read ({error}); delete it to start this run anew") from error
    if state["config_sha256"] != config_sha256:
        raise ValueError(f"{path} is of another configuration; choose another folder or delete it")
    return state
