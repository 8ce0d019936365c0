import pytest

from phis_lab.linalg.cpu import matrices as processor
from phis_lab.linalg.cpu import mkl_is_narrow, one_torch_thread


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


def test_the_threads_of_torch_come_back_after_numpys_product(monkeypatch):
    threads = [3]
    monkeypatch.setattr(processor.torch, "get_num_threads", lambda: threads[-1])
    monkeypatch.setattr(processor.torch, "set_num_threads", threads.append)
    with one_torch_thread():
        assert threads == [3, 1]
    assert threads == [3, 1, 3]
