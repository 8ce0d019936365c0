"""Jobs share a teacher pass exactly when they see the same batches."""

import copy
import os
from pathlib import Path
from typing import Any

import pytest
from synthetic_records import record

from phis_lab.runs import group_jobs, launch, write_record
from phis_lab.runs.job import Job, why_apart
from phis_lab.runs.launch import GROUP_VARIABLE
from phis_lab.runs.lock import RunLockedError, run_lock

CONFIG = {
    "seed": 0,
    "normalizer": {"_target_": "PhiS"},
    "optimizer": {"lr": 1e-3},
    "teachers": {"sam": {"image_size": 128}},
    "data": {"seed": 0, "batch_size": 8},
    "trainer": {"max_steps": 10, "precision": "auto"},
    "logger": {"csv": {}},
    "paths": {"outputs": "out"},
}


def job(name: str, overrides: tuple[str, ...] = (), **changes: Any) -> Job:
    config = copy.deepcopy(CONFIG)
    for key, value in changes.items():
        section, _, option = key.partition("__")
        if option:
            config[section][option] = value
        else:
            config[section] = value
    return Job(config, Path("out") / name, {"normalizer": "phis", "loss": "mse"}, overrides, "test", "0", "run")


def names(groups: list[list[Job]]) -> list[list[str]]:
    return [[member.folder.name for member in group] for group in groups]


@pytest.mark.parametrize(
    "change",
    [
        {"normalizer": {"_target_": "Identity"}},
        {"optimizer__lr": 1.0},
        {"seed": 5},
        {"logger": {}},
        {"trainer__precision": "float32"},
        {"trainer__compile": True},
    ],
)
def test_what_an_arm_chooses_keeps_it_in_the_group(change: dict[str, Any]) -> None:
    assert names(group_jobs([job("a"), job("b", **change)])) == [["a", "b"]]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"teachers__sam": {"image_size": 64}}, "teachers.sam.image_size"),
        ({"data__seed": 1}, "data.seed"),
        ({"data__batch_size": 4}, "data.batch_size"),
        ({"trainer__max_steps": 11}, "trainer.max_steps"),
    ],
)
def test_other_batches_need_another_group_and_the_reason_is_named(change: dict[str, Any], why: str) -> None:
    first, second = job("a"), job("b", **change)
    assert names(group_jobs([first, second])) == [["a"], ["b"]]
    assert why_apart(first, second) == why


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_jobs_in_use_are_left_out_and_the_others_train(caplog: pytest.LogCaptureFixture) -> None:
    trained: list[str] = []
    with run_lock(Path("out") / "b"):
        failures = launch([job("a"), job("b")], lambda group, labels: trained.extend(j.folder.name for j in group))
    assert trained == ["a"]
    assert "phis (seed 0) is left out: out/b is in use by process" in caplog.text
    assert [(folder.name, type(error)) for folder, error in failures.items()] == [("b", RunLockedError)]
    assert not Path("out").exists()


def test_further_processes_train_the_jobs_that_the_first_one_names(monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[list[str]] = []
    named: list[str] = []

    def train(group: list[Job], labels: dict[Path, str]) -> None:
        named.append(os.environ[GROUP_VARIABLE])
        trained.append([member.folder.name for member in group])

    with run_lock(Path("out") / "b"):
        launch([job("a"), job("b"), job("c"), job("d", data__seed=1)], train)
        assert trained == [["a", "c"], ["d"]]
        monkeypatch.setenv(GROUP_VARIABLE, named[0])
        monkeypatch.setenv("LOCAL_RANK", "1")
        launch([job("a"), job("b"), job("c"), job("d", data__seed=1)], train)
    assert trained[2:] == [["a", "c"]]


def test_a_result_of_another_run_keeps_its_job_out_and_the_others_train() -> None:
    write_record(Path("out") / "a", record(seed=9))
    trained: list[str] = []
    failures = launch([job("a"), job("b")], lambda group, labels: trained.extend(j.folder.name for j in group))
    assert trained == ["b"]
    assert "is of seed 9, not of this run" in str(failures[Path("out") / "a"])


def test_a_group_that_breaks_does_not_stop_the_others() -> None:
    trained: list[str] = []

    def train(group: list[Job], labels: dict[Path, str]) -> None:
        if group[0].folder.name == "a":
            raise OSError("no disk")
        trained.extend(member.folder.name for member in group)

    failures = launch([job("a"), job("b", data__seed=1)], train)
    assert trained == ["b"]
    assert [str(error) for error in failures.values()] == ["no disk"]


def test_labels_say_what_varies_and_nothing_else() -> None:
    seen: dict[Path, str] = {}
    jobs = [
        job("a", ("normalizer=phis", "optimizer.lr=0.1", "trainer.max_steps=10", "seed=0")),
        job("b", ("normalizer=phis", "optimizer.lr=0.2", "trainer.max_steps=10", "seed=1")),
    ]
    launch(jobs, lambda group, labels: seen.update(labels))
    assert sorted(seen.values()) == ["phis, lr 0.1", "phis, lr 0.2"]
