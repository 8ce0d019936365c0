"""A run's folder is evaluated by one process at a time, and not while it is filled."""

from pathlib import Path

import pytest
from synthetic_records import record

from phis_lab.config.evaluate import evaluate_run
from phis_lab.tracking import write_record
from phis_lab.tracking.lock import RunLockedError, run_lock


def test_a_run_in_use_is_not_evaluated(tmp_path: Path) -> None:
    write_record(tmp_path, record())
    (tmp_path / "config.yaml").write_text("seed: 0")
    before = (tmp_path / "result.json").read_bytes()
    with run_lock(tmp_path), pytest.raises(RunLockedError, match="is in use by process"):
        evaluate_run(tmp_path, ["evaluation=probes"])
    assert (tmp_path / "result.json").read_bytes() == before
