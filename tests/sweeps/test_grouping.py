"""Jobs share a teacher pass exactly when they see the same batches."""

import copy
from pathlib import Path
from typing import Any

import pytest

from phis_lab.sweeps import group_jobs, launch
from phis_lab.sweeps.grouping import why_apart
from phis_lab.tracking.job import Job

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
