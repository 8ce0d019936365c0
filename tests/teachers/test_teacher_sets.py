"""The option files of teachers and teacher sets say what the constructors take."""

import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from phis_lab.teachers import Teacher, TeacherPool

CONF = Path(__file__).parents[2] / "conf"
PAPER_STD = {"dfn_clip": 0.0286, "siglip": 1.8389, "dinov2_g": 1.3496, "sam_h": 5.4688}


def options(teachers: str) -> dict[str, Mapping[str, Any]]:
    """Reads the members of a set: key -> option."""
    defaults = yaml.safe_load((CONF / "teachers" / f"{teachers}.yaml").read_text())["defaults"]
    members = {key.removeprefix("/teacher@"): name for entry in defaults for key, name in entry.items()}
    return {key: yaml.safe_load((CONF / "teacher" / f"{name}.yaml").read_text()) for key, name in members.items()}


def build(option: Mapping[str, Any]) -> Teacher:
    arguments = dict(option)
    return pkgutil.resolve_name(arguments.pop("_target_"))(**arguments)


@pytest.fixture(scope="module")
def tiny() -> TeacherPool:
    return TeacherPool({key: build(option) for key, option in options("tiny_set").items()}, "float32")


@pytest.mark.parametrize("file", sorted((CONF / "teacher").glob("*.yaml")), ids=lambda file: file.stem)
def test_an_option_is_named_as_its_file_and_short(file: Path) -> None:
    text = file.read_text()
    assert yaml.safe_load(text)["name"] == file.stem
    assert text.startswith("# ")


def test_the_pocket_set_holds_four_real_teachers() -> None:
    pool = TeacherPool({key: build(option) for key, option in options("pocket_set").items()})
    features = pool(torch.rand(2, 3, 32, 32))
    assert list(features) == ["efficientnet_lite0", "mobilenetv2", "ppocr", "xfeat"]
    assert all(facts["source"].startswith("package ") for facts in pool.describe().values())


def test_the_tiny_set_stands_for_the_radio_set() -> None:
    tiny, radio = options("tiny_set"), options("radio_set")
    assert list(tiny) == list(radio) == list(PAPER_STD)
    for key in tiny:
        assert [tiny[key].get(f) for f in ("_target_", "model", "spatial", "summary")] == [
            *(radio[key].get(f) for f in ("_target_", "model", "spatial", "summary"))
        ]


def test_the_tiny_sets_scales_are_the_papers(tiny: TeacherPool, photos: Tensor) -> None:
    for key, (_, spatial) in tiny(photos).items():
        assert float(spatial.std()) == pytest.approx(PAPER_STD[key], rel=0.1)


def test_the_tiny_sets_dimensions_are_what_it_declares(tiny: TeacherPool, photos: Tensor) -> None:
    for key, (summary, spatial) in tiny(photos).items():
        teacher = tiny.teachers[key]
        assert spatial.shape[-1] == teacher.spatial_dim
        assert (None if summary is None else summary.shape[-1]) == teacher.summary_dim
