"""Shared test set-up."""

import logging
from collections.abc import Generator, Iterator

import pytest
import torch
from hypothesis import settings
from shapes_of_users import unchecked

import phis_lab._torchvision  # noqa: F401  before anything imports torchvision

torch.set_num_threads(1)  # test processes run side by side; threads that wait for each other's cores take minutes

settings.register_profile("laws", deadline=None, derandomize=True, max_examples=25)
settings.load_profile("laws")  # a fixed set of cases, none judged by its time

LONGEST = ("test_golden_runs", "test_every_option", "processes")
"""Groups of tests that take a minute each: begun last, they would be waited for."""


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a file's tests on one worker, which makes what they share once; begin with the files that take longest.

    All tests of several processes are on one worker too, whose server of processes imports the project once.
    """
    groups = {item: "processes" if item.get_closest_marker("ddp") else str(item.path) for item in items}
    for item, group in groups.items():
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: not any(name in groups[item] for name in LONGEST))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """A command that ran in this process, a shared fixture's too, leaves no log handler and no level to later tests."""
    loggers = (logging.getLogger(), logging.getLogger("phis_lab"))
    before = [(logger.level, list(logger.handlers)) for logger in loggers]
    result = yield
    for logger, (level, handlers) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.handlers[:] = handlers
    return result


@pytest.fixture
def unchecked_shapes() -> Iterator[None]:
    """Shapes as users have them: unchecked, so that a function's own refusal is seen."""
    with unchecked():
        yield
