"""Several loggers as one."""

from collections.abc import Mapping
from contextlib import ExitStack

from phis_lab.tracking.loggers import Logger, RunInfo
from phis_lab.tracking.record import RunRecord


class LoggerSet:
    """Passes everything on to each logger, and finishes each at most once."""

    def __init__(self, loggers: Mapping[str, Logger]) -> None:
        self._loggers = dict(loggers)

    def start(self, run: RunInfo) -> None:
        """Start every logger."""
        for logger in self._loggers.values():
            logger.start(run)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Log to every logger."""
        for logger in self._loggers.values():
            logger.log(metrics, step)

    def finish(self, record: RunRecord | None = None) -> None:
        """Close every logger, one after the other even where one fails; a second call does nothing."""
        loggers, self._loggers = self._loggers, {}
        with ExitStack() as stack:
            for logger in loggers.values():
                stack.callback(logger.finish, record)
