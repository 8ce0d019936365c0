"""Fixtures of the tests in which something goes wrong, and the table of how often it was survived."""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import fault_counts
import pytest
from fault_children import Ended, run_child
from faulty_commands import ROWS, content, train_finished
from processes import free_port


@pytest.fixture
def draw(request: pytest.FixtureRequest) -> random.Random:
    """Random numbers of a test, by its name and the seed, which the table's line prints."""
    return random.Random(f"{fault_counts.SEED} {request.node.name}")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has ended, trained once."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    train_finished(folder)
    return folder


@pytest.fixture(scope="session")
def prepare(request: pytest.FixtureRequest) -> Callable[[str, Path], Path]:
    """Makes a folder in which a command can begin."""

    def make(name: str, folder: Path) -> Path:
        folder.mkdir()
        if ROWS[name].of_finished:
            shutil.copytree(request.getfixturevalue("finished"), folder / "run")
        return folder

    return make


@pytest.fixture(scope="session")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, prepare: Callable[[str, Path], Path]
) -> Callable[[str], tuple[dict[str, object], Ended]]:
    """What each command leaves, and how it ends, where nothing goes wrong."""
    known: dict[str, tuple[dict[str, object], Ended]] = {}

    def of(name: str) -> tuple[dict[str, object], Ended]:
        if name not in known:
            folder = prepare(name, tmp_path_factory.mktemp("undisturbed") / "x")
            ended = run_child(ROWS[name].command, folder, world=ROWS[name].world, port=free_port())
            assert ended.code == 0, ended.error
            known[name] = content(folder), ended
        return known[name]

    return of


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, and write it where the number of tries was asked for."""
    for line in fault_counts.table():
        terminalreporter.write_line(line)
    if fault_counts.table():
        terminalreporter.write_line(f"FAULTS={fault_counts.TIMES} FAULTS_SEED={fault_counts.SEED}")
    if "FAULTS" in os.environ and fault_counts.table():
        fault_counts.write_table()
