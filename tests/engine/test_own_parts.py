"""What a user's own part gets wrong is told in a sentence that names it, and stops no other arm."""

import re
from pathlib import Path

import pytest
import torch
from small_arms import PatchTeacher, WholeRuns, make_arm, make_group
from test_shared_arms import ARMS, assert_same_run
from torch import nn

from phis_lab.data.workers import WorkerError
from phis_lab.engine import train_group
from phis_lab.features import Features
from phis_lab.guards import PartError, TeacherError
from phis_lab.losses import MSE, Uniform
from phis_lab.normalizers import PhiS, Standardize
from phis_lab.runs import read_record

pytestmark = pytest.mark.usefixtures("unchecked_shapes")


class Narrow(Standardize):
    def forward(self, x):
        return super().forward(x)[..., :-1]


class Whole(Standardize):
    def forward(self, x):
        return x.long()


class Unwilling(Standardize):
    def fit(self, moments):
        raise KeyError("mean")


class NoRows(MSE):
    def forward(self, *tensors):
        return None


class OneNumber(MSE):
    def forward(self, *tensors):
        return {kind: row.mean() for kind, row in super().forward(*tensors).items()}


class Unread(MSE):
    def spatial(self, pred, target):
        raise FileNotFoundError("weights.txt")


class Rows(Uniform):
    def forward(self, rows):
        return rows


class Broken(Uniform):
    def forward(self, rows):
        return rows @ rows


def head_of(width):
    def arm(pool):
        made = make_arm(pool)
        made.student.spatial_heads["loud"] = nn.Linear(16, width)
        return made

    return arm


def wrong_input(pool):
    made = make_arm(pool)
    made.student.spatial_heads["loud"] = nn.Linear(5, 20)
    return made


WRONG = {
    "narrow": (lambda pool: make_arm(pool, Narrow), r"the normaliser of teacher 'quiet' \(Narrow\) gives float32"),
    "whole": (lambda pool: make_arm(pool, Whole), r"\(Whole\) gives int64 .* a floating-point tensor \[.*12\] is want"),
    "unwilling": (lambda pool: make_arm(pool, Unwilling), r"the normaliser \(Unwilling\) raised KeyError: 'mean'"),
    "no rows": (
        lambda pool: make_arm(pool, loss=NoRows()),
        r"the loss \(NoRows\) gives a NoneType, and a dict of rows is wanted",
    ),
    "one number": (lambda pool: make_arm(pool, loss=OneNumber()), r"row 'spatial' of teacher 'quiet', \(OneNumber\)"),
    "unread": (
        lambda pool: make_arm(pool, loss=Unread()),
        r"the loss \(Unread\) raised FileNotFoundError: weights.txt",
    ),
    "rows": (
        lambda pool: make_arm(pool, balancer=Rows()),
        r"the balancer \(Rows\) gives float32 \[4, 16\], and .* \[\]",
    ),
    "broken": (lambda pool: make_arm(pool, balancer=Broken()), r"the balancer \(Broken\) raised RuntimeError"),
    "head": (
        head_of(7),
        r"the head of teacher 'loud' \(Linear\) gives float32 \[16, 2, 2, 7\], and .* \[16, 2, 2, 20\]",
    ),
    "other head": (
        wrong_input,
        r"the student, or one of its heads, \(Student\) raised RuntimeError",
    ),
}


class Greedy(Standardize):
    def forward(self, x):
        raise torch.OutOfMemoryError("tried to allocate 1 TiB")


class Forgetful(Standardize):
    """Breaks once its student is scored."""

    def inverse(self, y):
        raise IndexError("where was I?")


def shrunk(pool):
    """An optimiser that steps over what it does not know."""
    made = make_arm(pool)
    made.optimizer.step = lambda *_: 1 / 0
    return made


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda pool: make_arm(pool, Greedy), r"\(Greedy\) raised OutOfMemoryError: tried to allocate 1 TiB"),
        (lambda pool: make_arm(pool, Forgetful), "IndexError: where was I"),
        (shrunk, "ZeroDivisionError: "),
    ],
    ids=["greedy", "forgetful", "shrunk"],
)
def test_whatever_an_arm_raises_is_its_own_failure(
    wrong: object, says: str, tmp_path: Path, whole_runs: WholeRuns
) -> None:
    train_group(make_group(tmp_path, {"wrong": wrong, "sound": ARMS["phis"]}))
    failure = read_record(tmp_path / "wrong" / "result.json").failure
    assert failure is not None
    assert re.search(says, failure), failure
    assert_same_run(tmp_path / "sound", whole_runs.solo("phis", ARMS["phis"], views=None))


@pytest.mark.parametrize("call", [7, 20], ids=["in a step", "in an evaluation"])
def test_what_a_teacher_raises_ends_the_group_by_its_name_and_the_same_command_goes_on(
    call: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole_runs: WholeRuns
) -> None:
    calls = []
    own = PatchTeacher.features

    def features(self, x):
        calls.append(None)
        if len(calls) == call:
            raise RuntimeError("no such layer")
        return own(self, x)

    arms = {"phis": ARMS["phis"], "whiten": ARMS["whiten"]}
    with monkeypatch.context() as patch:
        patch.setattr(PatchTeacher, "features", features)
        with pytest.raises(TeacherError, match=r"teacher '(quiet|loud)' \(PatchTeacher\) raised RuntimeError: no such"):
            train_group(make_group(tmp_path, arms, checkpoint_every=2))
    assert not list(tmp_path.rglob("result.json"))
    train_group(make_group(tmp_path, arms, checkpoint_every=2))
    for key, make in arms.items():
        assert_same_run(whole_runs.solo(key, make, views=None), tmp_path / key)


def test_a_worker_that_dies_while_students_are_scored_is_no_arms_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def died(*_: object) -> None:
        raise WorkerError("the processes that load images gave no answer")

    group = make_group(tmp_path, {"phis": ARMS["phis"]})
    monkeypatch.setattr(type(group.evaluation), "_match", died)
    with pytest.raises(WorkerError):
        train_group(group)
    assert not list(tmp_path.rglob("result.json"))


def test_every_wrong_part_is_named_in_its_record_and_the_sound_arm_trains_on(tmp_path: Path) -> None:
    arms = {"sound": lambda pool: make_arm(pool, PhiS)} | {name: make for name, (make, _) in WRONG.items()}
    train_group(make_group(tmp_path, arms))
    assert read_record(tmp_path / "sound" / "result.json").status == "complete"
    for name, (_, sentence) in WRONG.items():
        failure = read_record(tmp_path / name / "result.json").failure
        assert failure is not None
        assert re.search(sentence, failure), failure


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (None, "gives a NoneType, and Features"),
        (Features(torch.zeros(2, 12), None), r"spatial features, \(Odd\) gives None"),
        (
            Features(torch.zeros(2, 12), torch.zeros(2, 12, 4, 4)),
            r"float32 \[2, 12, 4, 4\], and .* \[2, any, any, 12\]",
        ),
        (Features(torch.zeros(2, 5), torch.zeros(2, 4, 4, 12)), r"summary, \(Odd\) gives float32 \[2, 5\]"),
    ],
)
def test_a_teacher_that_gives_something_else_than_it_announced_is_named(given: object, sentence: str) -> None:
    class Odd(PatchTeacher):
        def features(self, x: torch.Tensor) -> Features:
            return given

    with pytest.raises(PartError, match=f"teacher 'odd'.*{sentence}"):
        Odd("odd", 12, 1.0, 0)(torch.rand(2, 3, 32, 32))


def test_a_teacher_that_raises_an_error_is_named() -> None:
    class Odd(PatchTeacher):
        def features(self, x: torch.Tensor) -> Features:
            raise RuntimeError("no such layer")

    with pytest.raises(PartError, match=r"teacher 'odd' \(Odd\) raised RuntimeError: no such layer"):
        Odd("odd", 12, 1.0, 0)(torch.rand(2, 3, 32, 32))
