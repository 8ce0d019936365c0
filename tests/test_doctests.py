"""The examples in docstrings run and say what they show; every public function of the library has one."""

import doctest
import inspect
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WITH_EXAMPLES = sorted(path for path in (ROOT / "phis_lab").rglob("*.py") if ">>> " in path.read_text())
OF_FILES = {"load_student", "read_record", "read_records", "report"}
"""What reads the files of a run, which an example would have to train first."""


def public(room: str) -> list[tuple[str, str]]:
    """The functions that a room shows."""
    module = import_module(room)
    shown = [name for name in module.__all__ if inspect.isfunction(getattr(module, name)) and name not in OF_FILES]
    return [(room, name) for name in shown]


PUBLIC = [each for room in ("", ".linalg", ".losses", ".metrics") for each in public(f"phis_lab{room}")]
CLASSES = [("phis_lab", name) for name in ("Features", "Moments", "PhiS")]


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_examples_show_what_they_give(path: Path) -> None:
    module = import_module(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    found = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.attempted > 0
    assert found.failed == 0, "see the captured output"


@pytest.mark.parametrize(("room", "name"), [*PUBLIC, *CLASSES])
def test_every_public_function_carries_an_example(room: str, name: str) -> None:
    assert ">>> " in (getattr(import_module(room), name).__doc__ or ""), f"{room}.{name} shows no example"
