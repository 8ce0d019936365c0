"""The table of config groups says what there is: no group is missing, and none is named that does not exist."""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from synthetic_records import record

from phis_lab.config.nodes import Run
from phis_lab.groups import GROUPS, NEEDED, NOT_CONTENT, NOT_SHARED, OPTIONS, facts, without
from phis_lab.reports import group_studies
from phis_lab.runs.job import Job

CONF = Path(__file__).resolve().parents[1] / "conf"


def defaults(file: Path) -> Iterator[tuple[str, Any]]:
    """Group and option of every choice that an option file makes."""
    read = yaml.safe_load(file.read_text()) or {}
    for item in read.get("defaults", []):
        if isinstance(item, dict):
            for name, option in item.items():
                yield name.removeprefix("override ").removeprefix("/").partition("@")[0], option


def test_the_table_has_the_folders_of_the_configuration_and_no_other_group() -> None:
    assert set(GROUPS) == {folder.name for folder in CONF.iterdir() if folder.is_dir()}


def test_every_group_that_a_file_chooses_from_is_in_the_table() -> None:
    chosen = {group for file in CONF.rglob("*.yaml") for group, _ in defaults(file) if not group.startswith("hydra/")}
    assert chosen <= set(GROUPS)


def test_the_usual_options_are_those_of_the_primary_file() -> None:
    primary = {group: option for group, option in defaults(CONF / "config.yaml") if not group.startswith("hydra/")}
    usual = {name: group.usual for name, group in GROUPS.items()}
    assert {group: usual[group] for group in primary if group != "data"} == {
        group: option for group, option in primary.items() if group != "data"
    }
    assert set(NEEDED) == {name for name, option in usual.items() if option}
    for name in NEEDED:
        assert (CONF / name / f"{usual[name]}.yaml").is_file()


def test_what_has_a_node_is_what_a_run_reads() -> None:
    loose = {name for name in OPTIONS if "." not in name and name != "hydra"}
    nodes = {name for name, group in GROUPS.items() if group.holds not in ("member", "choices")}
    assert nodes | loose == {field.name for field in fields(Run)}
    assert {name.partition(".")[0] for name in OPTIONS if "." in name} <= set(GROUPS)


@pytest.mark.parametrize(
    ("key", "row"),
    [
        ("normalizer", GROUPS["normalizer"]),
        ("normalizer.gamma", GROUPS["normalizer"]),
        ("teacher@teachers.xfeat", GROUPS["teacher"]),
        ("hydra/launcher", OPTIONS["hydra"]),
        ("hydra.verbose", OPTIONS["hydra"]),
        ("trainer.max_steps", GROUPS["trainer"]),
        ("trainer.precision", OPTIONS["trainer.precision"]),
        ("evaluation.data.seed", OPTIONS["evaluation.data.seed"]),
    ],
)
def test_an_option_is_what_the_nearest_row_says(key: str, row: object) -> None:
    assert facts(key) is row


def test_an_own_group_is_content_that_all_arms_share() -> None:
    own = facts("own_group.option")
    assert (own.of, own.identifies, own.method) == ("process", True, True)


def test_options_are_left_out_by_their_dotted_names_and_the_rest_is_a_copy() -> None:
    config = {"data": {"workers": 2, "root": ["x"]}, "seed": 3, "label": None}
    left = without(config, ["data.workers", "seed", "data.root.deeper", "not.there", "label.below"])
    assert left == {"data": {"root": ["x"]}, "label": None}
    left["data"]["root"].append("y")
    assert config["data"]["root"] == ["x"]


def test_arms_differ_in_what_they_are_trained_with_and_where_they_are_written() -> None:
    whole = {name for name in NOT_SHARED if "." not in name}
    assert whole == {
        "normalizer", "loss", "balancer", "head", "student", "optimizer", "logger", "paths", "seed", "label", "hydra",
    }  # fmt: skip
    assert {name for name in NOT_CONTENT if "." not in name} == {
        "strategy", "logger", "paths", "seed", "label", "hydra", "online",
    }  # fmt: skip


def test_arms_of_two_precisions_are_two_methods() -> None:
    overrides = [(f"trainer.precision={precision}", "seed=0") for precision in ("float32", "bfloat16")]
    jobs = [Job({"seed": 0}, Path("x"), {"normalizer": "phis"}, given, "study", "0", "run") for given in overrides]
    assert [job.label(["trainer.precision"]) for job in jobs] == ["phis, precision float32", "phis, precision bfloat16"]
    (study,) = group_studies([record(overrides=list(given), quality=n) for n, given in enumerate(overrides)])
    assert study.repeats == ()


def test_how_a_method_is_called_and_written_is_no_other_method() -> None:
    ways = ["label=phis", "paths.outputs=there", "+hydra/launcher=basic", "trainer.log_every=5", "logger=none"]
    (study,) = group_studies([record(seed=seed, overrides=[way]) for seed, way in enumerate(ways)])
    assert {found.method for found in study.records} == {"phis"}
