"""A sample of tokens is uniform, bounded and the same however the tokens arrive."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from phis_lab.survey.tokens import SAMPLE_BYTES, TokenSample


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
