"""Every option of every group composes, and is accepted by what it configures."""

import itertools
import re
import shlex
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
from hydra import compose
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from phis_lab.config.check import check
from phis_lab.config.resolvers import content_hash, to_plain

CONF = Path(__file__).resolve().parents[2] / "conf"
NEEDED = {
    "data=image_folder": ["data.root=x"],
    "data=webdataset": ["data.root=x"],
    "estimation=offline": ["estimation.moments=."],
    "task=shifted": [
        "evaluation.tasks.shifted.roots={r: x}",
        "evaluation.tasks.shifted.classes_root=x",
    ],
    "scale=paper": ["data.root=x"],
    "scale=tintem_paper": ["data.root=x"],
    "scale=unic_paper": ["data.root=x"],
    "scale=unic_paper_100": ["data.root=x"],
    "segmentation=ade20k": ["task=dense", "segmentation.root=x"],
    "segmentation=composed": ["task=dense"],
    "segmentation=voc2012": ["task=dense"],
    "stages=one_teacher_per_image": ["teachers=tiny_set"],
    "stages=phis": ["teachers=tiny_set"],
    "teachers=proxy": ["teachers.proxy.path=x"],
    "transfer=pocket": ["task=transfer"],
    "transfer=unic": ["task=transfer"],
    "transfer=unic_15": [
        "task=transfer",
        *(f"transfer.{name}.root=x" for name in ("inat2018", "inat2019", *(f"cog_l{level}" for level in range(1, 6)))),
    ],
}
FILES = sorted(file.relative_to(CONF) for file in CONF.glob("*/**/*.yaml"))
CHOICES = ["{}={}".format(*file.with_suffix("").as_posix().split("/", 1)) for file in FILES]
ALONE = {"debug", "experiment", "scale", "segmentation", "stages", "sweep", "task", "teacher", "teachers", "transfer"}
"""Groups whose options choose those of other groups, or stand in one of their places."""


def together() -> list[list[str]]:
    """As few commands as can be that choose every option: the n-th of each group that is not tried alone."""
    groups: dict[str, list[str]] = {}
    for choice in CHOICES:
        groups.setdefault(choice.partition("=")[0], []).append(choice)
    shared = [choices for group, choices in groups.items() if group not in ALONE]
    rows = [[choice for choice in row if choice] for row in itertools.zip_longest(*shared)]
    alone = [[choice] for group, choices in groups.items() if group in ALONE - {"teacher"} for choice in choices]
    return [*rows, *alone]


def composed(*overrides: str) -> DictConfig:
    return compose("config", list(overrides), return_hydra_config=True)


def refused_for_want_of_an_export(is_wanted: bool) -> AbstractContextManager[object]:
    """An exported student as a teacher is read for its image size; its own tests make one."""
    return pytest.raises(FileNotFoundError, match="x") if is_wanted else nullcontext()


@pytest.mark.parametrize("choices", together(), ids=" ".join)
def test_every_option_composes_and_is_accepted(choices: list[str]) -> None:
    config = composed(*choices, *(override for choice in choices for override in NEEDED.get(choice, [])))
    with refused_for_want_of_an_export("teachers=proxy" in choices):
        check(to_plain(config))
    taken = config.hydra.runtime.choices
    for group, _, option in (choice.partition("=") for choice in choices):
        assert option in str(taken[group])


def test_no_option_is_left_out() -> None:
    tried = {choice for choices in together() for choice in choices}
    assert tried == {choice for choice in CHOICES if not choice.startswith("teacher=")}


@pytest.mark.parametrize("choice", [choice for choice in CHOICES if choice.startswith("teacher=")])
def test_every_teacher_can_take_a_place_in_a_set(choice: str) -> None:
    needed = ["teachers.xfeat.path=x"] if choice == "teacher=exported" else []
    config = composed(f"teacher@teachers.xfeat={choice.partition('=')[2]}", *needed)
    with refused_for_want_of_an_export(bool(needed)):
        check(to_plain(config))


@pytest.mark.parametrize("choice", [choice for choice in CHOICES if choice.startswith("task=")])
def test_every_task_can_join_an_evaluation(choice: str) -> None:
    given = (
        ["+evaluation.tasks.new.roots={r: x}", "+evaluation.tasks.new.classes_root=x"] if "shifted" in choice else []
    )
    check(to_plain(composed(f"+task@evaluation.tasks.new={choice.partition('=')[2]}", *given)))


def test_every_option_file_is_short() -> None:
    long = {str(file.relative_to(CONF)): len(file.read_text().splitlines()) for file in CONF.glob("*/**/*.yaml")}
    assert {name: lines for name, lines in long.items() if lines > 30} == {}


def test_the_folder_is_named_by_content_and_not_by_spelling() -> None:
    plain, spelled = composed("normalizer=phis"), composed("optimizer.lr=0.001", "normalizer=phis")
    assert plain.hydra.run.dir == spelled.hydra.run.dir
    assert "=" not in plain.hydra.run.dir
    assert plain.hydra.run.dir.startswith("outputs/runs/phis-mse-uniform-pocket_set-fashion_mnist-")
    assert plain.hydra.run.dir.endswith("/seed0")


@pytest.mark.parametrize("change", ["optimizer.lr=0.5", "trainer.max_steps=7", "head.hidden=7", "data.seed=3"])
def test_another_content_has_another_folder(change: str) -> None:
    assert content_hash(composed()) != content_hash(composed(change))


@pytest.mark.parametrize("change", ["seed=4", "logger=none", "paths.outputs=elsewhere"])
def test_seed_place_and_loggers_are_not_content(change: str) -> None:
    assert content_hash(composed()) == content_hash(composed(change))


def test_experiments_of_a_folder_are_one_study() -> None:
    first, second = (
        composed("experiment=phis/mse", "scale=pocket"),
        composed("experiment=phis/ada_phis", "scale=pocket"),
    )
    assert first.hydra.sweep.dir == second.hydra.sweep.dir == "outputs/phis"


def test_an_experiment_runs_at_both_scales_and_as_a_smoke_run() -> None:
    paper = composed("experiment=phis/hca", "scale=paper", "data.root=x")
    assert (paper.trainer.max_steps, paper.data.batch_size, paper.optimizer.frozen_body_steps) == (300_000, 1024, 5000)
    assert {"dfn_clip", "siglip", "dinov2_g", "sam_h"} <= set(paper.teachers)
    smoke = composed("experiment=phis/hca", "scale=paper", "debug=smoke")
    assert (smoke.trainer.max_steps, smoke.hydra.runtime.choices.data) == (24, "digits")
    assert smoke.normalizer._target_ == paper.normalizer._target_ == "phis_lab.normalizers.HadamardWhiten"


def test_a_sweep_fills_the_same_folders_as_solo_runs() -> None:
    config = composed("sweep=demo", "normalizer=phis")
    assert f"{config.hydra.sweep.dir}/{config.hydra.sweep.subdir}" == config.hydra.run.dir
    assert OmegaConf.select(config, "hydra.sweeper.params.normalizer") == "identity,standardize,phis"


def commands_of(sweep: str) -> list[list[str]]:
    """What the sweep's file says to run, as few jobs as can be that have every value of every parameter."""
    text = (CONF / "sweep" / f"{sweep}.yaml").read_text()
    command = re.search(r"run\.py -m (.*?)(?:      |\n)", text)
    typed = shlex.split(command.group(1)) if command else [f"sweep={sweep}"]
    config = composed(*typed)
    parameters = {str(name): str(value) for name, value in config.hydra.sweeper.params.items()}
    parser = OverridesParser.create()
    values: dict[str, list[str]] = {}
    for name, value in parameters.items():
        override = parser.parse_override(f"{name}={value}")
        values[name] = list(override.sweep_string_iterator()) if override.is_sweep_override() else [value]
    count = max(map(len, values.values()))
    jobs = [{name: choices[number % len(choices)] for name, choices in values.items()} for number in range(count)]
    return [[*typed, *(f"{name}={value}" for name, value in job.items())] for job in jobs]


@pytest.mark.parametrize("sweep", sorted(file.stem for file in (CONF / "sweep").glob("*.yaml")))
def test_every_job_of_a_sweep_is_accepted(sweep: str) -> None:
    for command in commands_of(sweep):
        check(to_plain(composed(*command)))
