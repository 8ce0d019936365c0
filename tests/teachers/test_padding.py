"""Images that are put on a canvas instead of being enlarged."""

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from phis_lab.features import Features
from phis_lab.teachers import Teacher, TeacherPool, Weights
from phis_lab.teachers.pixels import Pixels
from phis_lab.teachers.timm import TimmTeacher

CELL = 4


class Canvas(Teacher):
    """Means of cells on a canvas of 32 px: without context, so that padding changes no feature of the image."""

    def __init__(self, padded_cell: int | None = CELL) -> None:
        network = nn.AvgPool2d(CELL)
        pixels = Pixels(32, (0.5,) * 3, (0.5,) * 3, padded_cell=padded_cell)
        super().__init__(
            name="canvas", network=network, pixels=pixels, weights=Weights("none", "0"), layer="means", spatial_dim=3
        )

    def features(self, x: Tensor) -> Features:
        self.seen = x
        return Features(None, self.network(x).permute(0, 2, 3, 1))


def images(height: int, width: int) -> Tensor:
    return torch.rand(3, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("height", "width"), [(16, 16), (8, 24), (32, 32)])
def test_a_smaller_image_keeps_its_pixels_and_its_cells(height: int, width: int) -> None:
    teacher, x = Canvas(), images(height, width)
    spatial = teacher(x).spatial
    assert teacher.seen.shape == (3, 3, 32, 32)
    assert_close(teacher.seen[..., :height, :width], (x - 0.5) / 0.5)
    assert not teacher.seen[..., height:, :].any()
    assert not teacher.seen[..., :, width:].any()
    assert_close(spatial, nn.AvgPool2d(CELL)((x - 0.5) / 0.5).permute(0, 2, 3, 1))


@pytest.mark.parametrize(("side", "cells"), [(18, 4), (19, 5), (50, 8), (1, 1)])
def test_sides_become_whole_cells_of_the_canvas(side: int, cells: int) -> None:
    assert Canvas()(images(side, side)).spatial.shape == (3, cells, cells, 3)


def test_without_padding_images_are_enlarged() -> None:
    assert Canvas(None)(images(16, 16)).spatial.shape == (3, 8, 8, 3)


def test_teachers_that_pad_do_not_share_the_resized_images_of_those_that_enlarge() -> None:
    pooled = TeacherPool({"pads": Canvas(), "enlarges": Canvas(None)}, precision="float32")(images(16, 16))
    assert pooled["pads"].spatial.shape[1:3] == (4, 4)
    assert pooled["enlarges"].spatial.shape[1:3] == (8, 8)


def test_sam_pads_and_says_so_in_its_layer() -> None:
    options = {"model": "samvit_base_patch16.sa1b", "weights": None, "image_size": 64, "spatial": "before_norm"}
    options["architecture"] = {"embed_dim": 32, "depth": 1, "num_heads": 2}
    padding, enlarging = (TimmTeacher("sam", **options, fit=fit) for fit in ("pad", "resize"))
    assert padding(images(32, 32)).spatial.shape == (3, 2, 2, 32)
    assert enlarging(images(32, 32)).spatial.shape == (3, 4, 4, 32)
    assert padding.layer != enlarging.layer
    assert_close(padding(images(64, 64)).spatial, enlarging(images(64, 64)).spatial)


def test_a_summary_of_a_padded_image_is_refused() -> None:
    with pytest.raises(ValueError, match="a summary would see the padding"):
        TimmTeacher("vit", model="vit_tiny_patch16_224", image_size=32, weights=None, summary="class_token", fit="pad")
