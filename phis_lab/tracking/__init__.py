"""What a run leaves behind (`result.json`), and views of it while it trains (CSV, TensorBoard, W&B)."""

from phis_lab.tracking.environment import Environment, environment, git_commit
from phis_lab.tracking.logger_set import LoggerSet
from phis_lab.tracking.loggers import CSVLogger, Logger, RunInfo, TensorBoardLogger
from phis_lab.tracking.progress import RunProgress, read_progress, write_progress
from phis_lab.tracking.record import (
    Data,
    HistoryPoint,
    Metric,
    RunRecord,
    Source,
    TeacherMetrics,
    find_records,
    read_record,
    read_records,
    unfinished_runs,
    write_record,
)
from phis_lab.tracking.wandb import WandbLogger

__all__ = [
    "CSVLogger",
    "Data",
    "Environment",
    "HistoryPoint",
    "Logger",
    "LoggerSet",
    "Metric",
    "RunInfo",
    "RunProgress",
    "RunRecord",
    "Source",
    "TeacherMetrics",
    "TensorBoardLogger",
    "WandbLogger",
    "environment",
    "find_records",
    "git_commit",
    "read_progress",
    "read_record",
    "read_records",
    "unfinished_runs",
    "write_progress",
    "write_record",
]
