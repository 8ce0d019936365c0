"""Shared test set-up."""

import logging
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from jaxtyping import install_import_hook
from shapes_of_users import unchecked

PACKAGE = Path(__file__).resolve().parents[1] / "phis_lab"
SHAPED = [
    ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts)
    for file in PACKAGE.rglob("*.py")
    if "from phis_lab.shapes import" in file.read_text(encoding="utf-8")
]
"""Modules with shapes in annotations; to check every call of the others too takes a third of the time."""
install_import_hook(SHAPED, "beartype.beartype")

import phis_lab._torchvision  # noqa: E402, F401  before anything imports torchvision

torch.set_num_threads(1)  # test processes run side by side; threads that wait for each other's cores take minutes

settings.register_profile("laws", deadline=None, derandomize=True, max_examples=25)
settings.register_profile("fuzz", deadline=None, max_examples=2000, print_blob=True)
settings.load_profile("laws")  # a fixed set of cases, none judged by its time

LONGEST = ("golden/test_golden_runs.py", "test_every_option.py", "test_run.py", "test_smoke.py")
"""Files that take a minute each: begun last, they would be waited for."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest."""
    items.sort(key=lambda item: not str(item.path).endswith(LONGEST))


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
