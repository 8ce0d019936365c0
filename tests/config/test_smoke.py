"""`debug=smoke` works with every recipe that ships: all are checked and built, and trained where there is time."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from PIL import Image

from phis_lab.config.assemble import assemble
from phis_lab.config.check import check
from phis_lab.config.jobs import create_job
from phis_lab.config.sound import remarks
from phis_lab.engine import Group, train_group
from phis_lab.runs import group_jobs, read_record
from phis_lab.runs.job import Job

CONF = Path(__file__).resolve().parents[2] / "conf"
GROUPS = (
    "experiment",
    "scale",
    "stages",
    "evaluation",
    "task",
    "student",
    "data",
    "estimation",
    "strategy",
    "augmentation",
)
RECIPES = sorted(
    f"{group}={file.relative_to(CONF / group).with_suffix('').as_posix()}"
    for group in GROUPS
    for file in (CONF / group).glob("**/*.yaml")
)
SWEEPS = sorted(file.stem for file in (CONF / "sweep").glob("*.yaml"))
UNREACHABLE = {
    "data=cifar10": "is downloaded",
    "data=webdataset": "needs shards of the user's own",
    "estimation=offline": "needs moments that `phis-lab stats` wrote",
    "task=robustness": "needs the extra robustness",
    "student=vit_base": "takes its weights from the hub",
    "student=vit_large": "takes its weights from the hub",
}
SEVERAL = {"strategy=ddp", "strategy=teacher_partition"}
"""These start other processes."""
SLOW_STEPS = [
    "trainer.max_steps=6", "online.steps=2", "online.warmup_steps=0", "optimizer.frozen_body_steps=0",
    "data.batch_size=8", "evaluation.every=null", "evaluation.train_images=40",
    "evaluation.test_images=20", "evaluation.matching_images=8",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of two classes, as a data set and as a shifted copy of its training images."""
    root, generator = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 4)):
        for name in ("0", "1"):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")
    return root


def needed(recipe: str, folder: Path) -> list[str]:
    own = ["data=image_folder", f"data.root={folder}"]
    return {
        "data=image_folder": [f"data.root={folder}"],
        "strategy=teacher_partition": ["stages=one_teacher_per_image"],
        "task=shifted": [
            *own,
            f"evaluation.tasks.shifted.roots={{r: {folder / 'test'}}}",
            f"evaluation.tasks.shifted.classes_root={folder / 'train'}",
        ],
    }.get(recipe, [])


def job(folder: Path, *overrides: str) -> Job:
    config = compose("config", ["debug=smoke", "logger=none", *overrides], return_hydra_config=True)
    made = create_job(config, folder / "-".join(overrides).replace("/", "_")[:120])
    check(made.config)
    assert list(remarks(config)) == []
    return made


def built(*jobs: Job) -> Group:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This DataLoader will create")  # more workers than this machine has
        return assemble(jobs, {each.folder: each.folder.name for each in jobs})


@pytest.mark.parametrize("recipe", [recipe for recipe in RECIPES if recipe not in UNREACHABLE])
def test_every_recipe_builds_as_a_smoke_run(recipe: str, folder: Path, tmp_path: Path) -> None:
    group = built(job(tmp_path, recipe, *needed(recipe, folder)))
    assert group.options.max_steps == 24
    assert group.stages[-1].end == 24


@pytest.mark.parametrize(
    "recipes",
    [
        ("experiment=phis/phis", "scale=paper", "stages=phis"),
        ("experiment=tintem/full", "scale=tintem_paper"),
        ("experiment=unic/full", "scale=unic_paper"),
        ("experiment=tintem/pca", "stages=pocket"),
    ],
)
def test_recipes_that_belong_together_build_together(recipes: tuple[str, ...], tmp_path: Path) -> None:
    built(job(tmp_path, *recipes))


def choices(sweep: str) -> list[list[str]]:
    """Jobs of a sweep, as its name alone makes them: as few as can be that have every value of every parameter."""
    config = compose("config", [f"sweep={sweep}"], return_hydra_config=True)
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    values: dict[str, list[str]] = {}
    for name, value in config.hydra.sweeper.params.items():
        override = parser.parse_override(f"{name}={value}")
        given = list(override.sweep_string_iterator()) if override.is_sweep_override() else [value]
        values[name] = given[:1] if name == "seed" else [each for each in given if each != "offline"]
    count = max(map(len, values.values()))
    return [
        [f"sweep={sweep}", *(f"{name}={given[number % len(given)]}" for name, given in values.items())]
        for number in range(count)
    ]


@pytest.mark.slow  # `test_composition` checks their jobs
@pytest.mark.parametrize("sweep", SWEEPS)
def test_every_sweep_builds_as_a_smoke_run_by_its_name_alone(sweep: str, tmp_path: Path) -> None:
    jobs = [job(tmp_path, *words) for words in choices(sweep)]
    assert len(jobs) > 1
    for group in group_jobs(jobs):
        assert len(built(*group).runs) == len(group)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [recipe for recipe in RECIPES if recipe not in {*UNREACHABLE, *SEVERAL}])
def test_every_recipe_trains_as_a_smoke_run(recipe: str, folder: Path, tmp_path: Path) -> None:
    own = job(tmp_path, recipe, *SLOW_STEPS, *needed(recipe, folder))
    train_group(built(own))
    assert read_record(own.folder / "result.json").status == "complete"
