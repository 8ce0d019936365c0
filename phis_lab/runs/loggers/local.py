"""Loggers that write into the run's folder."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phis_lab.runs.loggers.base import RunInfo
from phis_lab.runs.loggers.extras import of_extra
from phis_lab.runs.record import RunRecord
from phis_lab.whole_files import write_text

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class CSVLogger:
    """`metrics.csv`: a row per call of `log`, a column per name, an empty cell where a row has no such value.

    It first drops the rows from the run's step on, so that no step is told twice.
    """

    def __init__(self, folder: str) -> None:
        self.path = Path(folder) / "metrics.csv"
        self._columns = ["step"]

    def start(self, run: RunInfo) -> None:
        """Keeps the rows before `run.step` and nothing else."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        rows = [row for row in self._rows() if int(row["step"]) < run.step] if run.step else []
        self._rewrite(rows)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Appends a row; the file is rewritten only when a name is seen for the first time."""
        new = [name for name in metrics if name not in self._columns]
        if new:
            rows = self._rows()
            self._columns += new
            self._rewrite(rows)
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self._columns, lineterminator="\n").writerow({"step": step, **metrics})

    def finish(self, record: RunRecord | None = None) -> None:
        """Nothing is left open: every row was written when it was logged."""

    def _rows(self) -> list[dict[str, str]]:
        """The whole rows of the file; a last line cut off in mid-write is not one."""
        if not self.path.exists():
            return []
        whole = self.path.read_text().rpartition("\n")[0]
        reader = csv.DictReader(whole.splitlines())
        self._columns = list(reader.fieldnames or self._columns)
        return list(reader)

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, self._columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path, text.getvalue())


class TensorBoardLogger:
    """Event files under `tensorboard/`, of which a run that starts at step 0 keeps no older ones.

    With a later first step the older files stay, and what they hold from that step on is hidden.
    """

    def __init__(self, folder: str) -> None:
        _import_tensorboard()  # refuse a missing extra before anything is loaded
        self.folder = Path(folder) / "tensorboard"
        self._writer: SummaryWriter | None = None

    def start(self, run: RunInfo) -> None:
        """Opens the event file; the configuration stands under TEXT."""
        for path in self.folder.glob("events.out.tfevents.*") if run.step == 0 else ():
            path.unlink()
        self._writer = _import_tensorboard().SummaryWriter(str(self.folder), purge_step=run.step or None)
        self._writer.add_text("config", f"```\n{run.config}\n```", run.step)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """One curve per name."""
        assert self._writer is not None, "start() comes first"
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def finish(self, record: RunRecord | None = None) -> None:
        """Adds the final metrics at the last step and closes the file."""
        if self._writer is None:
            return
        if record is not None:
            self.log({name: metric.value for name, metric in record.metrics.items()}, record.steps)
        self._writer.close()
        self._writer = None


def _import_tensorboard() -> Any:
    return of_extra("tensorboard", "SummaryWriter", "torch.utils.tensorboard")
