import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import hadamard as scipy_hadamard

from phis_lab.linalg import hadamard_matrix, is_hadamard_order
from phis_lab.linalg.hadamard import jacobsthal_matrix, prime_power, quadratic_character

FIELDS = [(3, 1), (5, 1), (13, 1), (101, 1), (3, 2), (5, 2), (3, 3), (7, 2), (3, 4), (5, 3)]
MULTIPLES_OF_4 = range(4, 2049, 4)
# PHI-S names these widths, or a common backbone has them.
WIDTHS = [192, 256, 384, 512, 576, 640, 672, 768, 896, 960, 1000, 1024, 1152, 1280, 1408, 1536]
PRIME_POWERS = [28, 36, 52, 100, 244, 340, 344, 580, 680, 688, 724]
orders = st.sampled_from([1, 2, *(n for n in range(4, 513, 4) if is_hadamard_order(n))])


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


def assert_hadamard(matrix: torch.Tensor, order: int) -> None:
    exact = matrix.to(torch.float32)
    assert matrix.shape == (order, order)
    assert torch.equal(exact.abs(), torch.ones(order, order))
    assert torch.equal(exact @ exact.T, order * torch.eye(order))


@given(order=orders)
def test_every_known_order_gives_orthogonal_rows_of_ones_and_minus_ones(order):
    assert_hadamard(hadamard_matrix(order), order)


@pytest.mark.parametrize("order", [*WIDTHS, *PRIME_POWERS])
def test_common_widths_and_prime_powers_have_a_matrix(order):
    assert_hadamard(hadamard_matrix(order), order)


@pytest.mark.slow
def test_known_orders_up_to_8192_can_be_built():
    probe = torch.randint(-99, 99, (8192, 2), dtype=torch.float32)
    for order in range(4, 8193, 52):
        if is_hadamard_order(order):
            matrix = hadamard_matrix(order, torch.float32)
            assert torch.equal(matrix @ (matrix.T @ probe[:order]) / order, probe[:order]), order


@pytest.mark.parametrize("exponent", range(10))
def test_powers_of_two_are_scipys(exponent):
    expected = torch.from_numpy(scipy_hadamard(2**exponent))
    assert torch.equal(hadamard_matrix(2**exponent, torch.int64), expected)


def test_coverage_is_that_of_prime_powers_and_all_kronecker_products():
    unknown = [n for n in MULTIPLES_OF_4 if not is_hadamard_order(n)]
    assert len(unknown) == 140
    assert unknown[:10] == [92, 116, 156, 172, 184, 188, 232, 236, 260, 268]
    of_64 = [n for n in range(64, 8193, 64) if not is_hadamard_order(n)]
    assert of_64 == [3776, 4672, 6464, 6848, 6976, 7232, 7552, 8128]
    of_32 = [n for n in range(32, 4097, 32) if not is_hadamard_order(n)]
    assert of_32 == [1888, 2336, 3232, 3424, 3488, 3616, 3776, 4064]


@given(order=st.integers(-10, 3000).filter(lambda n: n not in (1, 2) and n % 4))
def test_only_1_2_and_multiples_of_4_are_orders(order):
    assert not is_hadamard_order(order)


def test_the_largest_sylvester_factor_is_taken_first():
    expected = torch.kron(torch.from_numpy(scipy_hadamard(64)), hadamard_matrix(12, torch.int64))
    assert torch.equal(hadamard_matrix(768, torch.int64), expected)


def test_an_order_always_gives_the_same_matrix():
    assert torch.equal(hadamard_matrix(1152), hadamard_matrix(1152))


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.float16, torch.float64])
def test_entries_are_exact_in_the_type_asked_for(dtype):
    matrix = hadamard_matrix(12, dtype)
    assert matrix.dtype == dtype
    assert torch.equal(matrix.to(torch.int8), hadamard_matrix(12))


@pytest.mark.parametrize(("order", "below", "above"), [(92, 88, 96), (7, 4, 8), (3, 2, 4), (188, 180, 192)])
def test_an_unknown_order_is_refused_with_its_nearest_known_neighbours(order, below, above):
    with pytest.raises(ValueError, match=rf"order {order} .* {below} and {above}"):
        hadamard_matrix(order)


@pytest.mark.parametrize("order", [0, -4])
def test_an_order_that_is_not_positive_is_refused(order):
    with pytest.raises(ValueError, match=f"positive order, got {order}"):
        hadamard_matrix(order)
