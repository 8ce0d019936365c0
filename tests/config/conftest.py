"""Hydra over the project's own configuration, for every test of it; each option file is read once."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from phis_lab.config.repository import remember
from phis_lab.config.resolvers import register_resolvers

CONF = Path(__file__).resolve().parents[2] / "conf"


@pytest.fixture(autouse=True, scope="module")
def hydra() -> Iterator[None]:
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        remember(GlobalHydra.instance().config_loader())
        yield
