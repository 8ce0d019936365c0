"""What there is to choose and what it means: read from option files, and from the constructors that they name."""

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from phis_lab.config.hints import about_option, is_inner, nearest
from phis_lab.config.option_files import CONF, groups, options, placed
from phis_lab.config.signatures import Argument, arguments_of, paper, plain, summary
from phis_lab.groups import ABOUT, GROUPS, NEEDED
from phis_lab.refusals import one_line

_PACKAGE = re.compile(r"#\s*@package\s+(?P<place>\S+)")
_SENTENCE = re.compile(r"(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\bal\.)(?<=[.!?])\s+(?=[\"'(]?[A-Z0-9])")
_SAYING = re.compile(r"(?P<indent>\s*)(?P<key>[\w.@/]+):(?P<value>.*?)(?:\s#\s+(?P<text>.*))?$")


@dataclass(frozen=True)
class OptionLine:
    """An option of a group, or an option of no group, with a sentence."""

    name: str
    about: str
    value: Any = None


@dataclass(frozen=True)
class GroupLine:
    """A group: what it is for, its usual option and all of them."""

    name: str
    about: str
    usual: str | None
    options: list[str]


@dataclass(frozen=True)
class Part:
    """What an option builds at one place of the configuration.

    Args:
        path: dotted name of its node.
        target: dotted name of the class.
        file: where the class is written, with the line; empty where that is not known.
        about: the first paragraph of its docstring.
        paper: the source that the docstring names; empty where it names none.
        arguments: all that can be set.
    """

    path: str
    target: str
    file: str
    about: str
    paper: str
    arguments: list[Argument]


@dataclass(frozen=True)
class Described:
    """One option of a group.

    Args:
        group: name of the group; empty for an option of no group.
        option: its name.
        about: header of its file.
        file: the option file.
        chooses: options of other groups that it brings, by the place that they go to.
        parts: what it builds.
        values: what else it sets, by dotted name.
    """

    group: str
    option: str
    about: str
    file: str
    chooses: dict[str, str] = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)
    values: list[OptionLine] = field(default_factory=list)


def overview(folders: Sequence[Path] = ()) -> tuple[list[GroupLine], list[OptionLine]]:
    """All groups in the order of their table, own ones last; and the options that are in no group."""
    there = groups((CONF, *folders))
    ordered = [name for name in GROUPS if name in there] + [name for name in there if name not in GROUPS]
    lines = [
        GroupLine(
            name,
            ABOUT.get(name, "A group of your own."),
            GROUPS[name].usual if name in NEEDED else None,
            options(name, (CONF, *folders)),
        )
        for name in ordered
    ]
    return lines, _loose(there)


def of_group(group: str, folders: Sequence[Path] = ()) -> list[OptionLine]:
    """The options of a group, each with the first sentence of its file.

    Raises:
        ValueError: there is no such group; the message says what was perhaps meant.
    """
    _refuse_unknown(group, folders)
    return [
        OptionLine(name, first_sentence(header(_file(group, name, folders))))
        for name in options(group, (CONF, *folders))
    ]


def of_option(group: str, option: str, folders: Sequence[Path] = ()) -> Described:
    """Everything about one option.

    Raises:
        ValueError: there is no such group or option, or its file or its class cannot be read.
    """
    _refuse_unknown(group, folders)
    if option not in options(group, (CONF, *folders)):
        raise ValueError(about_option(group, option, folders))
    file = _file(group, option, folders)
    place = _place(file, group, option)
    node, chooses, sayings = _read(file, group, place, folders)
    described = Described(group, option, header(file), str(file), chooses)
    words = tuple(place.split(".")) if place else ()
    whole: Any = node
    for word in reversed(words):
        whole = OmegaConf.create({word: whole})
    _Walk(whole, described, sayings).node(node, words)
    return described


def loose_option(name: str) -> OptionLine | None:
    """An option that is in no group, such as the seed; None where there is none of that name."""
    return next((line for line in _loose(groups((CONF,))) if line.name == name), None)


def header(file: Path) -> str:
    """What the comment at the top of an option file says."""
    lines = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.strip() and not line.startswith("#"):
            break
        if not _PACKAGE.match(line):
            lines.append(line.lstrip("# ").rstrip())
    return "\n".join(lines).strip()


def first_sentence(text: str) -> str:
    """A text up to the end of its first sentence."""
    return _SENTENCE.split(" ".join(text.split()), maxsplit=1)[0]


def _refuse_unknown(group: str, folders: Sequence[Path]) -> None:
    there = groups((CONF, *folders))
    if group in there:
        return
    having = [f"{name}={group}" for name in there if group in options(name, (CONF, *folders))]
    guess = f" Did you mean {' or '.join(having)}?" if having else nearest(group, there)
    raise ValueError(f"There is no group of options '{group}'.{guess}\nGroups: {', '.join(there)}.")


def _file(group: str, option: str, folders: Sequence[Path]) -> Path:
    """An option's file; of two of the same name the one that is composed, which is that of a folder given first."""
    return next(file for at in (*folders, CONF) if (file := at / group / f"{option}.yaml").is_file())


def _loose(there: Sequence[str]) -> list[OptionLine]:
    file = CONF / "config.yaml"
    sayings, read = _sayings(file), yaml.safe_load(file.read_text(encoding="utf-8"))
    left_out = {*there, "defaults", "hydra"}
    return [OptionLine(key, sayings.get(key, ""), value) for key, value in read.items() if key not in left_out]


def _place(file: Path, group: str, option: str) -> str:
    """Dotted name of the node that a file's options go to; empty for the top."""
    found = _PACKAGE.search(file.read_text(encoding="utf-8", errors="replace"))
    if found:
        return "" if found["place"] == "_global_" else found["place"].replace("_global_.", "")
    facts = GROUPS.get(group)
    if facts is not None and facts.holds == "member":
        return f"{facts.place}.{option.rpartition('/')[2]}"
    return group.replace("/", ".")


def _read(
    file: Path, group: str, place: str, folders: Sequence[Path]
) -> tuple[DictConfig, dict[str, str], dict[str, str]]:
    """The node of a file over those of the same group that it begins from, what it chooses elsewhere, and comments."""
    try:
        own = OmegaConf.load(file)
    except (yaml.YAMLError, ValueError, OSError) as error:
        raise ValueError(f"{file} cannot be read: {one_line(error)}") from error
    if not isinstance(own, DictConfig):
        raise ValueError(f"{file} holds no options: a list of `name: value` is wanted")
    defaults = own.pop("defaults", None) or []
    node: Any = OmegaConf.create({})
    chooses: dict[str, str] = {}
    sayings: dict[str, str] = {}
    for entry in defaults:
        if isinstance(entry, str):
            if entry != "_self_" and entry.lstrip("/") in options(group, (CONF, *folders)):
                below, more, said = _read(_file(group, entry, folders), group, place, folders)
                node, chooses, sayings = OmegaConf.merge(node, below), chooses | more, sayings | said
        else:
            chooses |= {_choice(str(key), place): str(value) for key, value in entry.items()}
    return OmegaConf.merge(node, own), chooses, sayings | _sayings(file)  # type: ignore[return-value]  # of mappings


def _choice(key: str, place: str) -> str:
    """An entry of a defaults list as one types it: `override /loss` is `loss`, `/loss@part` is `loss@loss.part`."""
    group, _, package = re.sub(r"^(override|optional)\s+", "", key).lstrip("/").partition("@")
    if package.startswith("_global_"):
        package = package.removeprefix("_global_").lstrip(".")
    elif package and not key.startswith("override"):
        package = f"{place}.{package.removeprefix('_here_.')}" if place else package
    return group if package in ("", group) else f"{group}@{package}"


def _sayings(file: Path) -> dict[str, str]:
    """What the comments at the ends of lines say, by the dotted names of the keys in these lines."""
    found: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        match = _SAYING.match(line)
        if match is None:
            continue
        depth = len(match["indent"])
        path = [*((at, key) for at, key in path if at < depth), (depth, match["key"])]
        if match["text"] and match["value"].count('"') % 2 == match["value"].count("'") % 2 == 0:
            found[".".join(key for _, key in path)] = match["text"].strip()
    return found


class _Walk:
    """One walk over the node of an option, which fills its description."""

    def __init__(self, whole: DictConfig, described: Described, sayings: Mapping[str, str]) -> None:
        self.whole, self.described, self.sayings = whole, described, sayings

    def node(self, node: DictConfig, words: tuple[str, ...]) -> None:
        """A node: its part if a class reads it, and what is below."""
        known = self.part(node, words)
        for key in map(str, node):
            child = node._get_node(key)
            if is_inner(child) and isinstance(child, DictConfig):
                self.node(child, (*words, key))
            elif key not in known and not key.startswith("_"):
                said = self.said(words).get(key, "")
                self.described.values.append(OptionLine(".".join((*words, key)), said, plain(_raw(child))))

    def part(self, node: DictConfig, words: tuple[str, ...]) -> set[str]:
        """Add what reads a node to the description; returns the names of its arguments."""
        from phis_lab.config.nodes import read_by  # noqa: PLC0415  torch, and whatever the classes import
        from phis_lab.config.teachers import TeacherOptions  # noqa: PLC0415

        path, given = ".".join(words), {str(key): plain(_raw(node._get_node(key))) for key in node}
        reader, supplied = read_by(self.whole, words) if words else (None, ())
        if path == "teachers":
            reader, given = TeacherOptions, {**_primary()["teachers"], **given}
        if reader is None:
            return set()
        for place, option in self.described.chooses.items():
            group, _, package = place.partition("@")
            if package.startswith(f"{path}."):
                given[package.removeprefix(f"{path}.")] = f"{group}={option}"
        arguments = arguments_of(reader, path, given, supplied, self.said(words))
        target = str(node.get("_target_", f"{reader.__module__}.{reader.__qualname__}"))
        part = Part(path, target, _written(reader), summary(reader), paper(reader), arguments)
        self.described.parts.append(part)
        return {argument.name.rpartition(".")[2] for argument in arguments}

    def said(self, words: tuple[str, ...]) -> dict[str, str]:
        """Comments of the option file on the keys of a node; the file names them from its own place on."""
        found: dict[str, str] = {}
        for name, text in self.sayings.items():
            *above, key = name.split(".")
            if words[len(words) - len(above) :] == tuple(above):
                found[key] = text
        return found


def _raw(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=False) if OmegaConf.is_config(node) else node._value()


def _primary() -> Mapping[str, Any]:
    read: Mapping[str, Any] = yaml.safe_load((CONF / "config.yaml").read_text(encoding="utf-8"))
    return read


def _written(reader: Any) -> str:
    """File and line of a class or a function."""
    try:
        return f"{inspect.getsourcefile(reader)}:{inspect.getsourcelines(reader)[1]}"
    except (OSError, TypeError):  # made by a program, or in C
        return ""


def asked(words: str) -> tuple[str, list[str]]:
    """The group and the options that a word of the command line names; no option where it names a group alone.

    `evaluation.data=cifar10`, `teacher@teachers.xfeat=sam_h` and `task=[ood,transfer]` are understood as for a run.

    Raises:
        ValueError: nothing stands behind the sign of equality.
    """
    (word,) = placed([words.strip()])
    group, sign, chosen = word.lstrip("+").partition("=")
    if sign and not chosen.strip("[] "):
        raise ValueError(f"{words} names no option; give one, or {group} alone for all that there are")
    return group.partition("@")[0], [name.strip() for name in chosen.strip("[] ").split(",") if name.strip()]
