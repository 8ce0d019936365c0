"""An exported student as an artifact in W&B, where its run was logged there."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from phis_lab.refusals import one_line
from phis_lab.runs import read_record
from phis_lab.runs.loggers import RunInfo, WandbLogger
from phis_lab.runs.record import FILE_NAME
from phis_lab.whole_files import read_text

log = logging.getLogger(__name__)
_TARGET = f"{WandbLogger.__module__.rpartition('.')[0]}.{WandbLogger.__name__}"


def log_export(run: Path, files: Sequence[Path]) -> None:
    """Log the files of an export where `logger=wandb` logged the run; that W&B does not take them is a warning.

    Args:
        run: folder of the run.
        files: what was written.
    """
    try:
        node = _options_of(run)
        if node is not None:
            record = read_record(run / FILE_NAME)
            about = record.method, record.seed, record.name, record.choices
            info = RunInfo.of_arm(*about, {"seed": record.seed}, record.config_sha256)
            WandbLogger(str(run), **node).export(info, files)
            log.info("The exported student is an artifact of W&B too.")
    except Exception as error:  # of any kind: it is a view
        log.warning("W&B does not take the exported student of %s: %s", run, one_line(error))


def _options_of(run: Path) -> dict[str, Any] | None:
    """Options of the run's logger of W&B; None where it had none."""
    if not (run / "config.yaml").is_file():
        return None
    config = yaml.safe_load(read_text(run / "config.yaml"))
    for node in dict(config.get("logger") or {}).values():
        if node.get("_target_") == _TARGET:
            return {name: value for name, value in node.items() if not name.startswith("_")}
    return None
