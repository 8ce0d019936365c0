"""Every number of the tables, against numpy on the gathered tokens."""

from itertools import permutations

import numpy as np
import pytest
import torch

from phis_lab.linalg import Moments, hadamard_rotation, random_rotation
from phis_lab.survey.passes import Collected
from phis_lab.survey.statistics import Channels, TeacherStatistics
from phis_lab.survey.summary import permutation_alignment, phis_rotation, summarise

DIM = 12


def test_a_permutation_with_any_signs_is_wholly_aligned():
    generator = torch.Generator().manual_seed(0)
    matrix = torch.eye(12, dtype=torch.float64)[torch.randperm(12, generator=generator)]
    matrix[::3] *= -1
    assert permutation_alignment(matrix)[:4] == (1, 1, 1, 12)


def test_a_hadamard_matrix_is_as_far_from_one_as_possible():
    found = permutation_alignment(hadamard_rotation(16))
    assert found[:4] == pytest.approx((0.25, 0.25, 0.25, 0))


@pytest.mark.parametrize("seed", range(4))
def test_the_matching_is_the_best_of_all(seed):
    rotation = random_rotation(6, seed)
    sizes = rotation.abs().numpy()
    best = max(permutations(range(6)), key=lambda columns: sizes[range(6), columns].sum())
    matched = sizes[range(6), best]
    expected = matched.mean(), matched.min(), matched.max(), (matched > 0.75).sum()
    np.testing.assert_allclose(permutation_alignment(rotation)[:4], expected, rtol=1e-12)


def test_random_rotations_are_as_alike_as_a_random_rotation():
    found = permutation_alignment(random_rotation(200, 7))
    assert found.mean == pytest.approx(found.random_mean, rel=0.05)


@pytest.mark.parametrize("dim", [12, 13])
def test_the_rotation_of_phis_is_one_and_equalises_the_variances(dim):
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randn(500, dim, generator=generator) @ torch.randn(dim, dim, generator=generator)
    moments = Moments(dim).update(tokens.double())
    rotation = phis_rotation(moments)
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(dim, dtype=torch.float64))
    turned = (rotation @ moments.covariance @ rotation.T).diagonal()
    torch.testing.assert_close(turned, turned.mean().expand(dim))


def features(images=40, side=3, dim=DIM, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dim, dim, generator=generator)
    shift = torch.randn(dim, generator=generator) * 3
    return torch.randn(images, side, side, dim, generator=generator) @ mixing + shift


def collected(spatial, parts=7) -> Collected:
    found = Collected((spatial.shape[1], spatial.shape[2]), spatial.shape[3])
    for part in spatial.split(parts):
        found.update(part)
    found.moments.provenance = {"teacher": "x", "image_size": "32", "grid": "3x3"}
    return found


def summary(spatial) -> TeacherStatistics:
    return summarise(collected(spatial), "somewhere")


def tokens_of(spatial):
    return spatial.double().reshape(-1, spatial.shape[-1]).numpy()


def test_channel_ranges_and_global_moments_are_numpys():
    x = features()
    tokens, found = tokens_of(x), summary(x).channels
    mean, std = tokens.mean(0), tokens.std(0, ddof=1)
    expected = mean.min(), mean.max(), std.min(), std.max(), tokens.mean()
    got = found.lowest_mean, found.highest_mean, found.lowest_std, found.highest_std, found.global_mean
    np.testing.assert_allclose(got, expected, rtol=1e-10)
    assert found.global_std == pytest.approx(tokens.std(), rel=2e-3)  # n - 1 within channels, C between them
    assert found.extreme == {
        "lowest mean": mean.argmin(),
        "highest mean": mean.argmax(),
        "smallest variance": std.argmin(),
        "largest variance": std.argmax(),
    }


def test_scales_are_those_of_the_normalisers_and_differ_by_the_channel_means():
    x = features()
    tokens, found = tokens_of(x), summary(x).scales
    within, between = tokens.var(0, ddof=1).mean(), tokens.mean(0).var()
    assert found.alpha_phis == pytest.approx(within**-0.5)
    assert found.alpha_global == pytest.approx((within + between) ** -0.5)
    assert found.from_means == pytest.approx(between / (within + between))
    assert (found.alpha_global / found.alpha_phis) ** 2 == pytest.approx(1 - found.from_means)


def test_the_effective_rank_is_that_of_the_singular_values_of_all_tokens():
    x = features()
    values = np.linalg.svd(tokens_of(x), compute_uv=False)
    shares = values / values.sum()
    expected = np.exp(-(shares * np.log(shares)).sum())
    assert summary(x).spectrum.effective_rank == pytest.approx(expected, rel=1e-9)


def test_the_spectrum_is_that_of_the_covariance():
    x = features()
    found = summary(x).spectrum
    expected = np.linalg.eigvalsh(np.cov(tokens_of(x).T))[::-1]
    np.testing.assert_allclose(found.eigenvalues, expected, rtol=1e-9)
    held = expected.cumsum() / expected.sum()
    assert found.components == {"90%": np.argmax(held >= 0.9) + 1, "99%": np.argmax(held >= 0.99) + 1}


def test_fewer_tokens_than_channels_have_a_rank_below_their_number():
    x = features(images=5, side=1)
    found = summary(x)
    assert found.tokens == 5
    assert found.spectrum.effective_rank <= 5
    assert sum(value > 1e-9 * found.spectrum.eigenvalues[0] for value in found.spectrum.eigenvalues) == 4


def test_dead_channels_are_those_that_do_not_vary():
    x = features()
    x[..., 4], x[..., 9] = 1.7, 0.0
    x[..., 2] = 5.0 + 1e-3 * x[..., 2]
    assert summary(x).channels.dead == (4, 9)


def test_histograms_are_numpys_within_five_deviations():
    x = features()
    tokens, found = tokens_of(x), summary(x)
    assert found.sampled == found.tokens == len(tokens)
    channel = found.channels.extreme["largest variance"]
    values, histogram = tokens[:, channel], found.activations["largest variance"]
    mean, std = values.mean(), values.std(ddof=1)
    assert (histogram.low, histogram.high) == pytest.approx((mean - 5 * std, mean + 5 * std))
    counts, _ = np.histogram(values, bins=100, range=(histogram.low, histogram.high))
    width = 10 * std / 100
    np.testing.assert_allclose(histogram.density, counts / len(values) / width, atol=1e-9)
    assert list(found.activations) == ["all channels", *found.channels.extreme]
    assert all(len(h.density) == 100 for h in found.activations.values())


def test_batches_change_nothing():
    x = features()
    first, second = summarise(collected(x, 7), ""), summarise(collected(x, 40), "")
    assert first.spectrum.effective_rank == pytest.approx(second.spectrum.effective_rank, rel=1e-9)
    assert (first.images, first.tokens, first.norms.outliers) == (second.images, second.tokens, second.norms.outliers)


def test_features_that_do_not_vary_are_refused():
    with pytest.raises(ValueError, match="all features are constant"):
        summary(torch.ones(4, 2, 2, 3))


def test_one_token_is_refused():
    with pytest.raises(ValueError, match="at least 2 rows are needed, got 1"):
        summary(features(images=1, side=1))


def test_numbers_survive_their_file():
    found = summary(features())
    assert TeacherStatistics.model_validate_json(found.model_dump_json()) == found
    assert isinstance(found.channels, Channels)
