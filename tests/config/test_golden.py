"""What the main commands run is written down; a change of it has to be seen.

`UPDATE_GOLDEN=1 make test` writes the files anew.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir

from phis_lab.config.resolvers import register_resolvers, to_plain

GOLDEN = Path(__file__).parent / "golden"
CONF = Path(__file__).resolve().parents[2] / "conf"
COMMANDS = {
    "default": [],
    "demo_phis": ["sweep=demo", "scale=pocket", "normalizer=phis", "evaluation.probes.knn.when=end"],
    "radio_set": ["normalizer=phis", "teachers=radio_set", "student=vit_base"],
}


@pytest.fixture(autouse=True)
def hydra() -> Iterator[None]:
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


@pytest.mark.parametrize("name", COMMANDS)
def test_the_command_runs_what_is_written_down(name: str) -> None:
    resolved = to_plain(compose("config", COMMANDS[name], return_hydra_config=True))
    path = GOLDEN / f"{name}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(yaml.safe_dump(resolved, sort_keys=False))
    assert yaml.safe_load(path.read_text()) == resolved
