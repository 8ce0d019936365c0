"""A full disk leaves what was there whole and nothing half-written, and once it has room the command goes on."""

import errno
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from fault_children import Ended, Fault, run_child
from fault_counts import TIMES, survived, tried
from faulty_commands import ROWS, assert_whole, content

Undisturbed = Callable[[str], tuple[dict[str, object], Ended]]
Prepare = Callable[[str, Path], Path]
ALONE = [name for name, row in ROWS.items() if row.world == 1]
pytestmark = pytest.mark.ddp


def full(draw: random.Random, whole: Ended, number: int) -> tuple[str, Fault]:
    """In turns: no file can be begun from one of the changes on, and no file grows beyond so many bytes."""
    if number % 2:
        return "disk full at a byte of a file", Fault(most_bytes=int(2 ** draw.uniform(0, 17)))
    return "disk full from a file on", Fault(event=draw.randint(1, whole.changes), number=errno.ENOSPC, full=True)


@pytest.mark.parametrize("name", ALONE)
def test_a_full_disk_leaves_nothing_half_written_and_the_same_command_goes_on(
    name: str, draw: random.Random, undisturbed: Undisturbed, prepare: Prepare, tmp_path: Path
) -> None:
    row, (expected, whole) = ROWS[name], undisturbed(name)
    for number in range(TIMES if name == "evaluate" else 2 * TIMES):  # which takes longest
        folder = prepare(name, tmp_path / str(number))
        before = content(folder)
        event, fault = full(draw, whole, number)
        tried(event, name)
        ended = run_child(row.command, folder, fault)
        assert ended.code in {0, 1}, (fault, ended.error)
        assert_whole(folder)
        left = content(folder)
        assert not [path for path in left if Path(path).name.startswith(".")], fault
        assert ended.code == 0 or before.items() <= left.items(), fault
        ended = run_child(row.command, folder)
        assert ended.code == 0, (fault, ended.error)
        assert content(folder) == expected, fault
        survived(event, name)
