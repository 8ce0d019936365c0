"""Teachers at other image sizes: the smallest that is fine enough, and multiples of their own."""

import logging
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_teacher_sets import CONF, build, options
from torch import nn
from yaml import safe_load

from phis_lab.teachers import Teacher, at_image_size, at_smallest_sizes, share_parameters
from phis_lab.teachers.image_sizes import smallest_size

POCKET = {name: safe_load((CONF / "teacher" / f"{name}.yaml").read_text()) for name in ("hed", "open_nsfw")}
POCKET |= options("pocket_set")
TINY = options("tiny_set")


@given(side=st.integers(1, 64), stride=st.integers(1, 32), step=st.integers(1, 64))
def test_the_size_is_valid_fine_enough_and_the_next_smaller_is_not(side: int, stride: int, step: int) -> None:
    size = smallest_size(side, stride, step)
    assert size % step == 0
    assert size // stride >= side
    assert size == step or (size - step) / stride < side


@pytest.mark.parametrize(
    ("grid", "stride_32", "ppocr", "xfeat", "hed"),
    [((1, 1), 32, 32, 32, 32), ((4, 4), 128, 32, 32, 64), ((5, 7), 128, 32, 64, 128), ((16, 16), 128, 64, 128, 128)],
)
def test_the_sizes_of_the_pocket_teachers(
    grid: tuple[int, int], stride_32: int, ppocr: int, xfeat: int, hed: int
) -> None:
    chosen = {name: option["image_size"] for name, option in at_smallest_sizes(POCKET, [(1, 1), grid]).items()}
    expected = dict.fromkeys(("efficientnet_lite0", "mobilenetv2", "open_nsfw"), stride_32)
    assert chosen == expected | {"ppocr": ppocr, "xfeat": xfeat, "hed": hed}


@pytest.mark.parametrize(
    ("grid", "expected"),
    [
        ((2, 2), {"dfn_clip": 28, "siglip": 28, "dinov2_g": 28, "sam_h": 32}),
        ((4, 4), {"dfn_clip": 56, "siglip": 56, "dinov2_g": 56, "sam_h": 64}),
        ((7, 7), {"dfn_clip": 56, "siglip": 56, "dinov2_g": 56, "sam_h": 112}),
    ],
)
def test_the_sizes_of_the_tiny_set(grid: tuple[int, int], expected: dict[str, int]) -> None:
    chosen = at_smallest_sizes(TINY, [grid])
    assert {name: option["image_size"] for name, option in chosen.items()} == expected


@pytest.mark.parametrize("name", [*POCKET, *TINY])
def test_the_stride_that_a_teacher_declares_is_that_of_its_features(name: str) -> None:
    option = at_smallest_sizes({**POCKET, **TINY}, [(2, 2)])[name]
    teacher: Teacher = build(option)
    spatial = teacher(torch.rand(1, 3, 64, 64)).spatial
    assert spatial.shape[1:3] == (teacher.image_size // teacher.stride(option),) * 2
    assert spatial.shape[1] >= (2 if name not in ("efficientnet_lite0", "mobilenetv2", "open_nsfw") else 1)


def test_a_patch_that_the_architecture_changes_is_taken_into_account() -> None:
    clip, timm = (dict(TINY[key]) for key in ("dfn_clip", "dinov2_g"))
    clip["architecture"] = clip["architecture"] | {"patch_size": 7}
    timm["architecture"] = timm["architecture"] | {"patch_size": 8}
    chosen = at_smallest_sizes({"clip": clip, "timm": timm}, [(4, 4)])
    assert [option["image_size"] for option in chosen.values()] == [28, 32]


def test_what_changes_is_said_for_each_teacher(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    at_smallest_sizes(POCKET, [(4, 4)])
    assert (
        "teacher ppocr sees 32 px instead of 128 (grid 8 x 8 instead of 32 x 32): its features are those of a smaller "
        "image; not comparable with runs at 128" in caplog.messages
    )
    assert len(caplog.messages) == 3


def test_a_network_of_unknown_stride_stays_and_that_is_said(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level(logging.INFO)
    target = "phis_lab.teachers.onnx.OnnxTeacher"
    option = {"_target_": target, "weights": str(tmp_path / "net.onnx"), "image_size": 224}
    assert at_smallest_sizes({"net": option}, [(4, 4)]) == {"net": option}
    assert caplog.messages == ["teacher net stays at 224 px: the stride of its features is not known beforehand"]


@pytest.mark.parametrize(("factor", "size"), [(1.0, 56), (1.6875, 98), (2.0, 112), (0.01, 14)])
def test_another_image_size_is_of_whole_cells(factor: float, size: int) -> None:
    assert at_image_size(TINY["dinov2_g"], factor)["image_size"] == size
    assert at_image_size(TINY["dinov2_g"], factor) | {"image_size": 56} == TINY["dinov2_g"]


def test_two_sizes_of_a_network_share_the_parameters_that_are_equal() -> None:
    first, second = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2)), nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 4))
    second[0].load_state_dict(first[0].state_dict())
    before = [parameter.clone() for parameter in second.parameters()]
    share_parameters(first, second)
    assert second[0].weight is first[0].weight
    assert second[1].weight is not first[1].weight
    assert all(torch.equal(old, new) for old, new in zip(before, second.parameters(), strict=True))
