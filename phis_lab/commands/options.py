"""`phis-lab options`: what there is to choose, and every argument of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from phis_lab.config.described import (
    Described,
    GroupLine,
    OptionLine,
    Part,
    asked,
    loose_option,
    of_group,
    of_option,
    overview,
)
from phis_lab.config.option_files import folder_of
from phis_lab.config.signatures import Argument
from phis_lab.groups import ABOUT, GROUPS
from phis_lab.terminal import cell

Answer = dict[str, Any]
LONGEST = 60


def options(words: str | None = None, config_dir: Path | None = None) -> Answer:
    """What there is to choose, as a document.

    Args:
        words: a group, or GROUP=OPTION; None for all groups.
        config_dir: of own configurations.

    Raises:
        ValueError: there is no such group or option; the message says what was perhaps meant.
    """
    folders = [] if config_dir is None else [folder_of(str(config_dir))]
    if words is None:
        groups, others = overview(folders)
        return {"groups": groups, "others": others}
    group, chosen = asked(words)
    if (loose := loose_option(group)) is not None:
        return {"others": [loose]}
    if chosen:
        return {"options": [of_option(group, option, folders) for option in chosen]}
    facts = GROUPS.get(group)
    about = {"group": group, "about": ABOUT.get(group, ""), "usual": facts.usual if facts else None}
    return {**about, "options": of_group(group, folders)}


def show(answer: Answer) -> None:
    """Print a document of `options` for people."""
    console = Console(highlight=False)
    if "groups" in answer:
        _show_overview(console, answer["groups"], answer["others"])
    elif "others" in answer:
        _show_values(console, answer["others"])
    elif "group" in answer:
        console.print(f"[bold]{cell(answer['group'])}[/bold]: {cell(answer['about'])}\n")
        lines: Sequence[OptionLine] = answer["options"]
        rows = [(f"{line.name} (usual)" if line.name == answer["usual"] else line.name, line.about) for line in lines]
        console.print(_table(("option", "what it is"), rows))
        console.print(f"All about one of them: phis-lab options {answer['group']}={lines[-1].name}", markup=False)
    else:
        for described in answer["options"]:
            _show_option(console, described)


def _show_overview(console: Console, groups: Sequence[GroupLine], others: Sequence[OptionLine]) -> None:
    rows = []
    for group in groups:
        names = [f"{name} (usual)" if name == group.usual else name for name in group.options]
        rows.append((group.name, f"{group.about}\n{', '.join(names)}"))
    console.print(_table(("group", "what it is for, and its options"), rows))
    _show_values(console, others)
    console.print("All about a group or an option: phis-lab options GROUP, phis-lab options GROUP=OPTION", markup=False)


def _show_option(console: Console, described: Described) -> None:
    console.print(f"[bold]{cell(described.group)}={cell(described.option)}[/bold]")
    console.print(cell(described.about), "", sep="\n")
    if described.chooses:
        rows = [(place, option) for place, option in described.chooses.items()]
        console.print(_table(("chooses", "option"), rows))
    for part in described.parts:
        _show_part(console, part, [other.path for other in described.parts])
    _show_values(console, described.values)
    console.print(described.file, "", style="dim", markup=False, soft_wrap=True, sep="\n")


def _show_part(console: Console, part: Part, paths: Sequence[str]) -> None:
    console.print(f"[bold]{cell(part.path)}[/bold]: {cell(part.target)}", soft_wrap=True)
    for text in (part.about, part.paper):
        if text:
            console.print(text, markup=False)
    if part.file:
        console.print(part.file, style="dim", markup=False, soft_wrap=True)
    values = [argument.name for argument in part.arguments if not _is_below(argument.name, paths)]
    if values:
        console.print(f"Set one of them as in {values[0]}=VALUE:", markup=False, soft_wrap=True)
    rows = [
        (
            argument.name.removeprefix(f"{part.path}."),
            argument.type,
            argument.range,
            _default(argument, paths),
            argument.about,
        )
        for argument in part.arguments
    ]
    console.print(_table(("option", "type", "range", "default", "what it does"), rows) if rows else "No options.\n")


def _default(argument: Argument, paths: Sequence[str]) -> str:
    """A default, or where it is told where that is a part of its own."""
    if _is_below(argument.name, paths):
        return "below"
    return "must be set" if argument.needed else _yaml(argument.default)


def _is_below(name: str, paths: Sequence[str]) -> bool:
    return any(f"{path}.".startswith(f"{name}.") for path in paths)


def _show_values(console: Console, values: Sequence[OptionLine]) -> None:
    if values:
        rows = [(line.name, _yaml(line.value), line.about) for line in values]
        console.print(_table(("option", "value", "what it is"), rows))


def _yaml(value: Any) -> str:
    """A value as one types it, shortened where it is long."""
    if value is None:
        return "null"
    text = value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True, width=10_000)
    text = text.replace("\n...\n", "").strip()
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table whose words wrap, but for the names in its first column."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for number, heading in enumerate(headings):
        table.add_column(heading, overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*map(cell, row))
    return table
