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


def load_checkpoint(
    folder: Path, config_sha256: str, seed: int | None = None, sources: Mapping[str, str] | None = None
) -> dict[str, Any] | None:
    """An arm's state, or None where it never saved one.

    Args:
        folder: of the run.
        config_sha256: of its configuration.
        seed: of the run; None takes a checkpoint of any.
        sources: what the run is made of now, sha256 by name; names that the checkpoint does not know are not compared.

    Raises:
        ValueError: the file belongs to another configuration, to another seed or to other sources, or cannot be read.
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
