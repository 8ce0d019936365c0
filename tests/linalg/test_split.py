"""Products from bfloat16 halves, against float64 and the bound that the docstring states."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from shapes_of_users import unchecked
from torch import Tensor

from phis_lab.linalg import precise_linear, split_linear


def drawn(rows: int, inputs: int, outputs: int, spread: float, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, inputs, generator=generator) * torch.rand(inputs, generator=generator).mul(spread).exp()
    weight = torch.randn(outputs, inputs, generator=generator)
    return x, weight, torch.randn(outputs, generator=generator), x.mean(0)


@given(
    rows=st.integers(1, 40),
    inputs=st.integers(1, 300),
    outputs=st.integers(1, 40),
    spread=st.sampled_from([0.0, 3.0, 12.0]),
    seed=st.integers(0, 1000),
)
def test_no_output_is_further_off_than_halves_can_be(
    rows: int, inputs: int, outputs: int, spread: float, seed: int
) -> None:
    x, weight, bias, shift = drawn(rows, inputs, outputs, spread, seed)

    found = split_linear(x, weight, bias, shift)

    centred = (x - shift).double()
    exact = centred @ weight.double().T + bias.double()
    of_halves = 3.01 * 2**-18 * (centred.abs() @ weight.double().abs().T)
    of_sums = (3 * inputs + 2) * 2**-24 * (centred.abs() @ weight.double().abs().T + bias.double().abs()) * 1.01
    assert found.dtype == torch.float32
    assert bool(((found.double() - exact).abs() <= of_halves + of_sums).all())


def test_normalised_features_are_off_by_millionths_of_their_deviation() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(512, 768, generator=generator)
    rotation = torch.linalg.qr(torch.randn(768, 768, generator=generator)).Q

    error = split_linear(x, rotation).double() - x.double() @ rotation.double().T

    assert 1e-7 < error.square().mean().sqrt() < 6e-6
    assert error.abs().max() < 4e-5


def test_whitening_is_off_by_more_the_farther_eigenvalues_are_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(256, 256, generator=generator, dtype=torch.float64)).Q
    deviations = torch.logspace(0, -3, 256, dtype=torch.float64)
    x = (torch.randn(2048, 256, generator=generator, dtype=torch.float64) * deviations @ basis.T).float()
    weight = (basis / deviations).T.float()

    error = split_linear(x, weight).double() - x.double() @ weight.double().T

    assert 1e-5 < error.square().mean().sqrt() < 1e-3


def test_what_is_no_tensor_is_refused_in_a_sentence() -> None:
    with pytest.raises(TypeError, match="weight must be a torch tensor, got a list"), unchecked():
        split_linear(torch.ones(1, 2), [[1.0, 2.0]])


def test_numbers_that_bfloat16_holds_are_multiplied_exactly() -> None:
    x, weight = torch.tensor([[3.0, -0.5], [128.0, 0.25]]), torch.tensor([[2.0, 1.0], [0.0, 4.0]])
    assert torch.equal(split_linear(x, weight), x @ weight.T)


def test_float64_stays_exact() -> None:
    x, weight, bias, shift = (term.double() for term in drawn(5, 7, 3, 1.0, 0))
    assert torch.equal(split_linear(x, weight, bias, shift), precise_linear(x, weight, bias, shift))


@pytest.mark.gpu
def test_a_gpu_adds_up_in_float32() -> None:
    x, weight, bias, shift = (term.cuda() for term in drawn(300, 1280, 256, 3.0, 0))

    found = split_linear(x.reshape(3, 100, 1280), weight, bias, shift)

    centred = (x - shift).double()
    exact = centred @ weight.double().T + bias.double()
    bound = 4 * 2**-18 * (centred.abs() @ weight.double().abs().T)
    assert bool(((found.reshape(300, 256).double() - exact).abs() <= bound).all())
