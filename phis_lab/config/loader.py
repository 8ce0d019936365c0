"""Hydra's loader as this program uses it: files are read once, and an option that a constructor has needs no `+`.

Import-light: a class is imported only to ask whether it has an option that no file sets.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy, deepcopy
from pathlib import Path
from typing import Any

from hydra._internal import defaults_list as composing
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository, ConfigRepository, IConfigRepository
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.default_element import InputDefault, ResultDefault
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from phis_lab.config.option_files import CONF
from phis_lab.config.readable import refuse_unreadable
from phis_lab.groups import PLACES

_choices = composing._create_interpolation_map


def _choices_if_asked(
    overrides: composing.Overrides, defaults_list: list[InputDefault], self_added: bool
) -> DictConfig:
    """What interpolations of a defaults list can ask for; nothing where it has none.

    Hydra gathers it for every file, which takes a third of a composition.
    """
    asked = any(isinstance(each, InputDefault) and each.is_interpolation() for each in defaults_list)
    return _choices(overrides, defaults_list, self_added) if asked else DictConfig({})


composing._create_interpolation_map = _choices_if_asked


class RememberingRepository(ConfigRepository):
    """A repository whose copies read each option file once between them.

    Hydra copies its repository for every configuration that it composes and for every group that it lists, and reads
    and parses all files anew. A sweep composes one configuration per job. Files that change in the meantime are not
    noticed.
    """

    def __init__(self, repository: ConfigRepository) -> None:
        self.sources = list(repository.sources)
        self.read: dict[tuple[tuple[str, str], ...], dict[str, ConfigResult | None]] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> "RememberingRepository":
        other = copy(self)
        other.sources = list(self.sources)
        return other

    def load_config(self, config_path: str) -> ConfigResult | None:
        """Returns the file as it was read the first time, for the caller to change."""
        files = self.read.setdefault(tuple((source.provider, source.path) for source in self.sources), {})
        if config_path not in files:
            source = self._find_object_source(config_path, ObjectType.CONFIG)
            own = source is not None and source.scheme() == "file" and Path(source.path) != CONF
            place = Path(source.path) / source._normalize_file_name(config_path) if source is not None and own else None
            with _about(place):
                files[config_path] = super().load_config(config_path)
        return deepcopy(files[config_path])


@contextmanager
def _about(file: Path | None) -> Iterator[None]:
    """Name the own option file that is read, where what is wrong with it is told without."""
    if file is None:
        yield
        return
    refuse_unreadable(file)
    try:
        yield
    except (YAMLError, UnicodeDecodeError, RecursionError):  # told with the place in the file
        raise
    except (HydraException, OmegaConfBaseException, ValueError, OSError) as error:
        text = str(error).strip().partition("\n")[0]
        raise ValueError(text if str(file) in text else f"{file}: {text}") from error


class Loader(ConfigLoaderImpl):
    """Composes configurations.

    An override of an option that no file sets adds it where the class of its node has such an argument, as if a `+`
    had been typed. A value that the argument has by default is left out again, so that the run is the same as without.

    Args:
        search_path: of the folders that hold option files.
        keep_usual: whether such a value stays, for who changes the configuration of a run that has another.

    Attributes:
        completes: whether it is asked for what a shell offers.
    """

    def __init__(self, search_path: ConfigSearchPath, keep_usual: bool = False) -> None:
        super().__init__(search_path)
        self.repository = RememberingRepository(self.repository)
        self._keep_usual = keep_usual
        self.completes = False
        self._typed: Sequence[Override] = ()
        self._usual: Mapping[str, Any] = {}

    def get_group_options(
        self,
        group_name: str,
        results_filter: ObjectType | None = ObjectType.CONFIG,
        config_name: str | None = None,
        overrides: list[str] | None = None,
    ) -> list[str]:
        """The options of a group; while a shell completes also those in its folders, as one chooses them."""
        found = super().get_group_options(group_name, results_filter, config_name, overrides)
        if not self.completes or not group_name or results_filter is None:
            return found
        if results_filter == ObjectType.GROUP:
            return []
        inside = super().get_group_options(group_name, ObjectType.GROUP, config_name, overrides)
        below = {name: self.get_group_options(f"{group_name}/{name}", results_filter, config_name) for name in inside}
        return [*found, *(f"{name}/{option}" for name, options in below.items() for option in options)]

    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        """The configuration of a command line, with Hydra's own node."""
        config = super().load_configuration(config_name, overrides, run_mode, from_shell, validate_sweep_overrides)
        for path, usual in self._usual.items():
            parent, _, key = path.rpartition(".")
            node = OmegaConf.select(config, parent)
            if isinstance(node, DictConfig) and key in node and _same(_value(node, key), usual):
                with open_dict(config):
                    del node[key]
        return config

    def _parse_overrides_and_create_caching_repo(
        self, config_name: str | None, overrides: list[str]
    ) -> tuple[list[Override], CachingConfigRepository]:
        parsed, repository = super()._parse_overrides_and_create_caching_repo(config_name, overrides)
        self._typed = parsed
        return parsed, repository

    def _compose_config_from_defaults_list(self, defaults: list[ResultDefault], repo: IConfigRepository) -> DictConfig:
        config = super()._compose_config_from_defaults_list(defaults, repo)
        values = [override for override in self._typed if _is_value(override, repo)]
        lacking = any(_lacking(config, override.key_or_group) for override in values)
        usual = dict(_add_lacking(values, deepcopy(config))) if lacking else {}
        self._usual = {} if self._keep_usual else usual
        return config


def _value(node: DictConfig, key: str) -> Any:
    """What an option is set to, unresolved."""
    held = node._get_node(key)
    return OmegaConf.to_container(held) if OmegaConf.is_config(held) else getattr(held, "_value", lambda: None)()


def _is_value(override: Override, repository: IConfigRepository) -> bool:
    """Whether an override sets a value, where others choose an option of a group or list what is swept over."""
    if override.is_sweep_override() or override.is_hydra_override() or override.package is not None:
        return False
    return isinstance(override.value(), dict) or not repository.group_exists(override.key_or_group)


def _add_lacking(overrides: Sequence[Override], config: DictConfig) -> Iterator[tuple[str, Any]]:
    """Make overrides of options that are not there add them, where the class of their node has such an argument.

    Args:
        overrides: of values, in their order; they are changed.
        config: as the files compose it; it is changed.

    Yields:
        The dotted name of each such option, and what it is by default.
    """
    OmegaConf.set_struct(config, True)
    for override in overrides:
        path = override.key_or_group
        parent = None if override.is_delete() else _lacking(config, path)
        options = {} if parent is None else options_at(config, parent)
        word, _, rest = path[len(parent or "") + 1 :].partition(".")
        chosen = f"{parent}.{word}" in PLACES and not isinstance(override.value(), dict)  # by its name, from a group
        if word in options and not chosen:
            if override.type == OverrideType.CHANGE:
                override.type, override.input_line = OverrideType.ADD, f"+{override.input_line}"
            if not rest:
                yield path, options[word]
        try:
            ConfigLoaderImpl._apply_overrides_to_config([override], config)
        except (HydraException, OmegaConfBaseException):  # is refused where it is applied in earnest
            return


def options_at(config: DictConfig, path: str) -> Mapping[str, Any]:
    """The options, with their defaults, of the class that reads a node; none where no class does.

    Args:
        config: composed.
        path: dotted name of the node.
    """
    node = OmegaConf.select(config, path, throw_on_resolution_failure=False)
    if not isinstance(node, DictConfig) or not ("_target_" in node or path.partition(".")[0] == "stages"):
        return {}
    from phis_lab.config.nodes import options_of  # noqa: PLC0415  torch, and whatever the classes import

    return options_of(config, path)


def _lacking(config: DictConfig, path: str) -> str | None:
    """The dotted name of the last node on the way to an option that is not there; None where it is, or at the top."""
    node: Any = config
    *parents, _ = words = path.split(".")
    for depth, word in enumerate(words):
        if not isinstance(node, DictConfig) or node._is_none() or node._is_missing() or node._is_interpolation():
            return None
        if word not in node.keys():  # noqa: SIM118  a key whose value is missing is there
            return ".".join(parents[:depth]) or None
        node = node._get_node(word)
    return None


def _same(value: Any, usual: Any) -> bool:
    """Whether a value is what an argument has by default."""
    if isinstance(usual, tuple):
        usual = list(usual)
    exact = any(isinstance(one, bool | str) for one in (value, usual))
    return value == usual and (type(value) is type(usual) or not exact)
