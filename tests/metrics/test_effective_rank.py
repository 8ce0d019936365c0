import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from phis_lab.linalg import Moments
from phis_lab.metrics import effective_rank, rank_of

DIM = 6


def embeddings(rows=40, offset=0.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return offset + torch.logspace(0, -2, DIM) * torch.randn(rows, DIM, generator=generator)


def numpy_rank(z):
    """RankMe, equations 1 and 2, literally."""
    s = np.linalg.svd(z.double().numpy().reshape(-1, DIM), compute_uv=False)
    p = s / s.sum() + 1e-15
    return np.exp(-(p * np.log(p)).sum())


def streamed(*batches):
    moments = Moments(DIM)
    for batch in batches:
        moments.update(batch)
    return rank_of(moments)


def test_singular_values_of_equal_size_use_every_dimension():
    basis = torch.linalg.qr(torch.randn(DIM, DIM, generator=torch.Generator().manual_seed(0))).Q
    assert_close(effective_rank(7 * basis).item(), float(DIM))
    assert_close(streamed(7 * basis).item(), float(DIM), rtol=1e-6, atol=0)


def test_singular_values_in_the_ratio_three_to_one():
    z = torch.zeros(4, DIM)
    z[0, 2], z[1, 4] = 3.0, -1.0
    expected = np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    assert_close(effective_rank(z).item(), expected)
    assert_close(streamed(z).item(), expected)


def test_multiples_of_one_embedding_have_rank_one():
    z = torch.linspace(-1, 3, 5)[:, None] * torch.arange(1.0, DIM + 1)
    assert_close(effective_rank(z).item(), 1.0, rtol=0, atol=1e-5)
    assert_close(streamed(z).item(), 1.0, rtol=0, atol=1e-5)


@pytest.mark.parametrize("rank", [effective_rank, streamed], ids=["function", "stream"])
def test_a_matrix_of_zeros_has_rank_zero(rank):
    assert rank(torch.zeros(3, DIM)) == 0


@given(sizes=st.lists(st.integers(2, 30), min_size=1, max_size=4), seed=st.integers(0, 100))
def test_any_batches_give_the_rank_of_all_rows_by_numpy(sizes, seed):
    z = embeddings(sum(sizes), offset=0.3, seed=seed)
    assert_close(effective_rank(z).item(), numpy_rank(z))
    assert_close(streamed(*z.split(sizes)).item(), numpy_rank(z), rtol=1e-6, atol=0)


@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 100))
def test_scale_and_rotation_change_nothing(scale, seed):
    z = embeddings(seed=seed).double()
    rotation = torch.linalg.qr(torch.randn(DIM, DIM, dtype=torch.float64)).Q
    assert_close(effective_rank(scale * z @ rotation), effective_rank(z))


def test_the_matrix_is_not_centred():
    assert effective_rank(embeddings(offset=10.0)) < 0.5 * effective_rank(embeddings())


def test_leading_axes_are_rows():
    z = embeddings(24)
    assert_close(effective_rank(z.view(2, 3, 4, DIM)), effective_rank(z))
    assert_close(streamed(z.view(2, 3, 4, DIM)), streamed(z))


def test_unused_dimensions_do_not_count_by_rounding():
    wide = torch.zeros(500, 200)
    wide[:, :DIM] = embeddings(500)
    mixed = wide.double() @ torch.linalg.qr(torch.randn(200, 200, dtype=torch.float64)).Q
    assert_close(rank_of(Moments(200).update(mixed)), effective_rank(wide), rtol=1e-9, atol=0)


def test_no_embeddings_are_refused():
    with pytest.raises(ValueError, match="at least one embedding"):
        effective_rank(torch.empty(0, DIM))
    with pytest.raises(ValueError, match="too few samples"):
        streamed(torch.empty(0, DIM))


def test_another_number_of_channels_is_refused():
    with pytest.raises(ValueError, match="have 6 channels"):
        streamed(torch.ones(3, DIM + 1))


def test_rows_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="NaN or inf"):
        streamed(torch.full((3, DIM), float("nan")))
