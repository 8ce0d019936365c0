"""Resolvers that the configuration files use. Import-light: they run for `--cfg job` and for tab completion."""

import hashlib
import json
from typing import Any

from omegaconf import DictConfig, OmegaConf

NAMING_GROUPS = ("normalizer", "loss", "balancer", "teachers", "data")
NOT_CONTENT = ("hydra", "paths", "logger", "seed")  # where, for whom, and how often: not what is computed


def register_resolvers() -> None:
    """Make `${study:}` and `${run_name:}` known to OmegaConf. Harmless when called again."""
    OmegaConf.register_new_resolver("study", study, replace=True)
    OmegaConf.register_new_resolver("run_name", run_name, replace=True)


def study(*, _root_: DictConfig) -> str:
    """Name of the sweep, or else of the experiment, that was chosen; `runs` when none was."""
    choices = _root_.hydra.runtime.choices
    chosen = choices.get("sweep") or choices.get("experiment") or "runs"
    return str(chosen).replace("/", "_")


def run_name(*, _root_: DictConfig) -> str:
    """The choices in words and the content in eight hexadecimal digits: the same run has the same name."""
    choices = _root_.hydra.runtime.choices
    words = [str(choices[group]).replace("/", "_") for group in NAMING_GROUPS if choices.get(group)]
    return "-".join([*words, content_hash(_root_)[:8]])


def content_hash(config: DictConfig) -> str:
    """SHA-256 of what determines a run apart from its seed.

    Equal for two spellings of the same configuration; folders, loggers and the seed do not enter.
    """
    content = OmegaConf.masked_copy(config, [str(key) for key in config if key not in NOT_CONTENT])
    OmegaConf.set_struct(content, False)
    content.seed = 0
    content.paths = {}
    resolved = OmegaConf.to_container(content, resolve=True, throw_on_missing=False)
    return hashlib.sha256(json.dumps(resolved, sort_keys=True, default=str).encode()).hexdigest()


def to_plain(config: DictConfig) -> dict[str, Any]:
    """The configuration as resolved plain dicts and lists, without Hydra's own node."""
    keys = [str(key) for key in config if key != "hydra"]
    plain = OmegaConf.to_container(OmegaConf.masked_copy(config, keys), resolve=True, throw_on_missing=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}
