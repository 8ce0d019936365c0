"""Bringing features to the student's grid."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from torch.testing import assert_close

from phis_lab.features import Resize, match_grid

sides = st.integers(1, 9)


@given(h=sides, w=sides, h2=sides, w2=sides)
@pytest.mark.parametrize("resize", ["antialias", "bilinear"])
def test_a_constant_map_stays_constant(h: int, w: int, h2: int, w2: int, resize: Resize) -> None:
    constant = torch.tensor([3.0, -95.0])
    matched = match_grid(constant.expand(2, h, w, 2), (h2, w2), resize)
    assert_close(matched, constant.expand(2, h2, w2, 2), rtol=1e-5, atol=1e-5)


def test_an_equal_grid_passes_through_untouched() -> None:
    spatial = torch.randn(2, 4, 3, 5)
    assert match_grid(spatial, (4, 3)) is spatial


def test_features_of_lower_precision_come_back_in_float32() -> None:
    assert match_grid(torch.randn(1, 2, 2, 3).bfloat16(), (2, 2)).dtype == torch.float32


@pytest.mark.parametrize("grid", [(3, 4), (5, 2), (14, 15)])
def test_the_filter_is_pillows_antialiased_bilinear_one(grid: tuple[int, int]) -> None:
    pil = pytest.importorskip("PIL.Image")
    spatial = torch.randn(1, 12, 10, 1)
    expected = pil.fromarray(spatial[0, ..., 0].numpy()).resize(grid[::-1], pil.Resampling.BILINEAR)
    assert_close(match_grid(spatial, grid)[0, ..., 0], torch.tensor(list(expected.get_flattened_data())).view(grid))


@pytest.mark.parametrize("grid", [(3, 4), (5, 2), (14, 15)])
def test_bilinear_interpolates_between_the_four_nearest_tokens_corner_on_corner(grid: tuple[int, int]) -> None:
    spatial = torch.randn(1, 12, 10, 1)
    places = np.meshgrid(np.linspace(0, 11, grid[0]), np.linspace(0, 9, grid[1]), indexing="ij")
    expected = map_coordinates(spatial[0, ..., 0].double().numpy(), places, order=1)
    assert_close(match_grid(spatial, grid, "bilinear")[0, ..., 0].double(), torch.tensor(expected), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("resize", "kept"), [("antialias", 0.165), ("bilinear", 0.476)])
def test_white_tokens_keep_the_documented_share_of_their_variance(resize: Resize, kept: float) -> None:
    tokens = torch.randn(64, 27, 27, 16, generator=torch.Generator().manual_seed(0))
    assert match_grid(tokens, (16, 16), resize).var().item() == pytest.approx(kept, abs=0.005)
