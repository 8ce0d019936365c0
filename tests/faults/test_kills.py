"""A command that is killed or told to stop, at any moment and more than once, goes on to the same result."""

import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from fault_children import Ended, Fault, run_child
from fault_counts import TIMES, survived, tried
from faulty_commands import ROWS, assert_whole, content
from processes import free_port

from phis_lab.engine.callbacks.interrupt import SIGNALS

pytestmark = pytest.mark.ddp

Undisturbed = Callable[[str], tuple[dict[str, object], Ended]]
Prepare = Callable[[str, Path], Path]
OF_EACH = {"run": 3, "sweep": 2, "cache": 4, "stats": 4, "export": 4}
"""Kills of the fast part, of those commands that are quick; one of the others."""
KILLS = {name: TIMES * OF_EACH.get(name, 1) for name in ROWS}
TRAINING = ["run", "sweep", "run in two processes"]


def moment(draw: random.Random, whole: Ended, number: int) -> Fault:
    """Before one of the changes to files, or at any time between them."""
    if draw.random() < 0.6:
        return Fault(event=draw.randint(1, whole.changes), number=number)
    return Fault(number=number, seconds=draw.uniform(0.001, whole.seconds))


def finish(name: str, folder: Path, expected: dict[str, object]) -> None:
    """The same command goes on, and leaves what an undisturbed one leaves."""
    ended = run_child(ROWS[name].command, folder, world=ROWS[name].world, port=free_port())
    assert ended.code == 0, ended.error
    assert content(folder) == expected


@pytest.mark.parametrize("name", ROWS)
def test_a_killed_command_goes_on_to_the_same_result(
    name: str, draw: random.Random, undisturbed: Undisturbed, prepare: Prepare, tmp_path: Path
) -> None:
    row, (expected, whole) = ROWS[name], undisturbed(name)
    killed = life = 0
    while killed < KILLS[name]:
        folder = prepare(name, tmp_path / str(life))
        kills = 0
        for _ in range(min(3, KILLS[name] - killed)):
            fault = moment(draw, whole, signal.SIGKILL)
            ended = run_child(row.command, folder, fault, row.world, free_port())
            assert ended.code in {0, -signal.SIGKILL}, (fault, ended.error)
            assert_whole(folder)
            if ended.code == 0:
                break
            tried("SIGKILL", name)
            kills += 1
        finish(name, folder, expected)
        for _ in range(kills):
            survived("SIGKILL", name)
        killed, life = killed + kills, life + 1


@pytest.mark.parametrize("name", TRAINING)
def test_a_command_that_is_told_to_stop_goes_on_to_the_same_result(
    name: str, draw: random.Random, undisturbed: Undisturbed, prepare: Prepare, tmp_path: Path
) -> None:
    row, (expected, whole) = ROWS[name], undisturbed(name)
    for life, number in enumerate(SIGNALS * (TIMES // 4) or draw.sample(SIGNALS, 1)):
        folder = prepare(name, tmp_path / str(life))
        fault = moment(draw, whole, number)
        tried(number.name, name)
        ended = run_child(row.command, folder, fault, row.world, free_port())
        assert ended.code in {0, 128 + number, -number}, (fault, ended.error)
        assert_whole(folder)
        finish(name, folder, expected)
        survived(number.name, name)
