"""Shared test set-up."""

from collections.abc import Iterator

import jaxtyping
import pytest
import torch
from hypothesis import settings

import phis_lab._torchvision  # noqa: F401  before anything imports torchvision

torch.set_num_threads(1)  # test processes run side by side; threads that wait for each other's cores take minutes

settings.register_profile("laws", deadline=None, derandomize=True, max_examples=25)
settings.load_profile("laws")  # a fixed set of cases, none judged by its time


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep all tests of several processes on one worker, whose server of processes imports the project once."""
    for item in items:
        if item.get_closest_marker("ddp"):
            item.add_marker(pytest.mark.xdist_group("processes"))


@pytest.fixture
def unchecked_shapes() -> Iterator[None]:
    """Shapes as users have them: unchecked, so that a function's own refusal is seen."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
