"""Bringing features to the student's grid."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from phis_lab.teachers import match_grid

sides = st.integers(1, 9)


@given(h=sides, w=sides, h2=sides, w2=sides)
def test_a_constant_map_stays_constant(h: int, w: int, h2: int, w2: int) -> None:
    constant = torch.tensor([3.0, -95.0])
    matched = match_grid(constant.expand(2, h, w, 2), (h2, w2))
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
