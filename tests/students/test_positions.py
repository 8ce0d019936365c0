import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from timm.layers import resample_abs_pos_embed
from torch.testing import assert_close

from phis_lab.students.positions import CroppedPositions, LearnedPositions

sides = st.integers(1, 12)


def random_embedding(height=6, width=6, channels=5):
    return torch.randn(height, width, channels, generator=torch.Generator().manual_seed(0))


def ramps(cells):
    """A grid whose two channels are row and column, from 0 to 1."""
    line = torch.linspace(0, 1, cells)
    return torch.stack(torch.meshgrid(line, line, indexing="ij"), dim=-1)


def crops(embedding, grid, batch=1, seed=0):
    torch.manual_seed(seed)
    return CroppedPositions(embedding, embedding.shape[0])(grid, batch)


def test_a_learned_grid_comes_back_as_it_is():
    embedding = random_embedding(3, 4)
    assert torch.equal(LearnedPositions(embedding)((3, 4), 7), embedding[None])


@given(height=sides, width=sides)
def test_other_grids_are_resampled_as_timm_resamples(height, width):
    embedding = random_embedding(3, 4)
    theirs = resample_abs_pos_embed(embedding.reshape(1, 12, 5), [height, width], [3, 4], num_prefix_tokens=0)
    ours = LearnedPositions(embedding)((height, width), 2)
    assert torch.equal(ours, theirs.reshape(1, height, width, 5))


@given(height=st.integers(2, 12), width=st.integers(2, 12), seed=st.integers(0, 1000))
def test_a_crop_of_a_ramp_is_a_ramp_of_a_slope_within_the_documented_range(height, width, seed):
    sampled = crops(ramps(12), (height, width), batch=4, seed=seed)
    rows, columns = sampled[:, :, :1, 0], sampled[:, :1, :, 1]
    assert_close(sampled[..., 0], rows.expand(-1, -1, width))
    assert_close(sampled[..., 1], columns.expand(-1, height, -1))
    assert_close(rows.diff(n=2, dim=1), torch.zeros_like(rows[:, 2:]), atol=1e-5, rtol=0)
    longest = max(height, width)
    for line in (rows[:, :, 0], columns[:, 0]):
        span = (line[:, 1] - line[:, 0]) * (longest - 1)  # of the square crop
        assert span.min() >= math.sqrt(0.1 * 3 / 4) - 1e-5
        assert span.max() <= math.sqrt(4 / 3) + 1e-5
    assert sampled.min() >= 0
    assert sampled.max() <= 1


def test_scale_and_aspect_are_distributed_as_documented():
    sampled = crops(ramps(9), (5, 5), batch=4000)
    high = (sampled[:, -1, 0, 0] - sampled[:, 0, 0, 0]).double()
    wide = (sampled[:, 0, -1, 1] - sampled[:, 0, 0, 1]).double()
    whole = (high < 1 - 1e-6) & (wide < 1 - 1e-6)  # not cut off at the border
    scale, aspect = (high * wide).sqrt()[whole], (wide / high)[whole]
    inner = scale < 0.8  # never cut off, whatever the aspect
    low = math.sqrt(0.1)
    assert scale[inner].mean().item() == pytest.approx((low + 0.8) / 2, abs=0.01)
    assert scale.min().item() == pytest.approx(low, abs=0.01)
    assert inner.sum().item() / 4000 == pytest.approx((0.8 - low) / (1 - low), abs=0.03)
    log_aspect = aspect[inner].log() / math.log(4 / 3)
    assert log_aspect.abs().max() <= 1 + 1e-3
    assert log_aspect.mean().item() == pytest.approx(0, abs=0.04)
    assert log_aspect.var().item() == pytest.approx(1 / 3, abs=0.02)  # of U[-1, 1]


def test_crops_reach_all_of_the_grid_alike():
    sampled = crops(ramps(9), (5, 5), batch=4000)
    for axis in (0, 1):
        assert sampled[..., axis].min() < 0.01
        assert sampled[..., axis].max() > 0.99
        assert sampled[..., axis].mean().item() == pytest.approx(0.5, abs=0.01)


def test_every_image_of_a_batch_has_a_crop_of_its_own():
    sampled = crops(random_embedding(8, 8), (4, 4), batch=3)
    assert sampled.shape == (3, 4, 4, 5)
    assert not any(torch.equal(sampled[i], sampled[i - 1]) for i in range(3))


def test_the_same_seed_gives_the_same_crops():
    first, again, other = (crops(random_embedding(8, 8), (4, 4), batch=3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@given(height=sides, width=sides, training=st.booleans())
def test_a_constant_stays_constant(height, width, training):
    positions = CroppedPositions(torch.full((3, 3, 2), 0.7), 12).train(training)
    sampled = positions((height, width), 2)
    assert_close(sampled, torch.full_like(sampled, 0.7))


def test_evaluation_draws_nothing_and_is_one_for_all_images():
    positions = CroppedPositions(random_embedding(), 8).eval()
    state = torch.get_rng_state()
    first = positions((4, 3), 5)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(positions((4, 3), 2), first)
    assert first.shape == (1, 4, 3, 5)


def test_the_whole_grid_passes_through_in_evaluation():
    positions = CroppedPositions(random_embedding(), 6).eval()
    assert torch.equal(positions((6, 6), 1), random_embedding()[None])
    assert torch.equal(positions((6, 2), 1), random_embedding()[None, :, :2])


@given(height=st.integers(2, 12), width=st.integers(2, 12))
def test_evaluation_is_the_top_left_window_of_the_square_of_the_longer_side(height, width):
    sampled = CroppedPositions(ramps(12), 12).eval()((height, width), 1)
    line = torch.linspace(0, 1, max(height, width))
    assert_close(sampled[0, :, :, 0], line[:height, None].expand(-1, width))
    assert_close(sampled[0, :, :, 1], line[:width].expand(height, -1))


@given(height=st.integers(2, 12), width=st.integers(2, 12))
def test_the_crop_of_scale_and_aspect_one_at_the_corner_is_evaluations_window(height, width):
    draws = torch.tensor([1.0, 0.5, 0.0, 0.0])
    positions = CroppedPositions(random_embedding(12, 12), 12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "rand", lambda *_, **__: draws.view(4, 1, 1))
        crop = positions((height, width), 1)
    assert_close(crop, positions.eval()((height, width), 1), atol=1e-5, rtol=1e-5)


def test_a_smaller_embedding_is_enlarged_as_timm_does():
    theirs = resample_abs_pos_embed(random_embedding().reshape(1, 36, 5), [16, 16], [6, 6], num_prefix_tokens=0)
    assert torch.equal(CroppedPositions(random_embedding(), 16).embedding, theirs.reshape(16, 16, 5))


@pytest.mark.parametrize("training", [True, False])
def test_the_gradient_is_that_of_finite_differences(training):
    positions = CroppedPositions(random_embedding(4, 4, 2).double(), 4).train(training)

    def sampled(embedding):
        torch.manual_seed(0)
        return torch.func.functional_call(positions, {"embedding": embedding}, ((3, 2), 2))

    assert torch.autograd.gradcheck(sampled, positions.embedding)


def test_the_parameter_is_no_view_of_what_it_was_made_of():
    embedding = random_embedding()
    for positions in (LearnedPositions(embedding), CroppedPositions(embedding, 6)):
        embedding.zero_()
        assert positions.embedding.any()
        embedding.copy_(random_embedding())


def test_a_grid_larger_than_the_embedding_is_refused():
    for positions in (CroppedPositions(random_embedding(), 8), CroppedPositions(random_embedding(), 8).eval()):
        with pytest.raises(ValueError, match="8 x 8 cells and the images 4 x 9 patches"):
            positions((4, 9), 1)


def test_a_grid_without_cells_is_refused():
    with pytest.raises(ValueError, match="got 0"):
        CroppedPositions(random_embedding(), 0)
