import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from phis_lab.linalg import equal_diagonal_rotation, hadamard_rotation, random_rotation

spectra = st.lists(st.floats(0, 1e8, allow_subnormal=False), min_size=1, max_size=40).map(
    lambda values: torch.tensor(values, dtype=torch.float64)
)


def assert_orthogonal(matrix: torch.Tensor) -> None:
    identity = torch.eye(len(matrix), dtype=torch.float64)
    torch.testing.assert_close(matrix @ matrix.T, identity, rtol=0, atol=1e-13)


def assert_equal_diagonal(rotation: torch.Tensor, spectrum: torch.Tensor) -> None:
    diagonal = (rotation * spectrum @ rotation.T).diagonal()
    mean = spectrum.mean()
    assert (diagonal - mean).abs().max() <= 1e-12 * mean


@given(spectrum=spectra)
def test_equal_diagonal_rotation_equalises_any_spectrum(spectrum):
    rotation = equal_diagonal_rotation(spectrum)
    assert_orthogonal(rotation)
    assert_equal_diagonal(rotation, spectrum)


@pytest.mark.parametrize("dim", [1, 2, 3, 6, 14, 92, 188, 768])
@pytest.mark.parametrize("power", [0.0, 1.5, 8.0])
def test_equal_diagonal_rotation_is_exact_for_heavy_spectra(dim, power):
    spectrum = torch.arange(1, dim + 1, dtype=torch.float64) ** -power
    rotation = equal_diagonal_rotation(spectrum)
    assert_orthogonal(rotation)
    assert_equal_diagonal(rotation, spectrum)


def test_one_eigenvalue_among_1536_is_spread_evenly():
    spectrum = torch.zeros(1536, dtype=torch.float64)
    spectrum[700] = 3e8
    assert_equal_diagonal(equal_diagonal_rotation(spectrum), spectrum)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_equal_diagonal_rotation_has_the_precision_of_the_spectrum(dtype):
    spectrum = torch.arange(1, 15).to(dtype)
    rotation = equal_diagonal_rotation(spectrum)
    assert rotation.dtype == dtype
    assert torch.equal(rotation, equal_diagonal_rotation(spectrum.double()).to(dtype))


def test_equal_diagonal_rotation_of_equal_values_is_the_identity():
    assert torch.equal(equal_diagonal_rotation(torch.full((5,), 0.1)), torch.eye(5))


def test_equal_diagonal_rotation_refuses_nan():
    with pytest.raises(ValueError, match="NaN or inf"):
        equal_diagonal_rotation(torch.tensor([1.0, float("nan")]))


@pytest.mark.parametrize("dim", [1, 2, 4, 12, 36, 768])
def test_hadamard_rotation_has_entries_of_one_size_and_a_positive_diagonal(dim):
    rotation = hadamard_rotation(dim)
    assert_orthogonal(rotation)
    torch.testing.assert_close(rotation.abs(), torch.full_like(rotation, dim**-0.5))
    assert (rotation.diagonal() > 0).all()


@given(dim=st.integers(1, 30), seed=st.integers(0, 2**31))
def test_random_rotations_are_orthogonal_and_belong_to_their_seed(dim, seed):
    rotation = random_rotation(dim, seed)
    assert_orthogonal(rotation)
    assert torch.equal(rotation, random_rotation(dim, seed))


def test_random_rotations_have_no_preferred_direction():
    entries = torch.stack([random_rotation(3, seed) for seed in range(400)])
    torch.testing.assert_close(entries.mean(0), torch.zeros(3, 3, dtype=torch.float64), rtol=0, atol=0.13)
    torch.testing.assert_close(
        entries.square().mean(0), torch.full((3, 3), 1 / 3, dtype=torch.float64), rtol=0, atol=0.1
    )
