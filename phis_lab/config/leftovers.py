"""What Hydra makes before a command is checked, and what a refused command must not leave behind."""

import atexit
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from phis_lab.folders import missing_folders, remove_empty

MULTIRUN = "multirun.yaml"


class RemoveEmptyFolders(Callback):
    """Hydra makes the folder of a run or a sweep first of all; where it stays empty it goes when the process ends.

    Folders that were there before stay, and so does everything that holds a file of a run.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Watch the folder of a solo run."""
        atexit.register(remove_empty, missing_folders(Path(config.hydra.run.dir)))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Watch the folder of a sweep, in which Hydra writes a file of its own."""
        folder = Path(config.hydra.sweep.dir)
        if made := missing_folders(folder):
            atexit.register(_remove_sweep, folder.absolute(), made)


def _remove_sweep(folder: Path, made: list[Path]) -> None:
    """Remove the folder of a sweep of which no job has left anything."""
    if folder.is_dir() and [path.name for path in folder.iterdir()] == [MULTIRUN]:
        (folder / MULTIRUN).unlink()
    remove_empty(made)
