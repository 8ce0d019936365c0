from contextlib import contextmanager

import pytest
import torch

from phis_lab.precision import full_float32

by_backend = pytest.mark.skipif(
    not hasattr(torch.backends.mkldnn, "matmul"), reason="this torch has one setting for all backends"
)


@contextmanager
def settings_restored():
    """Puts back torch's own settings, by both of its ways."""
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = True


@pytest.mark.parametrize("allowed", ["highest", "high", "medium"])
def test_the_precision_of_the_process_is_raised_while_it_lasts(allowed):
    with settings_restored():
        torch.set_float32_matmul_precision(allowed)
        with full_float32():
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == allowed


def test_an_error_inside_restores_it_too():
    with settings_restored():
        torch.set_float32_matmul_precision("high")
        with pytest.raises(ZeroDivisionError), full_float32():
            raise ZeroDivisionError
        assert torch.get_float32_matmul_precision() == "high"


@by_backend
def test_precisions_that_were_set_by_backend_are_raised_and_restored():
    cuda, mkldnn = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul
    with settings_restored():
        cuda.fp32_precision, mkldnn.fp32_precision = "tf32", "bf16"
        with full_float32():
            assert cuda.fp32_precision == mkldnn.fp32_precision == "ieee"
        assert (cuda.fp32_precision, mkldnn.fp32_precision) == ("tf32", "bf16")


def test_medium_does_not_reach_a_product_on_the_cpu():
    x, weight = torch.randn(512, 512), torch.randn(512, 512)
    expected = torch.nn.functional.linear(x, weight)
    with settings_restored():
        torch.set_float32_matmul_precision("medium")
        with full_float32():
            assert torch.equal(torch.nn.functional.linear(x, weight), expected)


def test_convolutions_lose_no_bits_either_where_that_is_asked_for():
    def settings() -> tuple[bool, str]:
        return torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()

    with settings_restored():
        torch.set_float32_matmul_precision("high")
        with full_float32():
            assert settings() == (True, "highest")
        with full_float32(convolutions=True):
            assert settings() == (False, "highest")
        assert settings() == (True, "high")


@by_backend
def test_convolutions_whose_precision_was_set_by_backend_are_raised_and_restored():
    matmul, conv = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    before = matmul.fp32_precision, conv.fp32_precision
    try:
        matmul.fp32_precision, conv.fp32_precision = "tf32", "tf32"
        with full_float32(convolutions=True):
            assert matmul.fp32_precision == conv.fp32_precision == "ieee"
        assert (matmul.fp32_precision, conv.fp32_precision) == ("tf32", "tf32")
    finally:
        matmul.fp32_precision, conv.fp32_precision = before
