"""Fixtures of the fuzz tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from shapes_of_users import unchecked


@pytest.fixture(scope="module", autouse=True)
def as_users_have_it() -> Iterator[None]:
    """Shapes are not checked, so that a reader's own refusal is seen."""
    with unchecked():
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For what a test writes over and over."""
    return tmp_path_factory.mktemp("fuzzed")
