"""Each matrix by either library, at sizes on both sides of a panel: the fast path equals the plain version."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from phis_lab.linalg.cpu import (
    add_gram,
    float64_gram,
    float64_product,
    matrices,
    mirrored,
    mkl_is_narrow,
    numpy_gram,
    one_torch_thread,
    symmetric_eigh,
)

dims = st.sampled_from([1, 5, 127, 128, 129, 300])


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
    monkeypatch.setattr(matrices.torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    monkeypatch.setattr(matrices.torch.backends.mkl, "is_available", lambda: True)
    assert mkl_is_narrow() == narrow


@pytest.mark.usefixtures("unknown_processor")
def test_a_torch_that_does_not_know_the_processor_keeps_to_its_own_library(monkeypatch):
    monkeypatch.delattr(matrices.torch.cpu, "get_capabilities", raising=False)
    assert not mkl_is_narrow()


def test_the_threads_of_torch_come_back_after_numpys_product(monkeypatch):
    threads = [3]
    monkeypatch.setattr(matrices.torch, "get_num_threads", lambda: threads[-1])
    monkeypatch.setattr(matrices.torch, "set_num_threads", threads.append)
    with one_torch_thread():
        assert threads == [3, 1]
    assert threads == [3, 1, 3]


@given(dim=dims, count=st.integers(1, 20), seed=st.integers(0, 1000))
def test_panels_add_the_product_to_what_was_there(dim, count, seed):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, dim, dtype=torch.float64, generator=generator)
    before = torch.randn(dim, dim, dtype=torch.float64, generator=generator)
    before = before + before.T
    scatter = before.clone()
    add_gram(scatter, rows)
    torch.testing.assert_close(mirrored(scatter), before + rows.T @ rows, rtol=1e-12, atol=1e-12)


@given(dim=dims, seed=st.integers(0, 1000))
def test_a_mirrored_matrix_is_symmetric_whatever_lay_below(dim, seed):
    matrix = torch.randn(dim, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    whole = mirrored(matrix)
    assert torch.equal(whole, whole.T)
    assert torch.equal(whole.triu(), matrix.triu())
    assert whole.data_ptr() != matrix.data_ptr()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numpy_gives_the_same_product_and_keeps_its_precision(dtype):
    rows = torch.randn(500, 40, dtype=dtype)
    product = numpy_gram(rows)
    assert product.dtype == dtype
    torch.testing.assert_close(product, rows.T @ rows, rtol=1e-5, atol=1e-4)


by_either_library = pytest.mark.parametrize("narrow", [False, True], ids=["torch", "numpy"])
sizes = st.integers(1, 40)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@by_either_library
@given(dim=dims, seed=st.integers(0, 1000))
def test_a_float64_gram_is_the_product_and_exactly_symmetric(narrow, dim, seed):
    rows = drawn(7, dim, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matrices, "mkl_is_narrow", lambda: narrow)
        product = float64_gram(rows)
    assert torch.equal(product, product.T)
    torch.testing.assert_close(product, rows.T @ rows, rtol=1e-12, atol=1e-12)


@by_either_library
@given(size=sizes, seed=st.integers(0, 1000))
def test_a_float64_product_is_torchs_also_of_a_transposed_factor(narrow, size, seed):
    a, b = drawn(30, size, seed=seed), drawn(40, size, seed=seed + 1).T
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matrices, "mkl_is_narrow", lambda: narrow)
        product = float64_product(a, b)
    torch.testing.assert_close(product, a @ b, rtol=1e-12, atol=1e-12)


@by_either_library
@given(dim=sizes, seed=st.integers(0, 1000))
def test_eigenvectors_rebuild_the_matrix_and_the_eigenvalues_are_torchs(narrow, dim, seed):
    square = drawn(dim, dim, seed=seed)
    matrix = square + square.T
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matrices, "mkl_is_narrow", lambda: narrow)
        values, vectors = symmetric_eigh(matrix)
    torch.testing.assert_close(values, torch.linalg.eigvalsh(matrix), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(vectors * values @ vectors.T, matrix, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(vectors.T @ vectors, torch.eye(dim, dtype=torch.float64), rtol=0, atol=1e-12)


def test_without_numpy_torch_does_it_all(monkeypatch):
    monkeypatch.setattr(matrices, "mkl_is_narrow", lambda: True)
    monkeypatch.setattr(matrices, "numpy", lambda: None)
    a = drawn(30, 30)
    assert torch.equal(float64_product(a, a), a @ a)
    torch.testing.assert_close(float64_gram(a), a.T @ a, rtol=1e-12, atol=1e-12)
    assert torch.equal(symmetric_eigh(a + a.T)[0], torch.linalg.eigh(a + a.T)[0])
