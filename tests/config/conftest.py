"""Hydra over the project's own configuration, for every test of it; each option file is read once."""

from collections.abc import Iterator

import pytest

from phis_lab.config.compose import composer


@pytest.fixture(autouse=True, scope="module")
def hydra() -> Iterator[None]:
    with composer([]):
        yield
