"""Loggers as one: whatever one of them raises, the run and the others go on."""

import logging
from pathlib import Path

import pytest

from phis_lab.refusals import one_line
from phis_lab.runs import RunRecord
from phis_lab.runs.loggers import CSVLogger, LoggerSet, RunInfo

INFO = RunInfo(name="phis/seed0", group="study")


class Recording:
    """Counts its calls, and raises in one of them."""

    def __init__(self, fails_in: str = "", error: Exception | None = None) -> None:
        self.fails_in, self.error = fails_in, error or OSError("No space left on device")
        self.calls: list[str] = []

    def start(self, run: RunInfo) -> None:
        self._called("start")

    def log(self, metrics: dict[str, float], step: int) -> None:
        self._called("log")
        metrics.clear()

    def finish(self, record: RunRecord | None = None) -> None:
        self._called("finish")

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if name == self.fails_in:
            raise self.error


@pytest.mark.parametrize(
    ("fails_in", "calls"),
    [
        ("start", ["start", "finish"]),
        ("log", ["start", "log", "finish"]),
        ("finish", ["start", "log", "log", "finish"]),
    ],
)
def test_a_logger_that_raises_is_told_once_and_set_aside(
    fails_in: str, calls: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    broken, whole = Recording(fails_in), Recording()
    loggers = LoggerSet({"broken": broken, "whole": whole})
    loggers.start(INFO)
    for step in (0, 1):
        loggers.log({"train/loss": 1.0}, step)
    loggers.finish()
    loggers.finish()
    assert broken.calls == calls
    assert whole.calls == ["start", "log", "log", "finish"]
    (warning,) = [entry for entry in caplog.records if entry.levelno >= logging.WARNING]
    text = warning.getMessage()
    assert "'broken' of phis/seed0" in text
    assert text.endswith("OSError: No space left on device")


def test_a_logger_that_cannot_even_be_closed_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    class Stubborn(Recording):
        def _called(self, name: str) -> None:
            raise ValueError(f"{name} fails")

    loggers = LoggerSet({"stubborn": Stubborn()})
    loggers.start(INFO)
    loggers.log({}, 0)
    loggers.finish()
    assert [entry.getMessage().rpartition(": ")[2] for entry in caplog.records] == ["start fails"]


def test_a_logger_may_change_what_it_is_given() -> None:
    loggers, values = LoggerSet({"first": Recording(), "second": Recording()}), {"train/loss": 1.0}
    loggers.log(values, 0)
    assert values == {"train/loss": 1.0}


def test_an_unwritable_file_does_not_stop_a_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "metrics.csv").mkdir()
    loggers = LoggerSet({"csv": CSVLogger(str(tmp_path))})
    loggers.start(INFO)
    loggers.log({"train/loss": 1.0}, 0)
    loggers.finish()
    assert [entry.levelname for entry in caplog.records] == ["WARNING"]


def test_a_cause_is_one_line_of_bounded_length() -> None:
    assert one_line(ValueError("two\n  lines")) == "ValueError: two lines"
    assert one_line(KeyError()) == "KeyError"
    assert len(one_line(ValueError("word " * 1000))) < 330
