"""A sweep or an experiment is complete by its name alone: what runs is what its file says."""

import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from phis_lab.config.compose import NAME, Composer

CONF = Path(__file__).resolve().parents[2] / "conf"


def recipes(group: str) -> list[str]:
    return sorted(file.relative_to(CONF / group).with_suffix("").as_posix() for file in (CONF / group).rglob("*.yaml"))


def said(group: str, option: str) -> tuple[dict[str, str], dict[str, Any]]:
    """The choices and the values, by their dotted names, of a file, and those of the experiment that it begins from."""
    read = yaml.safe_load((CONF / group / f"{option}.yaml").read_text())
    choices: dict[str, str] = {}
    values: dict[str, Any] = {}
    for item in read.pop("defaults", []):
        ((name, chosen),) = item.items()
        choices[name.removeprefix("override /")] = chosen
    if "experiment" in choices:
        of_experiment, values = said("experiment", choices["experiment"])
        choices = of_experiment | choices
    own = {key: value for key, value in read.items() if key != "hydra"}
    return choices, values | (dict(leaves(own)) if own else {})


def typed(*overrides: str) -> Composer:
    """A command line, whose option files are read once for all of them."""
    return Composer(Hydra("run", GlobalHydra.instance().config_loader()), overrides, (), NAME)


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            yield from leaves(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, node


def as_said(config: Any, choices: Mapping[str, str], values: Mapping[str, Any]) -> None:
    taken = config.hydra.runtime.choices
    assert {group: taken[group] for group in choices} == choices
    for path, value in values.items():
        assert OmegaConf.select(config, path) == value, path


@pytest.mark.parametrize("experiment", recipes("experiment"))
def test_an_experiment_runs_what_its_file_says(experiment: str) -> None:
    as_said(typed(f"experiment={experiment}").sound(), *said("experiment", experiment))


@pytest.mark.parametrize("sweep", recipes("sweep"))
def test_the_jobs_of_a_sweep_are_what_its_file_says(sweep: str) -> None:
    choices, values = said("sweep", sweep)
    given = yaml.safe_load((CONF / "sweep" / f"{sweep}.yaml").read_text())["hydra"]["sweeper"]["params"]
    listed = {name: re.findall(r"\[.*?\]|[^,]+", str(value)) for name, value in given.items()}
    wanted = [dict(zip(listed, row, strict=True)) for row in itertools.product(*listed.values())]
    command = typed(f"sweep={sweep}")
    jobs = command.jobs()
    assert jobs is not None
    assert [dict(text.split("=", 1) for text in job) for job in jobs] == [row | {"sweep": sweep} for row in wanted]
    for job, row in ((jobs[0], wanted[0]), (jobs[-1], wanted[-1])):
        chosen = {name: option for name, option in row.items() if (CONF / name).is_dir()}
        options = {name: yaml.safe_load(value) for name, value in row.items() if name not in chosen}
        as_said(command.sound(job), choices | chosen, values | options)


def test_a_sweep_gives_way_to_what_is_typed() -> None:
    command = typed(
        "sweep=unic_balancing", "normalizer=phis", "scale=unic_paper", "data.root=x", "balancer=uniform", "seed=7"
    )
    (job,) = command.jobs() or []
    taken = command.sound(job).hydra.runtime.choices
    assert (taken.normalizer, taken.loss, taken.scale, taken.balancer) == ("phis", "unic", "unic_paper", "uniform")


@pytest.mark.parametrize("sweep", recipes("sweep"))
def test_the_header_of_a_sweep_runs_it_by_its_name_alone(sweep: str) -> None:
    header = (CONF / "sweep" / f"{sweep}.yaml").read_text()
    assert set(re.findall(r"run\.py -m (.*?)(?:  |\n)", header)) <= {f"sweep={sweep}"}
