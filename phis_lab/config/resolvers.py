"""Resolvers that the configuration files use. Import-light: they run for `--cfg job` and for tab completion."""

import hashlib
import json
from typing import Any

from omegaconf import DictConfig, OmegaConf

NAMING_GROUPS = ("normalizer", "loss", "balancer", "teachers", "data")
NOT_CONTENT = ("hydra", "paths", "logger", "seed")
NOT_CONTENT_EITHER = (  # where, for whom, how often and how fast: not what is computed
    "data.workers",
    "estimation.save",
    "trainer.accelerator",
    "trainer.checkpoint_every",
    "trainer.log_every",
    "trainer.memory_gb",
)


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

    Equal for two spellings of the same configuration; seed, places, loggers and what only changes speed do not enter.
    """
    unseeded = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    OmegaConf.set_struct(unseeded, False)
    unseeded.seed = 0
    resolved = OmegaConf.to_container(unseeded, resolve=True, throw_on_missing=False)
    assert isinstance(resolved, dict)
    for path in (*NOT_CONTENT, *NOT_CONTENT_EITHER):
        section, _, key = path.rpartition(".")
        (resolved.get(section, {}) if section else resolved).pop(key, None)
    return hashlib.sha256(json.dumps(resolved, sort_keys=True, default=str).encode()).hexdigest()


def to_plain(config: DictConfig) -> dict[str, Any]:
    """The configuration as resolved plain dicts and lists, without Hydra's own node."""
    keys = [str(key) for key in config if key != "hydra"]
    plain = OmegaConf.to_container(OmegaConf.masked_copy(config, keys), resolve=True, throw_on_missing=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}
