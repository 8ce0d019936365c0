"""Fixtures of the engine's tests."""

import pytest
from small_arms import patch_pool

from phis_lab.teachers import TeacherPool


@pytest.fixture
def pool() -> TeacherPool:
    return patch_pool()
