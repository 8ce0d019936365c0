"""Norms of tokens, against numpy on all of them, and a sample that is the same however the tokens arrive."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from phis_lab.survey.tokens import SAMPLE_BYTES, TokenNorms, TokenSample

PRECISION = 2.5e-3


def norms_of(tokens, parts=100):
    norms = TokenNorms()
    for part in tokens.split(parts):
        norms.update(part)
    return norms


def heavy(count=5000, dim=8, scale=1.0):
    generator = torch.Generator().manual_seed(0)
    size = torch.randn(count, 1, generator=generator).mul(0.3).exp()
    return scale * size * torch.randn(count, dim, generator=generator)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e5])
def test_median_and_deviation_are_numpys(scale):
    tokens = heavy(scale=scale)
    found, norms = norms_of(tokens), np.linalg.norm(tokens.double().numpy(), axis=1)
    assert found.median == pytest.approx(np.median(norms), rel=PRECISION)
    expected = 1.4826 * np.median(np.abs(norms - np.median(norms)))
    assert found.deviation == pytest.approx(expected, rel=0.02)
    assert found.largest == pytest.approx(norms.max(), rel=1e-12)
    assert found.threshold == pytest.approx(max(np.median(norms) + 5 * expected, 2 * np.median(norms)), rel=0.02)


def test_planted_outliers_are_found_and_nothing_else():
    tokens = torch.nn.functional.normalize(heavy(), dim=1)
    tokens[::100] *= 10
    found = norms_of(tokens)
    assert found.outliers == pytest.approx(0.01)
    assert found.largest / found.median == pytest.approx(10, rel=PRECISION)


def test_a_tenth_more_than_the_others_is_no_outlier():
    tokens = torch.nn.functional.normalize(heavy(), dim=1)
    tokens[::100] *= 1.1
    assert norms_of(tokens).outliers == 0


def test_tokens_of_zeros_count_and_break_nothing():
    tokens = torch.cat([torch.zeros(10, 4), torch.ones(5, 4)])
    found = norms_of(tokens)
    assert (found.median, found.largest) == (0, 2)
    assert found.outliers == pytest.approx(1 / 3)
    assert norms_of(torch.zeros(10, 4)).distribution()[2].tolist() == [0.0]
    assert norms_of(torch.zeros(10, 4)).outliers == 0


def test_the_distribution_is_numpys_and_a_density():
    tokens = heavy()
    low, high, density = norms_of(tokens).distribution(per_decade=10)
    logs = np.log10(np.linalg.norm(tokens.double().numpy(), axis=1))
    expected, _ = np.histogram(logs, bins=len(density), range=(low, high), density=True)
    np.testing.assert_allclose(density.numpy(), expected, atol=1e-9)
    assert low <= logs.min()
    assert high >= logs.max()
    assert float(density.sum()) * (high - low) / len(density) == pytest.approx(1)


def numbered(count):
    return torch.arange(count, dtype=torch.float32)[:, None]


def sampled(count, size, parts, seed=0):
    sample = TokenSample(1, size, seed)
    for part in numbered(count).split(parts):
        sample.update(part)
    return sample.tokens.flatten().int().tolist()


@given(count=st.integers(1, 60), size=st.integers(1, 70), parts=st.integers(1, 60))
def test_it_holds_as_many_different_tokens_as_fit_in_their_order(count, size, parts):
    kept = sampled(count, size, parts)
    assert len(kept) == min(count, size)
    assert kept == sorted(set(kept))


@given(parts=st.integers(1, 100), seed=st.integers(0, 5))
def test_the_batches_do_not_matter(parts, seed):
    assert sampled(100, 10, parts, seed) == sampled(100, 10, 100, seed)


def test_early_and_late_tokens_have_the_same_chance():
    counts = np.zeros(20)
    for seed in range(1000):
        counts[sampled(20, 5, 3, seed)] += 1
    assert stats.chisquare(counts).pvalue > 1e-3


def test_by_default_it_takes_64_megabytes():
    assert TokenSample(1024).size * 1024 * 4 == SAMPLE_BYTES == 2**26


def test_maps_are_taken_token_by_token():
    sample = TokenSample(3)
    maps = torch.randn(2, 4, 4, 3).bfloat16()
    sample.update(maps)
    assert torch.equal(sample.tokens, maps.float().reshape(-1, 3))


def test_an_empty_sample_is_refused():
    with pytest.raises(ValueError, match="at least one token, got size=0"):
        TokenSample(3, 0)
