"""Every option that an arm can choose, all in one group: each arm equals its solo run bit for bit."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from hydra import compose
from shapes_of_users import unchecked

from phis_lab.config.assemble import assemble
from phis_lab.config.check import check
from phis_lab.config.compose import composer
from phis_lab.config.jobs import create_job
from phis_lab.engine import train_group
from phis_lab.groups import GROUPS
from phis_lab.runs import RunRecord, group_jobs, read_record
from phis_lab.runs.job import Job

CONF = Path(__file__).resolve().parents[2] / "conf"
SMALL = [
    "debug=smoke", "logger=none", "augmentation.image_size=32", "student.image_size=32", "data.batch_size=8",
    "data.train_images=64", "trainer.max_steps=6", "trainer.checkpoint_every=6", "estimation.steps=4",
    "estimation.warmup_steps=2", "estimation.refresh_every=1", "evaluation.every=5", "evaluation.train_images=20",
    "evaluation.test_images=10", "evaluation.matching_images=10",
]  # fmt: skip
SMALLER_CANVAS = "teachers.sam_h.image_size=64"
NEEDED = {
    "student=vit_base": ["student.pretrained=false"],
    "student=vit_large": ["student.pretrained=false"],
    "student=vit_tiny14": ["student.image_size=28"],
    "head=identity": ["normalizer=pca_truncation", "loss=tintem"],
    "normalizer=pca_truncation": ["head=linear", "loss=proteus"],
    "normalizer=random_projection": ["head=identity", "loss=tintem"],
    "normalizer=teacher_in_the_middle": ["head=identity", "loss=tintem"],
}
COMPRESSING = [choice for choice in NEEDED if not choice.startswith("student")]
ALIKE = ["~teachers.dfn_clip", "~teachers.sam_h", "student.width=24"]
"""Teachers whose summaries are as wide as their patches, and a student that is no wider."""
LARGE = ["student=vit_base", "student=vit_base_scratch", "student=vit_large"]
OPTIONS = {
    group: [choice for file in sorted((CONF / group).glob("*.yaml")) if (choice := f"{group}={file.stem}") not in LARGE]
    for group, of in GROUPS.items()
    if of.of == "arm"
}
VALUES = [
    "seed=1",
    "student.drop_path=0.3",
    "student.depth=2",
    "optimizer=adamw optimizer.optimizer._target_=torch.optim.NAdam ~optimizer.optimizer.fused",
    "optimizer.warmup=0.5",
    "optimizer.final=0.5",
    "optimizer.clip=0.1",
    "optimizer.frozen_body_steps=2",
    "trainer.precision=float32",
    "trainer.precision=bfloat16",
    "trainer.target_products=bfloat16x3",
]
DIVERGES = "optimizer.lr=1e30"


def arms_of_every_option() -> list[str]:
    """As few arms as can be that choose every option and value between them, the n-th of each group together."""
    groups = [[choice for choice in choices if choice not in COMPRESSING] for choices in OPTIONS.values()]
    count = max(map(len, [*groups, VALUES]))
    arms = []
    for number in range(count):
        chosen = dict(words[number % len(words)].split("=") for words in groups)
        own = VALUES[number] if number < len(VALUES) else ""
        typed = {name for name, _, _ in (word.partition("=") for word in own.split())}
        arms.append(" ".join([*(f"{name}={option}" for name, option in chosen.items() if name not in typed), own]))
    return [arm.strip() for arm in arms]


@pytest.fixture(autouse=True, scope="module")
def hydra() -> Iterator[None]:
    with composer([]):
        yield


@cache
def composed(choice: str) -> Job:
    """The job of a choice, in no folder yet."""
    words = choice.split()
    needed = [override for word in words for override in NEEDED.get(word, [])]
    teachers = ALIKE if choice in COMPRESSING else [SMALLER_CANVAS]
    overrides = [*SMALL, "data.seed=0", *words, *needed, *teachers]
    made = create_job(compose("config", overrides, return_hydra_config=True), Path(choice))
    check(made.config)
    return made


def job(choice: str, folder: Path) -> Job:
    return replace(composed(choice), folder=folder / choice)


def train(choices: Sequence[str], folder: Path) -> None:
    jobs = [job(choice, folder) for choice in choices]
    assert len(group_jobs(jobs)) == 1
    train_group(assemble(jobs, {each.folder: each.folder.name for each in jobs}))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoint.pt", weights_only=True, mmap=True)["arm"]["modules"]


def measured(record: RunRecord) -> object:
    return record.status, record.steps, record.metrics, record.teacher_metrics, record.history


def assert_equal_to_solo_runs(choices: Sequence[str], folder: Path, every: int = 1) -> None:
    """Of all that train together, one in so many is trained alone too."""
    train(choices, folder / "together")
    for choice in choices[::-every]:
        if choice == DIVERGES:
            record = read_record(folder / "together" / choice / "result.json")
            assert (record.status, record.steps) == ("failed", 3)
            continue
        with unchecked():  # of the group, which computes the same, all shapes are checked
            train([choice], folder / "alone")
        together, alone = (folder / where / choice for where in ("together", "alone"))
        assert read_record(together / "result.json").status == "complete", choice
        assert measured(read_record(together / "result.json")) == measured(read_record(alone / "result.json")), choice
        ours, theirs = weights(together), weights(alone)
        assert ours.keys() == theirs.keys()
        assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == [], choice


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_every_option_of_every_group_equals_its_solo_run(every: int, tmp_path: Path) -> None:
    arms = arms_of_every_option()
    chosen = {word for arm in arms for word in arm.split()} | {*COMPRESSING}
    assert chosen >= {choice for choices in OPTIONS.values() for choice in choices}
    assert chosen >= {word for value in VALUES for word in value.split()}
    assert_equal_to_solo_runs([*arms, DIVERGES], tmp_path, every)


def test_students_that_are_matched_in_their_own_space_equal_their_solo_runs(tmp_path: Path) -> None:
    assert_equal_to_solo_runs(COMPRESSING, tmp_path)


@pytest.mark.slow
def test_the_large_students_equal_their_solo_runs(tmp_path: Path) -> None:
    assert_equal_to_solo_runs(["student=pocket_vit", *LARGE], tmp_path)
