"""What a refused name was perhaps meant to be, from all that there is to choose. Import-light."""

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from inspect import Parameter
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig

from phis_lab.config.loader import options_at
from phis_lab.config.option_files import CONF, groups, options
from phis_lab.config.readable import text_of

_OF_TASK = ("has no such task", "task", "task=NAME or task=[NAME,...]", "/task")
OF_EVALUATION = {
    "data": ("has no data set of its own", "data", "evaluation.data=...", "/data@evaluation.data"),
    "task": _OF_TASK,
    "tasks": _OF_TASK,
}
"""Nodes of the evaluation that are choices of another group: what is lacking, the group, and how one chooses there."""

Chosen = Callable[[], DictConfig]
"""Composes what the choices of a command line alone give; raises where they are wrong."""


def nearest(word: str, known: Sequence[str]) -> str:
    """` Did you mean '...'?`, or nothing where no name is near."""
    near = difflib.get_close_matches(word, known, n=1)
    return f" Did you mean '{near[0]}'?" if near else ""


def about_option(group: str, option: str, folders: Sequence[Path], asked: str = "") -> str:
    """What to choose where a group has no such option.

    Args:
        group: of configurations.
        option: its name as given.
        folders: of further configurations.
        asked: the file that asks for it, where that is not the command line.
    """
    there = options(group, (CONF, *folders))
    by_file = f" ({asked} asks for it)" if asked else ""
    inside = [name for name in there if name.startswith(f"{option}/")]
    if inside:
        return f"{group}={option} is a folder of options{by_file}; choose one of {', '.join(inside)}."
    elsewhere = [
        f"{other}={option}" for other in groups((CONF, *folders)) if option in options(other, (CONF, *folders))
    ]
    guess = (
        f" Did you mean {' or '.join(elsewhere)}?" if elsewhere else nearest(option, there) or _by_last(option, there)
    )
    misnamed = [file for folder in folders for file in (folder / group).glob(f"{option}.yml")]
    if misnamed:
        guess = f" Rename {misnamed[0]}: option files end in .yaml."
    listed = f"Options of {group}: {', '.join(there)}."
    if group == "evaluation":
        listed += f" What it measures besides: task=[...] of {', '.join(options('task', (CONF, *folders)))}."
    return f"{group}={option}: there is no such option of {group}{by_file}.{guess}\n{listed}"


def about_lack(group: str, folders: Sequence[Path]) -> str:
    """What to choose where a needed group is null or taken away."""
    none = "; logger=none logs nowhere" if group == "logger" else ""
    there = ", ".join(options(group, (CONF, *folders)))
    return f"{group} is needed, and none is chosen; choose {group}=... of {there}{none}."


def _by_last(option: str, there: Sequence[str]) -> str:
    """A guess among options in folders, by their last name."""
    last = {name.rpartition("/")[2]: name for name in reversed(there)}
    near = difflib.get_close_matches(option.rpartition("/")[2], list(last), n=1)
    return f" Did you mean '{last[near[0]]}'?" if near else ""


def about_key(path: str, value: str, folders: Sequence[Path], chosen: Chosen) -> str:
    """What to set where the configuration has no such option.

    Args:
        path: dotted, as given.
        value: as given.
        folders: of further configurations.
        chosen: gives the composed configuration.
    """
    try:
        config = chosen()
    except Exception:
        return f"There is no option '{path}'. See `python run.py --cfg job`."
    node, known, parent = _deepest(config, path)
    if parent == path:
        return f"{path} is null already, and cannot be taken away; leave out ~{path}."
    word = path[len(parent) + 1 if parent else 0 :].split(".", maxsplit=1)[0]
    if not isinstance(node, DictConfig) or _is_of_another_group(parent, word, value):
        return f"There is no option '{path}': {_about_lacking_node(path, parent, folders)}."
    if not parent:
        return _about_root(path, word, config, folders)
    unset = options_at(config, parent)
    if word in unset:
        return f"{parent}.{word} is not set, and cannot be taken away; leave out ~{path}."
    known += [name for name, usual in unset.items() if usual is not Parameter.empty and name not in known]
    guess = nearest(word, known)
    guess = guess or _of_others(parent, word, folders) or _elsewhere(path, config, parent.partition(".")[0])
    listed = f"Options of {parent}: {', '.join(known)}." if known else f"{parent} is empty."
    return f"There is no option '{path}'.{guess or _elsewhere(path, config)}\n{listed}"


def _is_of_another_group(parent: str, word: str, value: str) -> bool:
    """Whether an option is of what `data` and `task` place in the evaluation, and was not chosen."""
    return parent == "evaluation.tasks" or (parent == "evaluation" and word in OF_EVALUATION and value[:1] != "{")


def _about_lacking_node(path: str, parent: str, folders: Sequence[Path]) -> str:
    """What to choose where the node of an option is not there."""
    if parent in ("evaluation", "evaluation.tasks"):
        lacks, group, choice, place = OF_EVALUATION[path.split(".")[1]]
        there = ", ".join(options(group, (CONF, *folders)))
        return f"the evaluation {lacks}; choose {choice} of {there} (in the defaults of a file: override {place}: NAME)"
    if parent in groups((CONF, *folders)):
        return f"{parent} is null; choose {parent}=... of {', '.join(options(parent, (CONF, *folders)))}"
    return f"{parent} is a value, and holds no options"


def _deepest(config: DictConfig, path: str) -> tuple[Any, list[str], str]:
    """The node to which a path leads as far as it can be followed, its options and its dotted name."""
    node: Any = config
    walked: list[str] = []
    for word in path.split("."):
        if not isinstance(node, DictConfig) or word not in node:
            break
        node = node._get_node(word)
        walked.append(word)
    known = [str(key) for key in node if not str(key).startswith("_")] if isinstance(node, DictConfig) else []
    return node, known, ".".join(walked)


def _about_root(path: str, word: str, config: DictConfig, folders: Sequence[Path]) -> str:
    named = groups((CONF, *folders))
    loose = [str(key) for key in config if key not in named and key != "hydra"]
    guess = nearest(word, [*named, *loose]) or _elsewhere(path, config)
    return (
        f"There is no option '{word}'.{guess}\nGroups: {', '.join(named)}.\nOptions: {', '.join(loose)}.\n"
        "See `python run.py --help` and `python run.py --cfg job`."
    )


def _of_others(group: str, word: str, folders: Sequence[Path]) -> str:
    """A guess among the options of a group that were not chosen, and among what they hold."""
    there = options(group, (CONF, *folders)) if group in groups((CONF, *folders)) else []
    if word in there:
        return f" Did you mean {group}={word}?"
    key = re.compile(rf"^{re.escape(word)}:", re.MULTILINE)
    texts = {name: (folder / group / f"{name}.yaml") for folder in (CONF, *folders) for name in there}
    having = [name for name, file in texts.items() if file.exists() and key.search(text_of(file))]
    return f" It is an option of {' and of '.join(f'{group}={name}' for name in having)}." if having else ""


def _elsewhere(path: str, config: DictConfig, root: str = "") -> str:
    """A guess among all options, or those below a root, by their last name."""
    last = path.rpartition(".")[2]
    found = [place for place in paths(config) if place.rpartition(".")[2] == last and place.startswith(root)]
    return f" Did you mean '{found[0]}'?" if found else ""


def paths(config: DictConfig) -> Iterator[str]:
    """The dotted names of all options, the shallow ones first."""
    level: list[tuple[str, Any]] = [(str(key), config._get_node(key)) for key in config if key != "hydra"]
    while level:
        yield from (path for path, _ in level)
        level = [
            (f"{path}.{key!s}", node._get_node(key))
            for path, node in level
            if is_inner(node) and isinstance(node, DictConfig)
            for key in node
        ]


def is_inner(node: object) -> bool:
    """Whether a node holds options that can be looked at."""
    if not isinstance(node, DictConfig | ListConfig):
        return False
    return not (node._is_none() or node._is_missing() or node._is_interpolation())
