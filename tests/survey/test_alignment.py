"""Likeness to a permutation, against a search through all permutations."""

from itertools import permutations

import numpy as np
import pytest
import torch

from phis_lab.linalg import Moments, hadamard_rotation, random_rotation
from phis_lab.survey.summary import permutation_alignment, phis_rotation


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
