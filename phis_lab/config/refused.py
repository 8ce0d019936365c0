"""What Hydra, OmegaConf and the YAML reader refuse, told in a sentence or two. Import-light."""

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from phis_lab.config.hints import about_key, about_lack, about_option
from phis_lab.config.option_files import CONF, is_choice, options
from phis_lab.config.readable import text_of
from phis_lab.groups import NEEDED
from phis_lab.refusals import LONGEST_CAUSE

Compose = Callable[[Sequence[str]], DictConfig]


def _nothing(overrides: Sequence[str]) -> DictConfig:
    raise ValueError(overrides)


@contextmanager
def refused_by_hydra(
    overrides: Sequence[str], folders: Sequence[Path] = (), chosen: Compose = _nothing
) -> Iterator[None]:
    """Turn errors of Hydra, OmegaConf and YAML into a ValueError that says what to do.

    Args:
        overrides: that are composed.
        folders: of further configurations.
        chosen: composes the choices among overrides, for hints.
    """
    try:
        yield
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError, RecursionError) as error:
        raise ValueError(_sentence(error, overrides, folders, chosen)) from error


def _sentence(error: Exception, overrides: Sequence[str], folders: Sequence[Path], chosen: Compose) -> str:
    text = " ".join(str(error).split())
    if nameless := [override for override in overrides if override.startswith("=")]:
        told = about_grammar(nameless[0])
    elif isinstance(error, OverrideParseException):
        told = about_grammar(error.override)
    elif isinstance(error, MissingConfigException):
        told = _missing(error, overrides, folders)
    elif isinstance(error, YAMLError):
        told = _about_yaml(error)
    elif isinstance(error, UnicodeDecodeError):
        told = _about_encoding(folders) or text
    elif "Config group override must be a string or a list" in text:
        told = "\n".join(_about_nulls(overrides, folders))
    else:
        told = _about_composition(error, text, overrides, folders, chosen)
    return told or _bare(error, overrides, folders)


def _bare(error: Exception, overrides: Sequence[str], folders: Sequence[Path]) -> str:
    """What an error says itself, after what it is about where it does not say that."""
    text = _first_line(str(error) or str(error.__cause__))
    if isinstance(error, RecursionError):
        text = "an option nests too deeply, or the defaults of a file lead back to that file"
    names = [re.split("[=@]", override.lstrip("+~"))[0] for override in overrides]
    if not overrides or any(name and name in text for name in [*names, *map(str, folders)]):
        return text
    about = " ".join(overrides)
    return f"{about if len(about) <= LONGEST_CAUSE else about[:LONGEST_CAUSE] + '...'}: {text}"


def _about_composition(
    error: Exception, text: str, overrides: Sequence[str], folders: Sequence[Path], chosen: Compose
) -> str:
    """What Hydra tells only in words."""
    taken = [text.strip("~").partition("=")[0] for text in overrides if text.startswith("~")]
    tellers: dict[str, Callable[[re.Match[str]], str]] = {
        r"Ambiguous value for argument '(.*?)' 1\.": lambda found: _about_sweep(found[1], simple=True),
        r"Sweep parameters '(.*?)' requires": lambda found: _about_sweep(found[1], simple=False),
        r"Could not (?:override|delete) '(.*?)'\. (?:No match|Did you mean)": lambda found: _about_place(
            found[1], overrides, folders, chosen
        ),
        r"Could not (?:override|delete)(?: from config\.)? '(.*?)'": lambda found: about_key(
            found[1], _value(found[1], overrides), folders, lambda: chosen(overrides)
        ),
        r"(?:Multiple values for (\S+)\.|(\S+) appears more than once)": lambda found: (
            f"{found[1] or found[2]} is chosen already; to choose another, leave out the + in front of it."
        ),
        r"Error resolving interpolation '.*?', possible": lambda found: "\n".join(
            about_lack(group, folders) for group in taken if group in NEEDED
        ),
        r"Error merging override (.*)": lambda found: f"{found[1]}: {_first_line(str(error.__cause__ or text))}",
    }
    matches = ((re.search(pattern, text), tell) for pattern, tell in tellers.items())
    return next((tell(found) for found, tell in matches if found), "")


def about_grammar(override: str) -> str:
    """What to type in place of an override that Hydra cannot read, tried out before it is said."""
    name, equals, value = override.partition("=")
    if override.startswith("-"):
        return f"{override}: options have no dashes; say {name.lstrip('-')}={value or 'VALUE'}."
    if not equals or not name:
        return f"'{override}' is no option: say NAME=VALUE, without spaces around the =."
    for mark, other in ('"', "'"), ("'", '"'):
        if mark in value and other not in value:
            continue
        quoted = f"{name}={mark}{value.replace(mark, chr(92) + mark)}{mark}"
        if _reads(quoted, value):
            return (
                f"{override} cannot be read, for its value holds signs that mean something to Hydra. "
                f"Quote the value: {shlex.quote(quoted)}"
            )
    return f"{override} cannot be read: say NAME=VALUE; a value with signs like {{}}=(),[] wants quotes inside quotes."


def _reads(override: str, value: str) -> bool:
    try:
        return str(OverridesParser.create().parse_override(override).value()) == value
    except HydraException:
        return False


def _missing(error: MissingConfigException, overrides: Sequence[str], folders: Sequence[Path]) -> str:
    found = re.search(r"(?:In '(.*?)': )?Could not (?:find|load) '(.*?)'", str(error))
    if not found:
        return _first_line(str(error))
    asked, name = found.groups()
    if name.startswith("hydra/"):
        group, _, option = name.rpartition("/")
        return f"{group}={option}: there is no such option of {group}. Options: {', '.join(error.options or ())}."
    group, _, option = name.partition("/")
    typed = any(option in text.partition("=")[2] for text in overrides if text.lstrip("+").startswith(group))
    by_file = "" if typed else _asking(group, option, folders) or (asked or "").removeprefix("config")
    return about_option(group, option, folders, by_file)


def _asking(group: str, option: str, folders: Sequence[Path]) -> str:
    """The own file whose defaults choose an option."""
    line = re.compile(rf"/?{group}(@[^\s:]+)?: *{re.escape(option)}(?![\w/])")
    files = (file for folder in folders for file in sorted(folder.rglob("*.yaml")))
    return next((str(file) for file in files if line.search(text_of(file))), "")


def _about_nulls(overrides: Sequence[str], folders: Sequence[Path]) -> Iterator[str]:
    """Groups of which an override chooses no name."""
    for override in overrides:
        group, _, value = override.lstrip("+~").partition("=")
        if not is_choice(override, folders) or not re.fullmatch(r"null|[\d.]+|true|false|\{.*", value, re.IGNORECASE):
            continue
        if value != "null":
            yield about_option(group, value, folders)
        elif group in NEEDED:
            yield about_lack(group, folders)
        else:
            yield f"{override}: leave {group} out, or say ~{group} where an experiment chooses it."


def _about_yaml(error: YAMLError) -> str:
    mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
    if mark is None:
        return f"An option file is no YAML: {' '.join(str(error).split())}"
    problem = str(getattr(error, "problem", error))
    problem += "; indent with spaces" if "\\t" in problem else ""
    return f"{mark.name}, line {mark.line + 1}, column {mark.column + 1}: this is no YAML: {problem}."


def _about_encoding(folders: Sequence[Path]) -> str:
    for file in (file for folder in folders for file in folder.rglob("*.yaml")):
        try:
            file.read_text(encoding="utf-8")
        except UnicodeDecodeError as wrong:
            return f"{file} is not UTF-8 (byte {wrong.start}: {wrong.reason}); save it as UTF-8."
    return ""


def _about_sweep(override: str, simple: bool) -> str:
    name, _, value = override.partition("=")
    text = f"{override} names several values, and several runs need -m (--multirun)."
    quoted = f'{name}="{value}"'
    if simple and _reads(quoted, value):
        text += f" For one value that holds a comma, quote it: {shlex.quote(quoted)}."
    return text + (f" For a list: {shlex.quote(f'{name}=[{value}]')}." if simple else "")


def _about_place(key: str, overrides: Sequence[str], folders: Sequence[Path], chosen: Compose) -> str:
    """A group that nothing chooses, or not at the place that was named."""
    key = key.partition("=")[0]
    group, _, place = key.partition("@")
    value = _value(key, overrides)
    if value and value not in options(group, (CONF, *folders)):
        return about_option(group, value, folders)
    try:
        choices = chosen([text for text in overrides if not text.lstrip("+~").startswith(key)]).hydra.runtime.choices
    except Exception:
        choices = {}
    places = [str(name) for name in choices if str(name).partition("@")[0] == group]
    taken = (
        f"there are {', '.join(f'{name}={choices[name]}' for name in places)}"
        if places
        else f"nothing chosen takes a {group}"
    )
    added = f"; to add one, put a + in front: +{key}={value}" if place and value else ""
    return f"{key} is not there to be changed: {taken}{added}."


def _value(key: str, overrides: Sequence[str]) -> str:
    return next((text.partition("=")[2] for text in overrides if text.lstrip("+~").partition("=")[0] == key), "")


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
