"""What Hydra takes without a word though it has no effect: it is refused, or told. Import-light."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from phis_lab.groups import facts

UNREAD = {"evaluation.data.seed": "evaluations see the images in their own order"}
"""Options of which a data set of evaluations makes no use."""

READ_WITH = {"teachers.store_dtype": "teachers.store", "augmentation.seed": "augmentation.views"}
"""Options that are read only where another one is set."""


def refuse_ineffective(config: DictConfig) -> None:
    """Refuse a sweep that is not swept, and dicts that are meant to empty others.

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
