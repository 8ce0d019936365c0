"""timm loads the backbone of an exported student, with the same features."""

import pytest
import timm
import torch
from exported_runs import CONFIG, TEACHERS, make_run, student
from exports import assert_same_tokens, described, exported

from phis_lab import load_student
from phis_lab.commands.export import export_run
from phis_lab.formats import Format
from phis_lab.students import Backbone, MLPHead, Student, TimmViT
from phis_lab.students.export.timm import write as write_timm


@pytest.mark.parametrize("options", [{}, {"spectral": True}, {"layer_scale": 0.5}], ids=["plain", "spectral", "scaled"])
def test_timm_loads_the_backbone_at_any_image_size(tmp_path, options):
    folder, own = exported(tmp_path, Format.TIMM, options=options)
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    for side in (16, 24):
        assert_same_tokens(model, own, side)
    assert model.pretrained_cfg["mean"] == (0.0, 0.0, 0.0) or list(model.pretrained_cfg["mean"]) == [0.0] * 3
    assert tuple(model.pretrained_cfg["input_size"]) == (3, 16, 16)


def test_timm_takes_cropped_positions_at_the_students_size(tmp_path):
    folder, own = exported(tmp_path, Format.TIMM, options={"cpe_max_size": 32})
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    assert_same_tokens(model, own, 16)
    with pytest.raises(AssertionError):
        model.forward_features(torch.rand(1, 3, 24, 24))


@pytest.mark.parametrize(
    "model", ["vit_base_patch32_clip_224", "vit_small_patch14_reg4_dinov2", "vit_tiny_patch16_224"]
)
def test_a_named_model_of_timm_is_one_again(tmp_path, model):
    torch.manual_seed(0)
    side = 28 if "14" in model else 64
    small = {"embed_dim": 24, "depth": 2, "num_heads": 2}
    vit = timm.create_model(model, img_size=side, num_classes=0, dynamic_img_size=True, **small)
    backbone = TimmViT.__new__(TimmViT)
    Backbone.__init__(backbone, vit, (0.1, 0.2, 0.3), (0.2, 0.3, 0.4))
    own = Student(backbone, MLPHead, TEACHERS).eval()
    write_timm(tmp_path, own, described(own))
    loaded = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    assert loaded.pretrained_cfg["architecture"] == model
    assert_same_tokens(loaded, own, side)
    assert_same_tokens(loaded, own, 2 * side)


def test_a_folder_of_timm_is_not_taken_for_a_student(tmp_path):
    folder, _ = exported(tmp_path, Format.TIMM)
    with pytest.raises(ValueError, match=r"holds a model of timm: timm\.create_model"):
        load_student(folder)


def test_what_timm_cannot_hold_is_refused_before_anything_is_written(tmp_path):
    options = {"class_tokens": "per_teacher"}
    make_run(tmp_path / "run", student(**options), CONFIG | {"student": CONFIG["student"] | options})
    with pytest.raises(
        ValueError, match=r"one class token and this student has 2 \(student\.class_tokens=per_teacher\)"
    ):
        export_run(tmp_path / "run", tmp_path / "out", formats=[Format.SAFETENSORS, Format.TIMM])
    assert not (tmp_path / "out").exists()
