"""What the main commands run is written down; a change of it has to be seen.

`UPDATE_GOLDEN=1 make test` writes the files anew.
"""

import os
from pathlib import Path

import pytest
import yaml
from hydra import compose

from phis_lab.config.resolvers import content_hash, to_plain

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


NAMED = [
    "normalizer=identity seed=3",
    "normalizer=phis teachers=radio_set student=vit_base",
    "debug=smoke normalizer=phis logger=[csv,wandb]",
    "scale=pocket normalizer=standardize balancer=adaloss loss=hybrid_smooth_l1 head=linear",
    "experiment=phis/ada_phis scale=pocket label=mine",
    "experiment=phis/hca scale=paper data.root=x",
    "experiment=unic/full scale=unic_paper data.root=x",
    "experiment=tintem/full scale=tintem_paper debug=smoke",
    "sweep=demo scale=pocket normalizer=phis evaluation.probes.knn.when=end",
    "experiment=unic/base scale=pocket strategy=ddp data.workers=3",
    "task=dense segmentation=ade20k segmentation.root=x",
    "task=transfer transfer=unic student=vit_tiny14",
    "task=zero_shot debug=smoke",
    "stages=phis teachers=tiny_set teachers.smallest=true student.class_tokens=per_teacher",
    "estimation=offline estimation.moments=. estimation.other_images=true",
    "teachers=radio_set +teachers.sam_h.spatial_scale=2 teachers.store=there teachers.store_dtype=int8",
    "data=webdataset data.root=x augmentation=none optimizer=lamb optimizer.lr=0.1",
    "task=ood ~evaluation.tasks.ood.far.noise evaluation.tasks.ood.near_classes=3",
]
"""Commands whose folders and hashes stay what they are, so that runs which ended are found again."""


def test_a_command_finds_the_folder_that_it_always_had() -> None:
    found = {}
    for command in NAMED:
        config = compose("config", command.split(), return_hydra_config=True)
        found[command] = f"{config.hydra.run.dir} {content_hash(config)}"
    path = GOLDEN / "names.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(yaml.safe_dump(found, sort_keys=False, width=1000))
    assert yaml.safe_load(path.read_text()) == found
