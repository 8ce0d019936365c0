"""Removes runs: whole folders of ours and nothing else, never under a process that is at work in one."""

import os
import re
import shutil
from pathlib import Path

from phis_lab.folders import remove_empty
from phis_lab.runs.listing import CHECKPOINTS, CONFIG, ListedRun
from phis_lab.runs.lock import LOCK_FILE, run_lock
from phis_lab.runs.progress import PROGRESS_FILE
from phis_lab.runs.record import FILE_NAME

_OURS = {CONFIG, LOCK_FILE, FILE_NAME, PROGRESS_FILE, *CHECKPOINTS, "metrics.csv"}
_OURS |= {"wandb_id.txt", "trackio_id.txt", "pictures.safetensors"}
_OURS |= {"tensorboard", "wandb", "figures", "multirun.yaml"}
_HALF_WRITTEN = re.compile(r"\..*\.(part|new)|\.tmp\w{6}|metrics\.csv\.tmp|report\.\w+")
"""Files that a killed process left, and those of a report."""


def why_kept(run: ListedRun) -> str | None:
    """Why a run cannot be removed, in a sentence; None where it can."""
    folder = run.folder
    if folder.is_symlink():
        return f"{folder} is a link, and links are not followed; name the folder itself."
    if run.owner is not None:
        return f"{folder} is in use by {run.owner}; stop it first."
    if not run.is_ours:
        return f"{folder} holds no file that can be read as one of a run; delete it by hand if it is one."
    names = [path.name for path in folder.iterdir()]
    strange = sorted(name for name in names if name not in _OURS and not _HALF_WRITTEN.fullmatch(name))
    if strange:
        return f"{folder} also holds {', '.join(strange)}, which no run wrote; move that away first."
    return None


def remove_run(run: ListedRun, root: Path) -> None:
    """Remove a run's folder, and those above it up to `root` that are empty then.

    The folder gets another name first, so that nobody finds half a run, and a process that begins the same run
    meanwhile begins it anew.

    Raises:
        ValueError: it is kept; the message says why.
        OSError: something in it cannot be deleted.
    """
    if (reason := why_kept(run)) is not None:
        raise ValueError(reason)
    folder, top = run.folder.absolute(), root.absolute()
    aside = folder.with_name(f".removed-{folder.name}-{os.getpid()}")
    with run_lock(folder):
        folder.rename(aside)
    shutil.rmtree(aside)
    remove_empty(parent for parent in folder.parents if top in parent.parents)
