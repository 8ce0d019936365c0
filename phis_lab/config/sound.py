"""What is wrong with a composed configuration, or without effect, before any class of it is imported. Import-light."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, InterpolationToMissingValueError, OmegaConfBaseException

from phis_lab.config.hints import about_lack, is_inner, nearest, paths
from phis_lab.config.option_files import CONF, teachers_own
from phis_lab.config.readable import too_deep
from phis_lab.groups import GROUPS, NEEDED, facts

UNREAD = {"evaluation.data.seed": "evaluations see the images in their own order"}
"""Options of which a data set of evaluations makes no use."""

READ_WITH = {"teachers.store_dtype": "teachers.store", "augmentation.seed": "augmentation.views"}
"""Options that are read only where another one is set."""


def refuse_unsound(config: DictConfig, folders: Sequence[Path] = ()) -> None:
    """Refuse files that are passed over, options without a value, and choices that are no part.

    Args:
        config: composed, with Hydra's own node.
        folders: of further configurations.

    Raises:
        ValueError: with every problem of the first kind that there is.
    """
    for problems in (
        too_deep(config),
        _passed_over(config, folders),
        _lacking(config, folders),
        _unresolved(config),
        _no_parts(config, folders),
    ):
        if found := list(problems):
            raise ValueError("\n".join(found))


def _choices(config: DictConfig) -> dict[str, Any]:
    chosen = OmegaConf.to_container(config.hydra.runtime.choices)
    assert isinstance(chosen, dict)
    return {str(group): option for group, option in chosen.items()}


def _passed_over(config: DictConfig, folders: Sequence[Path]) -> Iterator[str]:
    """Own files whose name is taken, or whose first line Hydra cannot see."""
    for key, option in _choices(config).items():
        name = f"{key.partition('@')[0]}/{option}.yaml"
        for file in (folder / name for folder in folders if (folder / name).is_file()):
            if (CONF / name).exists() and (CONF / name).read_bytes() != file.read_bytes():
                yield f"{file} is never read: a shipped option has the name {option}. Give yours another name."
            elif file.read_bytes().startswith(b"\xef\xbb\xbf"):
                yield f"{file} begins with a byte order mark, which hides its first line; save it as UTF-8 without BOM."


def _lacking(config: DictConfig, folders: Sequence[Path]) -> Iterator[str]:
    chosen = _choices(config)
    for group in NEEDED:
        node = config._get_node(group, validate_access=False)
        if node is None or node._is_none():
            yield about_lack(group, folders)
        elif not isinstance(node, DictConfig):
            yield f"{group}={chosen.get(group)} holds no options; an option file is a mapping with a _target_."
        elif GROUPS[group].holds != "parts" and chosen.get(group) is None:
            yield f"{group} is a list of options, and a run has one; to compare them, say -m {group}=FIRST,SECOND."
        elif group == "teachers" and not [name for name in node if name not in teachers_own()]:
            yield about_lack(group, folders)


def _unresolved(config: DictConfig) -> Iterator[str]:
    """Options that have no value, all of them, and interpolations that lead nowhere."""
    missing, wrong = [], []
    known = list(paths(config))
    for path, container, key in _leaves(config, ""):
        node = container._get_node(key)
        if node._is_missing():
            missing.append(path)
            continue
        try:
            container[key]
        except InterpolationToMissingValueError:
            continue
        except (OmegaConfBaseException, RecursionError) as error:
            wrong.append(_about_interpolation(path, str(node._value()), error, known))
    if missing:
        files = ", ".join(missing)
        says = " ".join(f"{path}=..." for path in missing)
        yield f"{files}: no value is given, and there is no default; add to the command: {says}"
    yield from wrong
    for path in ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir"):
        try:
            OmegaConf.select(config, path)
        except (OmegaConfBaseException, RecursionError) as error:
            if not missing and not wrong:
                node = OmegaConf.select(config, path.rpartition(".")[0])._get_node(path.rpartition(".")[2])
                yield _about_interpolation(path, str(node._value()), error, known)


def _about_interpolation(path: str, value: str, error: Exception, known: Sequence[str]) -> str:
    text = re.sub(r"^\w+ raised while resolving interpolation: ", "", str(error).strip().partition("\n")[0]).strip(
        "'\""
    )
    if "Recursi" in text or isinstance(error, RecursionError):
        return f"{path}={value}: the interpolation leads back to itself."
    if isinstance(error, InterpolationKeyError):
        name = text.partition("'")[2].rpartition("'")[0]
        return f"{path}={value}: there is no option '{name}' to take the value from.{nearest(name, known)}"
    return f"{path}={value}: {text}"


def _leaves(node: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Dotted name, container and key of every value that is no container."""
    keys = range(len(node)) if isinstance(node, ListConfig) else [key for key in node if path or key != "hydra"]
    for key in keys:
        child = node._get_node(key)
        name = f"{path}[{key}]" if isinstance(node, ListConfig) else f"{path}.{key}" if path else str(key)
        if is_inner(child):
            yield from _leaves(child, name)
        elif child is not None:
            yield name, node, key


def _no_parts(config: DictConfig, folders: Sequence[Path]) -> Iterator[str]:
    """Choices that name no class, so that nothing could be built from them."""
    chosen = _choices(config)
    for group in NEEDED:
        if GROUPS[group].holds == "values":
            continue
        members = {group: config[group]}
        if GROUPS[group].holds == "parts":
            members = {f"{group}.{name}": node for name, node in config[group].items() if name not in teachers_own()}
        for path, node in members.items():
            if not isinstance(node, Mapping | DictConfig) or not isinstance(node.get("_target_"), str):
                file = next((f for folder in folders if (f := folder / group / f"{chosen[group]}.yaml").exists()), None)
                where = f"{file}: " if file is not None and path == group else ""
                yield f"{where}{path} has no _target_; a part names its class, as in `_target_: my_package.MyClass`."


def refuse_ineffective(config: DictConfig) -> None:
    """Refuse a sweep that is not swept, dicts that are meant to empty others, and tasks beside a strategy's processes.

    Args:
        config: composed, with Hydra's own node.

    Raises:
        ValueError: saying what to type.
    """
    sweep = config.hydra.runtime.choices.get("sweep")
    if sweep and config.hydra.get("mode") == RunMode.RUN:
        raise ValueError(f"sweep={sweep} is several runs, and trains them with -m: python run.py -m sweep={sweep} ...")
    for override in _parsed(config.hydra.overrides.task):
        path, value = override.key_or_group, None if override.is_delete() else override.value()
        there = OmegaConf.select(config, path)
        if value == {} and isinstance(there, DictConfig) and len(there):
            words = " ".join(f"'~{path}.{key}'" for key in map(str, there))
            raise ValueError(f"{path}={{}} changes nothing, for Hydra adds to a dict; to empty it, say {words}")
    _refuse_other_tasks(config)


def _refuse_other_tasks(config: DictConfig) -> None:
    """Refuse another number of submitit's tasks than the strategy has: each would wait in the queue to be refused."""
    launcher, strategy = config.hydra.launcher, config.strategy
    if config.hydra.get("mode") == RunMode.RUN or "tasks_per_node" not in launcher:
        return
    for option, of_strategy in (("tasks_per_node", "devices"), ("nodes", "nodes")):
        tasks, processes = launcher[option], strategy.get(of_strategy, 1)
        if tasks != processes:
            raise ValueError(
                f"hydra.launcher.{option}={tasks} starts other processes than the strategy has; choose "
                f"hydra.launcher.{option}={processes}, or another strategy.{of_strategy}"
            )


def refuse_empty_sweep(config: DictConfig, loader: Any) -> None:
    """Name the choices of a sweep without jobs.

    Args:
        config: of the sweep, with Hydra's own node.
        loader: Hydra's, which knows the options that a glob can match.

    Raises:
        ValueError: in any case.
    """
    swept = [f"{name}={value}" for name, value in (config.hydra.sweeper.get("params") or {}).items()]
    parsed = _parsed([*swept, *config.hydra.overrides.task], loader)
    empty = [
        str(override.input_line)
        for override in parsed
        if override.is_sweep_override() and not list(override.sweep_string_iterator())
    ]
    raise ValueError(f"The sweep has no run: {', '.join(empty) or 'its choices'} matches or lists nothing")


def remarks(config: DictConfig) -> Iterator[str]:
    """Yield a sentence for each override that has no effect beside the other options."""
    overrides = _parsed(config.hydra.overrides.task)
    last: Mapping[str, Override] = {_name(override): override for override in overrides}
    for name in last:
        given = [override.input_line for override in overrides if _name(override) == name]
        if len(given) > 1:
            yield f"{name} is given {len(given)} times; the last one counts: {given[-1]}"
    text = OmegaConf.to_yaml(OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"]))
    for path in (override.key_or_group for override in last.values() if not override.is_delete()):
        node, _, rest = path.partition(".")
        if facts(node).interpolated and rest and not any(f"${{{name}}}" in text for name in (node, path)):
            yield f"{path} has no effect: nothing that was chosen reads it"
        if path in UNREAD:
            yield f"{path} has no effect: {UNREAD[path]}"
        partner = READ_WITH.get(path)
        if partner and OmegaConf.select(config, partner) is None:
            yield f"{path} has no effect without {partner}"


def _name(override: Override) -> str:
    """What an override concerns; one that takes away and one that sets are two."""
    return override.get_key_element().lstrip("+")


def _parsed(overrides: Sequence[str], loader: Any = None) -> list[Override]:
    parsed: list[Override] = OverridesParser.create(config_loader=loader).parse_overrides(list(overrides))
    return parsed
