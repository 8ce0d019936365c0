"""Labels of jobs."""

from pathlib import Path
from typing import Any

import pytest
from synthetic_records import record

from phis_lab.runs import write_record
from phis_lab.runs.job import Job, varied_keys


def job(*overrides: str, **choices: str) -> Job:
    return Job({"seed": 3}, Path("x"), {"normalizer": "phis"} | choices, overrides, "study", "0", "run")


@pytest.mark.parametrize(
    ("choices", "label"),
    [
        ({}, "phis"),
        ({"loss": "mse", "balancer": "uniform"}, "phis"),
        ({"loss": "cosine", "balancer": "adaloss", "normalizer": "identity"}, "identity, cosine, adaloss"),
    ],
)
def test_a_label_names_the_normaliser_and_what_is_unusual(choices: dict[str, str], label: str) -> None:
    assert job(**choices).label() == label


def test_a_label_tells_the_arm_options_that_vary() -> None:
    jobs = [
        job("normalizer.gamma=0.5", "optimizer=sgd", "data.seed=1"),
        job("normalizer.gamma=0.2", "optimizer=adamw", "data.seed=2"),
    ]
    assert varied_keys(jobs) == ["data.seed", "normalizer.gamma", "optimizer"]
    assert jobs[0].label(varied_keys(jobs)) == "phis, gamma 0.5, optimizer sgd"


def of_folder(folder: Path) -> Job:
    return Job({"seed": 3}, folder, {}, (), "study", "0" * 64, "run")


@pytest.mark.parametrize("content", ["", '{"schema_ver'])
def test_a_result_that_was_cut_off_is_none(tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "result.json").write_text(content)
    assert not of_folder(tmp_path).is_complete
    assert "was cut off, so the run goes on and writes it again" in caplog.text
    write_record(tmp_path, record(seed=3))
    assert of_folder(tmp_path).is_complete


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"seed": 4}, "is of seed 4, not of this run"), ({"config_sha256": "1" * 64}, "is of another configuration")],
)
def test_the_result_of_another_run_is_refused(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    write_record(tmp_path, record(**({"seed": 3} | changes)))
    with pytest.raises(ValueError, match=says):
        assert of_folder(tmp_path).is_complete
