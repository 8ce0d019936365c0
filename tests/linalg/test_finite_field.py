import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from phis_lab.linalg.hadamard import jacobsthal_matrix, prime_power, quadratic_character

FIELDS = [(3, 1), (5, 1), (13, 1), (101, 1), (3, 2), (5, 2), (3, 3), (7, 2), (3, 4), (5, 3)]


@given(p=st.sampled_from([2, 3, 5, 7, 11, 89]), k=st.integers(1, 4))
def test_a_prime_power_is_taken_apart(p, k):
    assert prime_power(p**k) == (p, k)


@pytest.mark.parametrize("q", [0, 1, 6, 12, 91, 100, 1001])
def test_other_numbers_are_no_prime_powers(q):
    assert prime_power(q) is None


@pytest.mark.parametrize("p", [3, 5, 7, 31, 97])
def test_over_a_prime_the_character_is_eulers_criterion(p):
    expected = [0] + [1 if pow(a, (p - 1) // 2, p) == 1 else -1 for a in range(1, p)]
    assert quadratic_character(p, 1).tolist() == expected


@pytest.mark.parametrize(("p", "k"), FIELDS)
def test_jacobsthal_matrices_satisfy_their_defining_equations(p, k):
    q = p**k
    matrix = jacobsthal_matrix(p, k).double()
    ones = torch.ones(q, q, dtype=torch.float64)
    assert torch.equal(matrix @ matrix.T, q * torch.eye(q, dtype=torch.float64) - ones)
    assert torch.equal(matrix @ ones, torch.zeros_like(ones))
    assert torch.equal(matrix.T, matrix if q % 4 == 1 else -matrix)
