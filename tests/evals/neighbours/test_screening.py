import pytest
import torch
from feature_kinds import DIM, KINDS, TEST, TRAIN, features, gaussian
from hypothesis import given
from hypothesis import strategies as st

from phis_lab.evals.neighbours.exact import unit_rows
from phis_lab.evals.neighbours.screening import Screen

DTYPES = [torch.bfloat16, torch.float32]


def three_alike_and_the_rest_opposite(draw):
    """Three rows equal the queries; all others lie so far off that they are further than the mean row."""
    train, test = draw(TRAIN, DIM), torch.zeros(TEST, DIM)
    train[:, 0], test[:, 0] = 0, 1
    train = 0.43 * train / train.norm(dim=1, keepdim=True)
    train[:, :1] = -0.9 + 0.002 * draw(TRAIN, 1)
    train[:12:4] = test[0]
    return train, test


def screened(train, test, dtype, k=1, floor=-torch.inf):
    """The candidates, the product that found them, and the similarities that it bounds, in float64."""
    screen = Screen(train, dtype, 512)
    product = torch.empty(len(test), screen.rows, dtype=dtype)
    found = screen.candidates(unit_rows(test), k, torch.full((len(test),), floor), product)
    truth = unit_rows(test) @ (unit_rows(train) - screen.centre).T
    return found, product.double(), truth


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 10_000), dtype=st.sampled_from(DTYPES))
def test_the_product_never_falls_below_the_similarity(kind, seed, dtype):
    _, product, truth = screened(*features(kind, seed), dtype)
    assert (product[:, :TRAIN] >= truth - product[:, :TRAIN].abs() * torch.finfo(dtype).eps / 2 - 1e-12).all()


@pytest.mark.parametrize("kind", [*KINDS, three_alike_and_the_rest_opposite])
@given(seed=st.integers(0, 10_000), dtype=st.sampled_from(DTYPES), k=st.integers(1, 30))
def test_the_k_nearest_are_candidates_of_every_query_that_is_not_crowded(kind, seed, dtype, k):
    found, _, truth = screened(*features(kind, seed), dtype, k)
    chosen = torch.zeros(truth.shape, dtype=torch.bool)
    chosen[found.query, found.train] = True
    wanted = truth >= truth.topk(k, dim=1).values[:, -1:]
    assert (chosen | ~wanted | found.crowded[:, None]).all()
    assert not chosen[found.crowded].any()


@given(seed=st.integers(0, 10_000), dtype=st.sampled_from(DTYPES), floor=st.floats(-1, 1))
def test_all_candidates_above_the_floor_are_kept_and_few_below(seed, dtype, floor):
    train, test = features(gaussian, seed)
    nearest = screened(train, test, dtype, 5)[0]
    kept = screened(train, test, dtype, 5, floor)[0]
    cosine = (unit_rows(test)[nearest.query] * unit_rows(train)[nearest.train]).sum(1)
    pairs = set(zip(kept.query.tolist(), kept.train.tolist(), strict=True))
    for pair, value in zip(zip(nearest.query.tolist(), nearest.train.tolist(), strict=True), cosine, strict=True):
        assert pair in pairs or value < floor
        assert pair not in pairs or value > floor - 0.05


@pytest.mark.parametrize("rows", [64, 65, 95, 100, TRAIN])
def test_rows_that_fill_up_the_last_block_are_nobodys_candidates(rows):
    train, test = features(gaussian, 0)
    found, product, _ = screened(train[:rows], test, torch.float32)
    assert product.shape == (TEST, -(-rows // 32) * 32)
    assert (product[:, rows:] == -torch.inf).all()
    assert (found.train < rows).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mean", [0, 10, 100])
def test_a_large_common_part_does_not_add_candidates(mean, dtype):
    train, test = features(gaussian, 0)
    found = screened(train + mean, test + mean, dtype, 5)[0]
    assert not found.crowded.any()
    assert len(found.query) < 12 * TEST
