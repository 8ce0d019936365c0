"""Every teacher file has the pixels, the layer's width and the size that docs/teachers.md lists."""

import re
from pathlib import Path

import pytest
import yaml

from phis_lab.config.build import build
from phis_lab.teachers import Teacher, Weights
from phis_lab.teachers.outline import WITHOUT_VALUES

ROOT = Path(__file__).parents[2]
OF_FOLDERS = {"exported"}
"""Options whose every fact is that of the folder that they are given."""
ROWS = re.findall(r"^\| `(\w+)` \| (.*) \|$", (ROOT / "docs" / "teachers.md").read_text(), re.MULTILINE)
COLOURS = {
    "ImageNet": "mean 0.485 0.456 0.406, std 0.229 0.224 0.225",
    "CLIP": "mean 0.4815 0.4578 0.4082, std 0.2686 0.2613 0.2758",
    "half": "mean 0.5 0.5 0.5, std 0.5 0.5 0.5",
}


def built(name: str, monkeypatch: pytest.MonkeyPatch) -> Teacher:
    """The teacher of an option file, without values where these would come from a hub; the row tells of no depth."""
    option = yaml.safe_load((ROOT / "conf" / "teacher" / f"{name}.yaml").read_text())
    if "weights" not in option:
        return build(option, "teacher")
    monkeypatch.setattr(Weights, "of_parameters", classmethod(lambda cls, _: cls("random initialisation", "none")))
    shallow = {"architecture": {"depth": 2}} if option["model"].startswith(("vit_", "deit")) else {}
    with WITHOUT_VALUES:
        return build({**shallow, **option, "weights": None}, "teacher")


def test_every_teacher_file_is_listed_once() -> None:
    assert sorted(name for name, _ in ROWS) == sorted(file.stem for file in (ROOT / "conf" / "teacher").glob("*.yaml"))


@pytest.mark.parametrize(("name", "cells"), [pytest.param(*row, id=row[0]) for row in ROWS if row[0] not in OF_FOLDERS])
def test_a_teacher_is_what_its_row_says(name: str, cells: str, monkeypatch: pytest.MonkeyPatch) -> None:
    size, interpolation, colours, *_, channels, _ = cells.split(" | ")
    if name == "hed":
        pytest.importorskip("h5py")
    teacher = built(name, monkeypatch)
    colours = re.sub(r"^\w+(?=$|,)", lambda word: COLOURS.get(word[0], word[0]), colours)
    expected = f"{interpolation}, {colours}".replace("blue first", "bgr")
    assert teacher.pixels.protocol.removesuffix(", padded") == expected
    assert teacher.image_size == int(size)
    summary, spatial = ("-" if dim is None else str(dim) for dim in (teacher.summary_dim, teacher.spatial_dim))
    assert channels == f"{summary}, {spatial}"
    assert ("padded" in teacher.pixels.protocol) == name.startswith(("sam_", "tiny_sam"))
