"""Hydra over the project's own configuration, for every test of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import initialize_config_dir

from phis_lab.config.resolvers import register_resolvers

CONF = Path(__file__).resolve().parents[2] / "conf"


@pytest.fixture(autouse=True)
def hydra() -> Iterator[None]:
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield
