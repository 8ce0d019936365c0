"""Weights & Biases: a view of the run, online or not. The only file that imports `wandb`."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from phis_lab.tracking.loggers import RunInfo
from phis_lab.tracking.record import RunRecord


class WandbLogger:
    """Logs to W&B, and without an account to a local folder that `wandb sync` can send later.

    A resumed run goes on in the same W&B run, whose id is kept beside the results.

    Args:
        folder: the run's folder; W&B writes below it.
        project: the W&B project.
        entity: the user or team; None is the account's own.
        mode: `auto` is online where a key is known (`wandb login`, or WANDB_API_KEY) and offline elsewhere.
        tags: labels to filter by, after the run's own.
    """

    def __init__(
        self,
        folder: str,
        project: str = "phis-lab",
        entity: str | None = None,
        mode: Literal["auto", "online", "offline"] = "auto",
        tags: tuple[str, ...] = (),
    ) -> None:
        self.folder = Path(folder)
        self.project = project
        self.entity = entity
        self.mode = mode
        self.tags = tags
        self._run: Any = None

    def start(self, run: RunInfo) -> None:
        """Opens the W&B run."""
        wandb = _import_wandb()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            dir=str(self.folder),
            project=self.project,
            entity=self.entity,
            mode=resolve_mode(self.mode),
            tags=[*run.tags, *self.tags],
            group=run.group,
            name=run.name,
            job_type="train",
            config=run.config,
            id=self._run_id(),
            resume="allow",
            settings=wandb.Settings(console="off"),
        )
        self._run.define_metric("*", step_metric="step")

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Logs against our own `step`: W&B's counter cannot go back when a run resumes from a checkpoint."""
        assert self._run is not None, "start() comes first"
        self._run.log({"step": step, **metrics})

    def finish(self, record: RunRecord | None = None) -> None:
        """Logs the final metrics as a table and in the summary, and closes the run (failed if no record)."""
        if self._run is None:
            return
        if record is not None:
            rows = [[name, m.value, m.unit, m.higher_is_better] for name, m in record.metrics.items()]
            table = _import_wandb().Table(columns=["metric", "value", "unit", "higher_is_better"], data=rows)
            self._run.log({"result": table})
            self._run.summary.update({name: m.value for name, m in record.metrics.items()})
        self._run.finish(exit_code=0 if record is not None and record.status == "complete" else 1)
        self._run = None

    def _run_id(self) -> str:
        path = self.folder / "wandb_id.txt"
        if not path.exists():
            path.write_text(secrets.token_hex(4))
        return path.read_text()


def resolve_mode(mode: Literal["auto", "online", "offline"]) -> str:
    """What `auto` means here: WANDB_MODE if it is set, else online where W&B knows a key."""
    if mode != "auto":
        return mode
    if "WANDB_MODE" in os.environ:
        return os.environ["WANDB_MODE"]
    return "online" if _import_wandb().login(prompt=False, verify=False) else "offline"


def _import_wandb() -> Any:
    try:
        import wandb  # noqa: PLC0415  an extra, and slow to import
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "logger=wandb needs wandb: pip install 'phis-lab[wandb]', or use logger=csv"
        ) from error
    return wandb
