"""What a logger is, and several of them as one, none of which can stop a run."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from phis_lab.refusals import one_line
from phis_lab.runs.record import RunRecord

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunInfo:
    """What a logger may show of a run when it starts.

    Args:
        name: the run within its study, such as `phis/seed0`.
        group: the study or sweep.
        config: the resolved configuration, as plain dictionaries.
        step: the first step that will be logged; what a view holds from there on is told again.
        tags: words to find the run by, such as the options that it chose (`loss:mse`).
        method: the arm's label in tables.
        choices: the option chosen in each config group.
        config_sha256: of the configuration without its seed.
    """

    name: str
    group: str
    config: dict[str, Any] = field(default_factory=dict)
    step: int = 0
    tags: tuple[str, ...] = ()
    method: str = ""
    choices: Mapping[str, str] = field(default_factory=dict)
    config_sha256: str = ""

    @classmethod
    def of_arm(
        cls,
        method: str,
        seed: int,
        study: str,
        choices: Mapping[str, str],
        config: dict[str, Any],
        config_sha256: str,
    ) -> "RunInfo":
        """What views are told of an arm, while it trains and of what is made of it afterwards."""
        tags = tuple(f"{key}:{option}" for key, option in choices.items())
        return cls(
            f"{method}/seed{seed}",
            study,
            config,
            tags=tags,
            method=method,
            choices=choices,
            config_sha256=config_sha256,
        )


@runtime_checkable
class Logger(Protocol):
    """Shows numbers named `train/<teacher>/<term>`.

    `start` comes first and `finish` last, in `finally`: with the record, or with none when the run broke. A resumed
    run starts its loggers anew and tells them all that it had told before. One that raises is set aside.
    """

    def start(self, run: RunInfo) -> None: ...  # noqa: D102
    def log(self, metrics: Mapping[str, float], step: int) -> None: ...  # noqa: D102
    def finish(self, record: RunRecord | None = None) -> None: ...  # noqa: D102


Pictures = Mapping[str, np.ndarray]
"""Columns of images, [n, h, w, 3] bytes each, by what they show: `image`, `student`, `teacher/<name>`, ..."""
Savers = Mapping[str, Callable[[Path], None]]
"""What writes each file of a bundle, by the file's name."""


@runtime_checkable
class Gallery(Protocol):
    """A logger that shows images and keeps files too."""

    def show(self, pictures: Pictures, step: int) -> None: ...  # noqa: D102
    def keep(self, kind: str, files: Savers, made_here: bool) -> None:
        """Keep a bundle of files of a kind, such as `normalizers`; not `made_here` are those that the run was given."""


class LoggerSet:
    """Passes everything on to each logger, and finishes each at most once.

    A logger is a view: one that raises is closed and set aside with one warning, and the run goes on without it.
    """

    def __init__(self, loggers: Mapping[str, Logger]) -> None:
        self._loggers = dict(loggers)
        self._run = "the run"

    def start(self, run: RunInfo) -> None:
        """Start every logger."""
        self._run = run.name
        self._each(lambda logger: logger.start(run))

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Log to every logger."""
        self._each(lambda logger: logger.log(dict(metrics), step))

    @property
    def has_gallery(self) -> bool:
        """Whether any of them shows images and keeps files."""
        return any(isinstance(logger, Gallery) for logger in self._loggers.values())

    def show(self, pictures: Pictures, step: int) -> None:
        """Show images in the loggers that can."""
        self._each(lambda logger: logger.show(pictures, step) if isinstance(logger, Gallery) else None)

    def keep(self, kind: str, files: Savers, made_here: bool = True) -> None:
        """Keep a bundle of files in the loggers that can."""
        self._each(lambda logger: logger.keep(kind, files, made_here) if isinstance(logger, Gallery) else None)

    def finish(self, record: RunRecord | None = None) -> None:
        """Close every logger, one after the other; a second call does nothing."""
        loggers, self._loggers = self._loggers, {}
        for name, logger in loggers.items():
            try:
                logger.finish(record)
            except Exception as error:
                self._warn(name, error, "could not be closed")

    def _each(self, action: Callable[[Logger], None]) -> None:
        for name, logger in list(self._loggers.items()):
            try:
                action(logger)
            except Exception as error:
                del self._loggers[name]
                self._warn(name, error, "is set aside, and the run goes on without it")
                _close(logger)

    def _warn(self, name: str, error: Exception, what: str) -> None:
        log.warning("Logger '%s' of %s %s: %s", name, self._run, what, one_line(error))
        log.debug("Raised by logger '%s'", name, exc_info=error)


def _close(logger: Logger) -> None:
    """Let a broken logger release what it holds; that it fails once more is no news."""
    try:
        logger.finish()
    except Exception:
        log.debug("A logger that was set aside could not be closed", exc_info=True)
