"""The contracts of docs/architecture.md: every name is where it says, with the arguments that it says."""

import importlib
import inspect
import re
from pathlib import Path
from typing import NamedTuple

import pytest

BASES = ("nn.Module", "NamedTuple", "float", "FeatureMap")
DOCUMENT = Path(__file__).parents[1] / "docs" / "architecture.md"


class Said(NamedTuple):
    """A name of the document, of a module or of a class; `arguments` is None where none are told."""

    module: str
    owner: str
    name: str
    arguments: tuple[str, ...] | None


def contracts() -> list[Said]:
    """Everything that the document lists, read line by line; an indented line goes on with the class above it."""
    block = DOCUMENT.read_text(encoding="utf-8").partition("## Contracts")[2].split("```")[1]
    found: list[Said] = []
    module = owner = ""
    for line in block.splitlines()[1:]:
        if heading := re.match(r"# (phis_lab[\w.]*)", line):
            module, owner = heading[1], ""
            continue
        started = not line.startswith(" ")
        for statement in re.split(r";  (?=\S)", re.sub(r"\s#.*", "", line)):
            owner = "" if started else owner
            for part in split(statement, ";"):
                if declared := re.match(r"class ([\w, ]+)", part):
                    names, rest = [name.strip() for name in declared[1].split(",")], part[declared.end() :]
                    given = inside(rest[1:]) if rest.startswith("(") else None
                    told = None if given in (None, *BASES) else arguments(given or "")
                    found += [Said(module, "", name, told) for name in names]
                    owner, part = names[-1], rest.partition(": ")[2]  # noqa: PLW2901
                if called := re.match(r"([\w.]+)\(", part):
                    found.append(
                        Said(
                            module, owner, called[1].removeprefix(f"{owner}."), arguments(inside(part[called.end() :]))
                        )
                    )
                elif not owner and (listed := re.match(r"[\w., ]+", part)):
                    found += [Said(module, "", name.strip(), None) for name in listed[0].split(",") if name.strip()]
    return found


def split(text: str, at: str) -> list[str]:
    """Parts of a text that are separated outside brackets."""
    parts, depth = [""], 0
    for sign in text:
        depth += (sign in "([{") - (sign in ")]}")
        if sign == at and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts if part.strip()]


def inside(text: str) -> str:
    """What comes before the bracket that closes a call."""
    depth = 1
    for place, sign in enumerate(text):
        depth += (sign in "([{") - (sign in ")]}")
        if depth == 0:
            return text[:place]
    raise ValueError(f"a call that is not closed: {text}")


def arguments(text: str) -> tuple[str, ...]:
    return tuple(re.match(r"\**([\w]+|\.\.\.)", part)[0] for part in split(text, ","))  # type: ignore[index]


def test_the_document_lists_contracts() -> None:
    assert len(contracts()) > 60


@pytest.mark.parametrize("said", contracts(), ids=lambda said: ".".join([said.module, *filter(None, said[1:3])]))
def test_every_name_is_where_the_document_says_with_the_arguments_that_it_says(said: Said) -> None:
    found = importlib.import_module(said.module)
    for name in filter(None, [said.owner, *said.name.split(".")]):
        found = getattr(found, name)
    if said.arguments is None:
        return
    known = [name for name in inspect.signature(found).parameters if name != "self"]
    told = [name for name in said.arguments if not name.startswith(("*", "."))]
    assert told == [name for name in known if name in told], f"it takes {', '.join(known)}"
