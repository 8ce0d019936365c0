"""trackio: a local dashboard of runs, kept in SQLite. The only file that imports `trackio`."""

import io
import logging
import os
from collections.abc import Mapping
from contextlib import redirect_stdout
from contextvars import Context
from pathlib import Path
from typing import Any

from phis_lab.runs.loggers.base import RunInfo
from phis_lab.runs.loggers.extras import of_extra
from phis_lab.runs.loggers.numbers import final_numbers
from phis_lab.runs.record import RunRecord
from phis_lab.whole_files import write_text

log = logging.getLogger(__name__)
_PLACE = "TRACKIO_DIR"


class TrackioLogger:
    """Logs to a folder of trackio; `TRACKIO_DIR=outputs/trackio trackio show` opens its dashboard.

    Every arm has a run of its own, whose id is kept beside the results. A resumed run is told everything again and
    replaces the older one, so that every step is there once. Of several processes that train together only the first
    one writes, and runs that several nodes train at once need a folder each, because SQLite does not take writers from
    several machines.

    Args:
        folder: the run's folder, where the id is kept.
        project: the project in trackio, a file of its own.
        dir: where trackio keeps its files, unless TRACKIO_DIR is set; all runs of a process share one.
    """

    def __init__(self, folder: str, project: str = "phis-lab", dir: str = "outputs/trackio") -> None:  # noqa: A002
        os.environ.setdefault(_PLACE, str(Path(dir).absolute()))
        _import_trackio()  # refuse a missing extra before anything is loaded; it reads its folder here, once
        self.folder = Path(folder)
        self.project = project
        self._run: Any = None

    def start(self, run: RunInfo) -> None:
        """Opens the run, after an older one of the same folder is removed."""
        about = {"method": run.method, "choices": dict(run.choices), "config_sha256": run.config_sha256}
        about["tags"] = list(run.tags)
        id_file = self.folder / "trackio_id.txt"
        known = id_file.read_text(errors="replace").strip() if id_file.is_file() else ""
        with redirect_stdout(io.StringIO()):  # what it prints would tear the progress view
            self._remove(known)
            # in a context of its own, or else it would close the run of the arm before
            self._run = Context().run(
                _import_trackio().init,
                project=self.project,
                name=run.name,
                group=run.group,
                config=run.config | about,
                embed=False,
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(id_file, self._run.id)
        log.debug("trackio keeps %s in %s", run.name, os.environ[_PLACE])

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Logs a row."""
        assert self._run is not None, "start() comes first"
        self._run.log(dict(metrics), step=step)

    def finish(self, record: RunRecord | None = None) -> None:
        """Adds the final numbers at the last step and closes the run."""
        if self._run is None:
            return
        run, self._run = self._run, None
        if record is not None:
            run.log({f"final/{name}": value for name, value in final_numbers(record).items()}, step=record.steps)
        with redirect_stdout(io.StringIO()):
            run.finish()

    def _remove(self, known: str) -> None:
        """Removes what an earlier process told: all of it is told again."""
        trackio = _import_trackio()
        try:
            older = [run for run in trackio.Api().runs(self.project) if run.id == known] if known else []
        except ValueError:  # the project is new
            older = []
        for run in older:
            run.delete()


def _import_trackio() -> Any:
    return of_extra("trackio", "init")
