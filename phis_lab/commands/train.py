"""`python run.py ARGUMENTS` and `phis-lab train ARGUMENTS`: one door, behind which Hydra composes and runs.

What needs no class is refused before torch is imported, and what can be refused at all before a folder is made.
"""

import io
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hydra._internal.utils import get_args_parser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from phis_lab.config.completion import as_completing
from phis_lab.config.compose import Composer, composer
from phis_lab.config.resolvers import to_plain
from phis_lab.config.sound import refuse_empty_sweep, refuse_ineffective
from phis_lab.refusals import told


def main(arguments: Sequence[str] | None = None, command: str = "") -> None:
    """Train what a command line says, or show it.

    Args:
        arguments: of the command; None for those of the process.
        command: its name, where the program has several.
    """
    with told(), _completing(command):
        parser = get_args_parser()
        given = _parsed(parser, list(sys.argv[1:] if arguments is None else arguments))
        with composer(given.overrides, given.config_dir, given.config_name) as of_command:
            _act(of_command, parser, given)


@contextmanager
def _completing(command: str) -> Iterator[None]:
    """Let Hydra's scripts of completion, which know programs of one command, ask this command of several."""
    if not command:
        yield
        return
    line = os.environ.get("COMP_LINE", "")
    os.environ["COMP_LINE"] = line.replace(f" {command}", "", 1)
    printed = io.StringIO()
    try:
        with redirect_stdout(printed) if {"-sc", "--shell-completion"} & set(sys.argv) else nullcontext():
            yield
    finally:
        os.environ["COMP_LINE"] = line
        print(printed.getvalue().replace(" -sc query=", f" {command} -sc query="), end="")  # noqa: T201


def _parsed(parser: ArgumentParser, arguments: Sequence[str]) -> Namespace:
    given, unknown = parser.parse_known_intermixed_args(arguments)
    if unknown:
        raise ValueError(f"{unknown[0]}: options of the configuration have no dashes (NAME=VALUE); see --help")
    if given.config_path or given.experimental_rerun:
        raise ValueError("--config-path and --experimental-rerun are not for this program; own files: --config-dir DIR")
    if given.run and given.multirun:
        raise ValueError("--run and --multirun exclude each other")
    if given.resolve and not (given.cfg or given.help):
        raise ValueError("--resolve goes with --cfg or --help")
    given.multirun |= any(text.strip().lower() == "hydra.mode=multirun" for text in given.overrides)
    return given


def _act(command: Composer, parser: ArgumentParser, given: Namespace) -> None:
    hydra, given.overrides = command.hydra, command.overrides
    if given.shell_completion:
        as_completing(command)
        hydra.shell_completion(command.name, command.overrides)
        return
    if given.hydra_help or given.help:
        command.compose()
        answer = hydra.hydra_help if given.hydra_help else hydra.app_help
        answer(config_name=command.name, args_parser=parser, args=given)
    elif given.info:
        hydra.show_info(given.info, command.name, command.overrides)
    elif given.cfg and given.multirun:
        _show_jobs(command, given)
    elif given.cfg:
        _show(command.sound() if given.resolve else command.compose(), command, given)
    elif given.multirun:
        jobs = command.jobs()
        if jobs == []:
            refuse_empty_sweep(command.compose(mode=RunMode.MULTIRUN), command.hydra.config_loader)
        _refuse(command, jobs or [])
        hydra.multirun(command.name, _train, [*command.overrides, *command.mode("MULTIRUN")])
    else:
        _refuse(command, [[*command.overrides, *command.mode("RUN")]])
        hydra.run(command.name, _train, [*command.overrides, *command.mode("RUN")])


def _train(config: DictConfig) -> None:
    from phis_lab import app  # noqa: PLC0415  heavy: only once the configuration is known to be sound

    app.main(config)


def _refuse(command: Composer, jobs: Sequence[Sequence[str]]) -> None:
    """Refuse a job of which something is wrong, before any of them begins."""
    configs = []
    for job in jobs:
        with _named(job, jobs):
            config = command.sound(job)
            refuse_ineffective(config)
            _refuse_place(config)
            configs.append((job, to_plain(config)))
    from phis_lab.config.check import check  # noqa: PLC0415  torch, for what needs classes to be told

    for job, plain in configs:
        with _named(job, jobs):
            check(plain)


@contextmanager
def _named(job: Sequence[str], jobs: Sequence[Sequence[str]]) -> Iterator[None]:
    """Put in front of a refusal by what its job differs from the others."""
    try:
        yield
    except ValueError as error:
        common = set(jobs[0]).intersection(*jobs)
        own = " ".join(override for override in job if override not in common)
        raise ValueError(f"The job {own}: {error}" if own else str(error)) from error


def _refuse_place(config: DictConfig) -> None:
    """Refuse a folder of outputs in which nothing can be written."""
    wanted = Path(config.hydra.run.dir)
    place = next(place for place in (wanted, *wanted.absolute().parents) if place.exists() or place.is_symlink())
    if not place.is_dir():
        raise ValueError(f"paths.outputs={config.paths.outputs}: {place} is a file, and outputs go into a folder")
    try:
        with TemporaryDirectory(dir=place):
            pass
    except OSError as error:
        raise ValueError(
            f"paths.outputs={config.paths.outputs}: nothing can be written in {place} ({error.strerror}); choose "
            "another folder"
        ) from error


def _show(config: DictConfig, command: Composer, given: Namespace) -> None:
    if given.package and OmegaConf.select(config, given.package) is None:
        raise ValueError(f"--package {given.package}: the configuration has none of that name")
    command.hydra.show_cfg(command.name, command.overrides, given.cfg, given.package, given.resolve)


def _show_jobs(command: Composer, given: Namespace) -> None:
    """A list of a sweep's jobs with their folders, and then the configuration of each."""
    jobs = command.jobs()
    if jobs is None:
        raise ValueError("--cfg with -m: this sweeper chooses its jobs one after the other; leave out -m")
    configs = [command.sound(job) for job in jobs]
    common = set(jobs[0]).intersection(*jobs) if jobs else set()
    print(f"# {len(jobs)} jobs. Each of them has: {' '.join(text for text in jobs[0] if text in common)}")  # noqa: T201
    for number, (job, config) in enumerate(zip(jobs, configs, strict=True)):
        own = " ".join(text for text in job if text not in common)
        print(f"# {number}: {own}  ->  {Path(config.hydra.sweep.dir) / config.hydra.sweep.subdir}")  # noqa: T201
    for number, config in enumerate(configs):
        print(f"---\n# {number}: {' '.join(text for text in jobs[number] if text not in common)}")  # noqa: T201
        print(_yaml(config, command, given), end="")  # noqa: T201


def _yaml(config: DictConfig, command: Composer, given: Namespace) -> str:
    node: Any = command.hydra.get_sanitized_cfg(config, given.cfg)
    if given.package and given.package != "_global_":
        node = OmegaConf.select(node, given.package)
    return OmegaConf.to_yaml(node, resolve=given.resolve) if OmegaConf.is_config(node) else f"{node}\n"
