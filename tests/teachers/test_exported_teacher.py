"""An exported student is a teacher as any other."""

import hashlib
import json

import pytest
import torch
from exported_runs import CONFIG, images, make_run, student
from torch.testing import assert_close

from phis_lab import load_student
from phis_lab.commands.export import export_run
from phis_lab.config.sources import sources_of
from phis_lab.config.teachers import Catalogue, TeacherOptions, split
from phis_lab.data.stage_plans import WHOLE
from phis_lab.formats import Format
from phis_lab.plan.networks import teacher_cost
from phis_lab.teachers import check_available
from phis_lab.teachers.exported import ExportedTeacher

OPTION = {"_target_": "phis_lab.teachers.exported.ExportedTeacher", "name": "exported", "image_size": None}


@pytest.fixture
def folder(tmp_path):
    options = {"class_tokens": "per_teacher", "cpe_max_size": 32}
    make_run(tmp_path / "run", student(**options), CONFIG | {"student": CONFIG["student"] | options})
    export_run(tmp_path / "run", tmp_path / "out")
    return tmp_path / "out"


def option(folder, **changes):
    return OPTION | {"path": str(folder)} | changes


def member(folder, **changes):
    return split({"proxy": option(folder, **changes)})[0]


def test_its_features_are_the_students_tokens(folder):
    teacher = ExportedTeacher("proxy", path=str(folder))
    tokens, _ = load_student(folder)(images())
    features = teacher(images())
    assert_close(features.summary, tokens.summary)
    assert_close(features.spatial, tokens.spatial)
    assert (teacher.summary_dim, teacher.spatial_dim, teacher.image_size) == (48, 24, 16)
    assert teacher.pixels.protocol == "bilinear, mean 0 0 0, std 1 1 1"
    assert teacher.weights.sha256 == hashlib.sha256((folder / "student.safetensors").read_bytes()).hexdigest()
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert not teacher.train().training


def test_images_of_another_size_are_resized_as_the_student_does(folder):
    pixels = torch.rand(2, 3, 40, 28)
    teacher = ExportedTeacher("proxy", path=str(folder), image_size=24, spatial_scale=2.0)
    tokens, _ = load_student(folder)(pixels, 24)
    assert_close(teacher(pixels).spatial, 2 * tokens.spatial)


def test_a_set_takes_it_at_the_students_size_and_at_others(folder):
    members = member(folder)
    check_available(members)
    assert members["proxy"]["image_size"] == 16
    catalogue = Catalogue(members, TeacherOptions(), "float32")
    features = catalogue.pool(WHOLE, [(2, 2)])(images())["proxy"]
    assert features.spatial.shape == (3, 2, 2, 24)
    assert catalogue.dims() == {"proxy": (48, 24)}
    cost = teacher_cost("proxy", members["proxy"])
    assert (cost.image_size, cost.channels, cost.grid) == (16, (48, 24), (2, 2))
    assert ExportedTeacher.stride(members["proxy"]) == 8


def test_the_layout_of_the_hub_will_do(tmp_path):
    make_run(tmp_path / "run")
    export_run(tmp_path / "run", tmp_path / "hub", formats=[Format.HUB])
    teacher = ExportedTeacher("proxy", path=str(tmp_path / "hub"))
    assert_close(teacher(images()).spatial, load_student(tmp_path / "hub")(images())[0].spatial)


def test_a_run_knows_its_teachers_files_by_content(folder):
    found = sources_of({"teachers": {"proxy": option(folder)}})
    assert set(found) == {"teachers.proxy.path/student.safetensors"}


def untrusted(folder):
    content = json.loads((folder / "student.json").read_text())
    content["backbone"]["_target_"] = "os.system"
    (folder / "student.json").write_text(json.dumps(content))


def damaged(folder):
    weights = (folder / "student.safetensors").read_bytes()
    (folder / "student.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))


def emptied(folder):
    for file in folder.iterdir():
        file.unlink()


@pytest.mark.parametrize(
    ("damage", "says"),
    [(untrusted, r"student\.json names os\.system"), (emptied, r"holds no student\.json")],
)
def test_a_folder_that_is_no_students_is_refused_before_anything_is_loaded(folder, damage, says):
    damage(folder)
    with pytest.raises((ValueError, FileNotFoundError), match=f"teachers.proxy: .*{says}"):
        member(folder)
    with pytest.raises(ValueError, match=says):
        check_available({"proxy": option(folder, image_size=16)})


def test_weights_that_are_not_those_that_were_written_are_refused(folder):
    damaged(folder)
    with pytest.raises(ValueError, match="export the run again"):
        ExportedTeacher("proxy", path=str(folder))


@pytest.mark.parametrize(
    ("size", "says"), [(20, "must be a multiple of the patch of 8, got 20"), (40, "exceeds the 32 px")]
)
def test_a_size_that_the_student_does_not_take_is_refused(folder, size, says):
    with pytest.raises(ValueError, match=says):
        check_available({"proxy": option(folder, image_size=size)})
    with pytest.raises(ValueError, match=says):
        ExportedTeacher("proxy", path=str(folder), image_size=size)


def test_a_teacher_without_a_size_of_its_own_asks_for_one():
    node = {"_target_": "phis_lab.teachers.timm.TimmTeacher", "name": "x", "model": "vit_tiny_patch16_224"}
    with pytest.raises(ValueError, match=r"teachers\.x: image_size is needed: TimmTeacher has none of its own"):
        split({"x": node | {"image_size": None}})
