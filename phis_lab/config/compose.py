"""A configuration from a command line, whichever command it is of. Import-light."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import ceil, isfinite, prod
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, RangeSweep
from hydra.core.singleton import Singleton
from hydra.types import RunMode
from hydra.version import setbase
from omegaconf import DictConfig

from phis_lab.config.loader import Loader
from phis_lab.config.option_files import CONF, expand_nested_globs, folder_of, is_choice, placed
from phis_lab.config.readable import refuse_unreadable_overrides
from phis_lab.config.refused import refused_by_hydra
from phis_lab.config.resolvers import register_resolvers, to_plain
from phis_lab.config.sound import refuse_unsound

NAME = "config"
MOST_JOBS = 100_000
"""Of a sweep that names its jobs, which are all listed before the first begins."""
SEARCHPATH = re.compile(r"\+*hydra\.searchpath=")


class Composer:
    """Hydra over the shipped configuration and the folders that a command line adds.

    Args:
        hydra: the engine itself, which runs and sweeps.
        overrides: as typed, but for the search path; globs over folders are expanded.
        folders: of further configurations.
        name: of the primary file.
    """

    def __init__(self, hydra: Hydra, overrides: Sequence[str], folders: Sequence[Path], name: str) -> None:
        self.hydra, self.overrides, self.folders, self.name = hydra, list(overrides), list(folders), name

    def compose(self, overrides: Sequence[str] | None = None, mode: RunMode = RunMode.RUN) -> DictConfig:
        """The configuration, with Hydra's own node.

        Args:
            overrides: others than those of the command line.
            mode: whether one run is composed, or what the jobs of a sweep have in common.

        Raises:
            ValueError: an override or a file is refused; the message says what was perhaps meant.
        """
        given = list(self.overrides if overrides is None else overrides)
        with refused_by_hydra(given, self.folders, self._chosen):
            return self.hydra.compose_config(self.name, given, run_mode=mode, with_log_configuration=False)

    def _chosen(self, overrides: Sequence[str]) -> DictConfig:
        """What the choices alone compose, without the values that are set; for hints."""
        choices = [override for override in overrides if is_choice(override, self.folders)]
        return self.hydra.compose_config(self.name, choices, run_mode=RunMode.RUN, with_log_configuration=False)

    def sound(self, overrides: Sequence[str] | None = None) -> DictConfig:
        """The configuration of one run, in which every option has a value and every part is there.

        Raises:
            ValueError: that, or as `compose` does.
        """
        config, known = self.compose(overrides), HydraConfig.instance()
        before, known.cfg = known.cfg, config  # type: ignore[assignment]  # for interpolations of ${hydra:...}
        try:
            refuse_unsound(config, self.folders)
        finally:
            known.cfg = before
        return config

    def mode(self, wanted: str) -> list[str]:
        """The override that tells Hydra to run or to sweep, unless one was typed."""
        return [] if any(text.startswith("hydra.mode=") for text in self.overrides) else [f"hydra.mode={wanted}"]

    def jobs(self) -> list[list[str]] | None:
        """The overrides of each job of a sweep; None where a sweeper chooses them one after the other.

        Raises:
            ValueError: as `compose` does.
        """
        shared = self.compose(mode=RunMode.MULTIRUN)
        if shared.hydra.sweeper._target_ != f"{BasicSweeper.__module__}.{BasicSweeper.__name__}":
            return None
        swept = [f"{name}={value}" for name, value in (shared.hydra.sweeper.params or {}).items()]
        typed = [*swept, *map(str, shared.hydra.overrides.task)]
        hidden = [str(override) for override in shared.hydra.overrides.hydra]
        with refused_by_hydra(typed, self.folders, self._chosen):
            parsed = OverridesParser.create(config_loader=self.hydra.config_loader).parse_overrides(typed)
            _refuse_too_many(parsed)
            (jobs,) = BasicSweeper.split_arguments(parsed, None)
        return [[*hidden, *job] for job in jobs]


@contextmanager
def composer(
    overrides: Sequence[str], config_dir: str | None = None, name: str | None = None, keep_usual: bool = False
) -> Iterator[Composer]:
    """Hydra for one command line; what was initialised before is again afterwards.

    Args:
        overrides: as typed.
        config_dir: a folder of further configurations, as `hydra.searchpath` has them.
        name: of the primary file; None for the shipped one.
        keep_usual: whether options stay that no file sets and that are typed with their usual value.

    Raises:
        ValueError: an override cannot be read, or a folder is not there.
    """
    refuse_unreadable_overrides(overrides)
    register_resolvers()
    setbase("1.3")
    given = [override for override in overrides if not SEARCHPATH.match(override)]
    folders = [] if config_dir is None else [folder_of(config_dir)]
    folders += [folder for override in overrides if SEARCHPATH.match(override) for folder in _folders(override)]
    path = create_config_search_path(str(CONF))
    for folder in folders:
        path.prepend(provider="own", path=f"file://{folder}", anchor=SearchPathQuery(provider="schema"))
    before = Singleton._instances.pop(GlobalHydra, None)
    try:
        hydra = Hydra("run", Loader(path, keep_usual))
        GlobalHydra.instance().initialize(hydra)
        yield Composer(hydra, expand_nested_globs(placed(given), folders), folders, name or NAME)
    finally:
        Singleton._instances.pop(GlobalHydra, None)
        if before is not None:
            Singleton._instances[GlobalHydra] = before


def composed(
    overrides: Sequence[str], config_dir: str | Path | None = None, keep_usual: bool = False
) -> dict[str, Any]:
    """The resolved configuration as plain dicts and lists; its options are not checked yet.

    Args:
        overrides: as for `run.py`.
        config_dir: a folder of further configurations.
        keep_usual: whether options stay that no file sets and that are typed with their usual value.

    Raises:
        ValueError: an override or a file is refused, or an option that is needed has no value.
    """
    with composer(overrides, None if config_dir is None else str(config_dir), keep_usual=keep_usual) as of_command:
        return to_plain(of_command.sound())


def _refuse_too_many(overrides: Sequence[Override]) -> None:
    """Raise ValueError if a sweep has more jobs than can be listed; none is listed to find out."""
    swept = {str(override.input_line): _choices(override.value()) for override in overrides}
    if prod(swept.values()) > MOST_JOBS:
        widest = " ".join(text for text, count in swept.items() if count > 1)
        raise ValueError(f"{widest}: the sweep has more than {MOST_JOBS:,} jobs; name fewer")


def _choices(value: Any) -> int:
    if isinstance(value, RangeSweep) and value.start is not None and value.stop is not None and value.step:
        steps = (value.stop - value.start) / value.step
        return ceil(steps) if isfinite(steps) and steps > 1 else 1 if isfinite(steps) else MOST_JOBS + 1
    return max(1, len(value.list)) if isinstance(value, ChoiceSweep) else 1


def _folders(override: str) -> list[Path]:
    with refused_by_hydra([override]):
        places = OverridesParser.create().parse_override(override).value()
    if not isinstance(places, list) or not all(isinstance(place, str) for place in places):
        raise ValueError(f"{override}: a list of folders is wanted, as in hydra.searchpath=[DIR,pkg://PACKAGE.conf]")
    return [folder_of(place) for place in places]
