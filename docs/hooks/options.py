"""Writes reference/options.md: every group, every option and every argument, by the code behind `phis-lab options`."""

from collections.abc import Iterable, Sequence
from typing import Any

import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from phis_lab.config.described import Described, GroupLine, OptionLine, Part, of_option, overview

PAGE = "reference/options.md"
START = """# Options

Every choice and every argument, as `phis-lab options` tells them: read from the option files, and from the constructors
that they name. `GROUP=OPTION` chooses, and the dotted name of an argument sets it:
`python run.py normalizer=partial_whiten normalizer.gamma=0.3`.
Your own options stand beside them in `phis-lab options --config-dir DIR`.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page."""
    files.append(File.generated(config, PAGE, content=page()))
    return files


def page() -> str:
    """The page in Markdown: options of no group, then a section for every group."""
    groups, others = overview()
    parts = [
        START,
        _table(("group", "what it is for"), [(f"[{line.name}](#{line.name})", line.about) for line in groups]),
    ]
    parts.append("## Options of no group {: #no-group }\n")
    parts.append(_values(others))
    parts += [section(group) for group in groups]
    return "\n".join(parts)


def section(group: GroupLine) -> str:
    """One group with all of its options."""
    told = "\n".join(_option(of_option(group.name, name), name == group.usual) for name in group.options)
    return f"## {group.name} {{: #{group.name} }}\n\n{group.about}\n\n{told}"


def _option(described: Described, usual: bool) -> str:
    """One option, folded up."""
    title = f"`{described.group}={described.option}`" + (" (usual)" if usual else "")
    lines = [described.about.replace("\n", "  \n"), ""]
    if described.chooses:
        lines.append(
            _table(("chooses", "option"), [(_code(at), _code(name)) for at, name in described.chooses.items()])
        )
    paths = [part.path for part in described.parts]
    lines += [_part(part, paths) for part in described.parts]
    lines.append(_values(described.values))
    return f'??? option "{title}"\n\n' + _indented("\n".join(lines))


def _part(part: Part, paths: Sequence[str]) -> str:
    """What an option builds at one place, with its arguments."""
    rows = [
        (
            _code(argument.name),
            _plain(argument.type) + (f"; {_plain(argument.range)}" if argument.range else ""),
            _default(argument.name, argument.default, argument.needed, paths),
            _plain(argument.about),
        )
        for argument in part.arguments
    ]
    about = " ".join(_plain(text) for text in (part.about, part.paper) if text)
    table = _table(("option", "type and range", "default", "what it does"), rows) if rows else ""
    return f"`{part.path}` is `{part.target}`: {about}\n\n{table}"


def _default(name: str, default: Any, needed: bool, paths: Iterable[str]) -> str:
    if any(f"{path}.".startswith(f"{name}.") for path in paths):
        return "below"
    return "must be set" if needed else _value(default)


def _values(values: Sequence[OptionLine]) -> str:
    rows = [(_code(line.name), _value(line.value), _plain(line.about)) for line in values]
    return _table(("option", "value", "what it is"), rows) if rows else ""


def _value(value: Any) -> str:
    """A value as one types it."""
    if value is None:
        return "`null`"
    text = value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True, width=10_000)
    return _code(text.replace("\n...\n", "").strip() or "''")


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|")


def _plain(text: str) -> str:
    """Words of a docstring in a cell of a table: one line, in which only what stands in backticks is marked up."""
    pieces = " ".join(text.split()).replace("|", "\\|").split("`")
    for number in range(0, len(pieces), 2):
        for sign in "*_<[$":
            pieces[number] = pieces[number].replace(sign, f"&#{ord(sign)};")
    return "`".join(pieces)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" if line.strip() else "\n" for line in text.splitlines())
