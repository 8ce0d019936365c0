"""What the main commands run is written down; a change of it has to be seen.

`UPDATE_GOLDEN=1 make test` writes the files anew.
"""

import os
from pathlib import Path

import pytest
import yaml
from hydra import compose

from phis_lab.config.resolvers import to_plain

GOLDEN = Path(__file__).parent / "golden"
COMMANDS = {
    "default": [],
    "demo_phis": ["sweep=demo", "scale=pocket", "normalizer=phis", "evaluation.probes.knn.when=end"],
    "radio_set": ["normalizer=phis", "teachers=radio_set", "student=vit_base"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_command_runs_what_is_written_down(name: str) -> None:
    resolved = to_plain(compose("config", COMMANDS[name], return_hydra_config=True))
    path = GOLDEN / f"{name}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(yaml.safe_dump(resolved, sort_keys=False))
    assert yaml.safe_load(path.read_text()) == resolved
