"""Loggers: views of a run while it trains. None of them is ever read back; `result.json` is the source."""

from phis_lab.runs.loggers.base import Logger, LoggerSet, RunInfo
from phis_lab.runs.loggers.local import CSVLogger, TensorBoardLogger
from phis_lab.runs.loggers.trackio import TrackioLogger
from phis_lab.runs.loggers.wandb import WandbLogger

__all__ = ["CSVLogger", "Logger", "LoggerSet", "RunInfo", "TensorBoardLogger", "TrackioLogger", "WandbLogger"]
