"""Shared test set-up."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings
from shapes_of_users import unchecked

import phis_lab._torchvision  # noqa: F401  before anything imports torchvision

torch.set_num_threads(1)  # test processes run side by side; threads that wait for each other's cores take minutes

settings.register_profile("laws", deadline=None, derandomize=True, max_examples=25)
settings.load_profile("laws")  # a fixed set of cases, none judged by its time


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a file's tests on one worker, which makes what they share once.

    All tests of several processes are on one worker too, whose server of processes imports the project once.
    """
    for item in items:
        group = "processes" if item.get_closest_marker("ddp") else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture
def unchecked_shapes() -> Iterator[None]:
    """Shapes as users have them: unchecked, so that a function's own refusal is seen."""
    with unchecked():
        yield
