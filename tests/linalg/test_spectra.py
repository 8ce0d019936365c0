import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from phis_lab.linalg import processor, spectra
from phis_lab.linalg.processor import mkl_is_narrow
from phis_lab.linalg.spectra import symmetric_eigh


def symmetric(dim: int, seed: int) -> torch.Tensor:
    matrix = torch.randn(dim, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return matrix + matrix.T


@pytest.mark.parametrize("narrow", [False, True])
@given(dim=st.integers(1, 40), seed=st.integers(0, 1000))
def test_eigenvectors_rebuild_the_matrix_by_either_library(narrow, dim, seed):
    matrix = symmetric(dim, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spectra, "mkl_is_narrow", lambda: narrow)
        values, vectors = symmetric_eigh(matrix)
    assert (values.diff() >= 0).all()
    torch.testing.assert_close(vectors * values @ vectors.T, matrix, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(vectors.T @ vectors, torch.eye(dim, dtype=torch.float64), rtol=0, atol=1e-12)


def test_without_numpy_torch_solves(monkeypatch):
    monkeypatch.setattr(spectra, "mkl_is_narrow", lambda: True)
    monkeypatch.setattr(spectra, "numpy", lambda: None)
    matrix = symmetric(12, 0)
    assert torch.equal(symmetric_eigh(matrix)[0], torch.linalg.eigh(matrix)[0])


@pytest.fixture
def unknown_processor():
    """Forgets the processor before and after."""
    mkl_is_narrow.cache_clear()
    yield
    mkl_is_narrow.cache_clear()


@pytest.mark.usefixtures("unknown_processor")
@pytest.mark.parametrize(
    ("capabilities", "narrow"),
    [
        ({"cpu_name": "AMD EPYC", "avx512_f": True}, True),
        ({"cpu_name": "AMD EPYC", "avx512_f": True, "amx_tile": True}, False),
        ({"cpu_name": "AMD EPYC", "avx512_f": False}, False),
        ({"cpu_name": "Intel(R) Xeon(R)", "avx512_f": True}, False),
        ({}, False),
    ],
)
def test_mkl_is_narrow_on_amd_processors_with_avx512(monkeypatch, capabilities, narrow):
    monkeypatch.setattr(processor.torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    monkeypatch.setattr(processor.torch.backends.mkl, "is_available", lambda: True)
    assert mkl_is_narrow() == narrow


@pytest.mark.usefixtures("unknown_processor")
def test_a_torch_that_does_not_know_the_processor_keeps_to_its_own_library(monkeypatch):
    monkeypatch.delattr(processor.torch.cpu, "get_capabilities", raising=False)
    assert not mkl_is_narrow()
