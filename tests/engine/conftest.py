"""Fixtures of the engine's tests."""

import pytest
from small_arms import WholeRuns, patch_pool

from phis_lab.teachers import TeacherPool


@pytest.fixture
def pool() -> TeacherPool:
    return patch_pool()


@pytest.fixture(scope="session")
def whole_runs(tmp_path_factory: pytest.TempPathFactory) -> WholeRuns:
    return WholeRuns(tmp_path_factory.mktemp("whole"))
