"""Own code and files that options name are found by content, without importing anything."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from phis_lab.config.sources import _own_spec, changed_since, data_stamp, own_files, sources_of


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of a user's own; importing it would fail."""
    package = tmp_path / "their_parts"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("from .deep import shape\nraise ImportError('this is never imported')\n")
    (package / "deep" / "__init__.py").touch()
    (package / "deep" / "shape.py").write_text("import torch\n")
    (package / "losses.py").write_text("import torch\nfrom their_parts import helper\nclass Mine: ...\n")
    (package / "helper.py").write_text("from their_single import x\n")
    (package / "unused.py").touch()
    (tmp_path / "their_single.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    _own_spec.cache_clear()
    return package


def config(**changes: Any) -> dict[str, Any]:
    return {"seed": 0, "stages": None, "teachers": {}, "data": {"_target_": "phis_lab.data.digits.Digits"}} | changes


def test_own_code_is_followed_through_its_imports(own: Path) -> None:
    found = own_files("their_parts.losses.Mine")
    assert set(found) == {
        "their_parts", "their_parts.losses", "their_parts.helper", "their_single", "their_parts.deep",
        "their_parts.deep.shape",
    }  # fmt: skip
    assert "their_parts" not in sys.modules


@pytest.mark.parametrize("target", ["phis_lab.losses.MSE", "torch.optim.AdamW", "json.JSONDecoder", "nowhere.X", "X"])
def test_installed_code_is_left_to_its_version(target: str) -> None:
    assert own_files(target) == {}


def test_an_edit_of_own_code_is_named(own: Path) -> None:
    given = config(loss={"_target_": "their_parts.losses.Mine"})
    before = sources_of(given)
    assert changed_since(given, before) == []
    (own / "helper.py").write_text("from their_single import x\ny = x\n")
    assert changed_since(given, before) == ["the code of their_parts.helper"]


def test_a_replaced_file_is_named_and_one_that_was_only_touched_is_not(tmp_path: Path) -> None:
    for name in ("weights.pth", "moments/a.safetensors"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"as it was")
    given = config(
        teachers={"one": {"weights": str(tmp_path / "weights.pth"), "layer": "student"}},
        estimation={"moments": str(tmp_path / "moments"), "save": str(tmp_path / "weights.pth")},
        student={"own_option": str(tmp_path / "weights.pth")},
    )
    before = sources_of(given)
    assert set(before) == {"teachers.one.weights", "estimation.moments/a.safetensors", "student.own_option"}
    os.utime(tmp_path / "moments" / "a.safetensors", ns=(1, 1))
    assert changed_since(given, before) == []
    (tmp_path / "weights.pth").write_bytes(b"as it is!")
    os.utime(tmp_path / "weights.pth", ns=(2, 2))
    assert changed_since(given, before) == ["teachers.one.weights", "student.own_option"]


def test_a_word_is_no_file_whatever_lies_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "student.safetensors").touch()
    (tmp_path / "auto").touch()
    monkeypatch.chdir(tmp_path)
    assert sources_of(config(teachers={"match": "student"}, trainer={"precision": "auto"})) == {}


def test_the_stamp_of_data_tells_new_removed_and_changed_files(tmp_path: Path) -> None:
    image = tmp_path / "train" / "a" / "1.png"
    image.parent.mkdir(parents=True)
    image.write_bytes(b"1")
    stamps = [data_stamp({"root": str(tmp_path)})]
    (tmp_path / "train" / "a" / "2.png").touch()
    stamps.append(data_stamp({"root": str(tmp_path)}))
    image.write_bytes(b"11")
    stamps.append(data_stamp({"root": str(tmp_path)}))
    assert len(set(stamps)) == 3
    assert data_stamp({"root": str(tmp_path)}) == stamps[-1]
    assert data_stamp({"root": "nowhere", "seed": 1}) == ""
