"""What a command says last."""

import logging
from pathlib import Path

import pytest
from synthetic_records import record

from phis_lab.runs import write_record
from phis_lab.runs.ending import ending, say_next
from phis_lab.runs.job import Job


def job(folder: Path, **ended: object) -> Job:
    folder.mkdir(parents=True)
    if ended:
        write_record(folder, record(**ended))
    return Job({"seed": 0}, folder, {}, (), "study", "0" * 64, "python run.py 'label=a b'")


def said(caplog: pytest.LogCaptureFixture) -> str:
    (one,) = caplog.messages
    return one


def test_the_next_command_is_a_report(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    run = job(tmp_path / "a study" / "phis" / "seed0", method="phis")
    with ending([run]):
        say_next([run])
    assert said(caplog) == f"The run is in {run.folder}. Next: phis-lab report '{run.folder}'"
    caplog.clear()
    say_next([run, job(tmp_path / "a study" / "mse" / "seed0", method="mse", status="failed", failure="NaN")])
    assert said(caplog) == f"The 2 runs are in {tmp_path}/a study. Next: phis-lab report '{tmp_path}/a study'"


def test_of_failed_runs_the_list_is_next(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    run = job(tmp_path / "study" / "phis" / "seed0", status="failed", failure="NaN")
    with pytest.raises(ValueError, match="diverged"), ending([run]):
        raise ValueError("diverged")
    assert said(caplog).endswith(f"Next: phis-lab runs {run.folder}")


def test_a_stopped_command_is_told_to_be_typed_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = job(tmp_path / "study" / "phis" / "seed0")
    with pytest.raises(SystemExit), ending([run]):
        raise SystemExit(143)
    assert said(caplog) == f"How far it is: phis-lab runs {tmp_path}/study. To go on: python run.py 'label=a b'"


def test_of_a_refusal_nothing_more_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = job(tmp_path / "study" / "phis" / "seed0")
    for error in (SystemExit("refused"), SystemExit(1), ValueError("refused")):
        with pytest.raises(type(error)), ending([run]):
            raise error
    assert caplog.messages == []
