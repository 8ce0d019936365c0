"""What Hydra takes though it has no effect is refused or told."""

import logging
from pathlib import Path

import pytest
from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict

from phis_lab.config.check import check
from phis_lab.config.jobs import create_job
from phis_lab.config.resolvers import to_plain, whole
from phis_lab.config.sound import refuse_empty_sweep, refuse_ineffective, remarks
from phis_lab.config.teachers import split
from phis_lab.runs import launch
from phis_lab.runs.job import Job


def composed(*overrides: str, mode: RunMode = RunMode.RUN) -> DictConfig:
    config = compose("config", list(overrides), return_hydra_config=True)
    with open_dict(config):
        config.hydra.mode = mode
    return config


def job(*overrides: str) -> Job:
    config = composed(*overrides)
    return create_job(config, config.hydra.run.dir)


def test_a_sweep_without_m_is_refused_with_the_words_to_type() -> None:
    with pytest.raises(ValueError, match=r"with -m: python run\.py -m sweep=demo"):
        refuse_ineffective(composed("sweep=demo"))
    refuse_ineffective(composed("sweep=demo", mode=RunMode.MULTIRUN))
    refuse_ineffective(composed("normalizer=phis"))


@pytest.mark.parametrize(
    ("launcher", "strategy", "says"),
    [
        ("tasks_per_node=1", "devices=2", r"tasks_per_node=1 .* choose hydra\.launcher\.tasks_per_node=2"),
        (
            "tasks_per_node=2",
            "nodes=2",
            r"nodes=1 starts .* choose hydra\.launcher\.nodes=2, or another strategy\.nodes",
        ),
    ],
)
def test_other_tasks_than_processes_are_refused_before_they_queue(launcher: str, strategy: str, says: str) -> None:
    words = ["hydra/launcher=submitit_slurm", f"hydra.launcher.{launcher}", "strategy=ddp", f"strategy.{strategy}"]
    with pytest.raises(ValueError, match=says):
        refuse_ineffective(composed(*words, mode=RunMode.MULTIRUN))
    refuse_ineffective(composed(*words, mode=RunMode.RUN))
    refuse_ineffective(composed("hydra/launcher=submitit_local", mode=RunMode.MULTIRUN))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("evaluation.probes", r"'~evaluation\.probes\.knn' '~evaluation\.probes\.linear_probe'"),
        ("teachers.xfeat", r"'~teachers\.xfeat\._target_'"),
        ("optimizer.optimizer", r"'~optimizer\.optimizer\._target_'"),
    ],
)
def test_an_empty_dict_that_empties_nothing_is_refused(path: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        refuse_ineffective(composed(f"{path}={{}}"))


def test_the_words_that_are_told_empty_it() -> None:
    config = to_plain(composed("~evaluation.probes.knn", "~evaluation.probes.linear_probe"))
    assert config["evaluation"]["probes"] == {}
    refuse_ineffective(composed("+evaluation.tasks={}"))


@pytest.mark.parametrize("choices", ["normalizer=glob(xx*)", "seed=range(0,0)"])
def test_a_sweep_without_runs_names_the_choices_that_are_empty(choices: str) -> None:
    config = composed("loss=mse", mode=RunMode.MULTIRUN)
    with open_dict(config):
        config.hydra.overrides.task = ["loss=mse", choices]
    with pytest.raises(ValueError, match="The sweep has no run") as refusal:
        refuse_empty_sweep(config, GlobalHydra.instance().config_loader())
    assert f"{choices} matches or lists nothing" in str(refusal.value)
    assert "loss" not in str(refusal.value)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (
            ["optimizer.lr=1", "optimizer.lr=.1"],
            "optimizer.lr is given 2 times; the last one counts: optimizer.lr=.1",
        ),
        (["estimation=first_batch", "online.steps=5"], "online.steps has no effect: nothing that was chosen reads it"),
        (["teachers.store_dtype=int8"], "teachers.store_dtype has no effect without teachers.store"),
        (["augmentation.seed=3"], "augmentation.seed has no effect without augmentation.views"),
    ],
)
def test_an_override_without_effect_is_told(overrides: list[str], told: str) -> None:
    assert list(remarks(composed(*overrides))) == [told]


@pytest.mark.parametrize(
    "overrides",
    [
        ["online.steps=50", "optimizer.lr=1"],
        ["teachers.store=x", "teachers.store_dtype=int8", "augmentation.views=2", "augmentation.seed=1"],
        ["task=transfer", "transfer.digits.train_images=500", "~evaluation.probes.knn"],
        ["task=dense", "segmentation.seed=5"],
    ],
)
def test_nothing_is_told_of_overrides_that_count(overrides: list[str]) -> None:
    assert list(remarks(composed(*overrides))) == []


@pytest.mark.parametrize(("spelled", "seed"), [("7", 7), ("007", 7), ("7.0", 7), ("1e3", 1000), ("00", 0)])
def test_one_seed_is_one_run_however_it_is_spelled(spelled: str, seed: int) -> None:
    made, plain = job(f"seed={spelled}"), job(f"seed={seed}")
    assert made.folder == plain.folder
    assert made.folder.name == f"seed{seed}"
    assert (made.seed, made.sha256, made.config) == (plain.seed, plain.sha256, plain.config)
    check(made.config)


@pytest.mark.parametrize("value", ["-1", "true", "7.5", "one", "null", "4294967296", "[1]", "0x7"])
def test_what_is_no_seed_is_refused_by_name(value: str) -> None:
    with pytest.raises(ValueError, match=r"\n  seed="):
        check(job(f"seed={value}").config)


def test_only_whole_numbers_become_whole() -> None:
    assert [whole(value) for value in (7.5, "x", True, None, "１")] == [7.5, "x", True, None, "１"]


def test_jobs_that_are_the_same_train_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    trained: list[str] = []
    jobs = [job(f"seed={seed}", f"paths.outputs={tmp_path}") for seed in ("7", "007", "8", "7.0")]
    launch(jobs, lambda group, labels: trained.extend(each.folder.name for each in group))
    assert trained == ["seed7", "seed8"]
    assert "2 jobs are the same as others of this sweep, and train once." in caplog.text


def test_a_teacher_that_is_null_is_left_out() -> None:
    assert set(split({"one": {"_target_": "x"}, "two": None, "smallest": True})[0]) == {"one"}
