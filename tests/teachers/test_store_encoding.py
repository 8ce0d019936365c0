"""What each dtype loses is bounded, and the loss that is reported is the loss."""

from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_images import DrawnImages
from hypothesis import given
from hypothesis import strategies as st
from small_arms import patch_pool
from torch import Tensor

from phis_lab.teachers.store import FeatureStore, StoreDtype
from phis_lab.teachers.store.encoding import DTYPES, Noise, decode, encode, noise

shapes = st.sampled_from([(1, 3), (7, 5), (4, 2, 3, 6), (16, 2, 2, 1)])
scales = st.sampled_from([1e-30, 1e-3, 1.0, 300.0])
means = st.sampled_from([0.0, 1.0, -100.0])


def drawn(shape: tuple[int, ...], scale: float, mean: float, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    channels = torch.logspace(-1, 0, shape[-1])
    return torch.randn(shape, generator=generator) * channels * scale + mean


@given(shape=shapes, scale=scales, mean=means, seed=st.integers(0, 99))
def test_float32_loses_nothing(shape: tuple[int, ...], scale: float, mean: float, seed: int) -> None:
    values = drawn(shape, scale, mean, seed)
    encoded = encode(values, "float32")
    assert torch.equal(decode(*encoded), values)
    assert noise(values, encoded).squared_error == 0


@pytest.mark.parametrize(("dtype", "bits", "smallest"), [("bfloat16", 8, 2.0**-133), ("float16", 11, 2.0**-24)])
@given(shape=shapes, scale=scales, mean=means, seed=st.integers(0, 99))
def test_two_bytes_keep_half_a_unit_in_the_last_place(
    dtype: StoreDtype, bits: int, smallest: float, shape: tuple[int, ...], scale: float, mean: float, seed: int
) -> None:
    values = drawn(shape, scale, mean, seed)
    error = (decode(*encode(values, dtype)) - values).abs()
    assert bool((error <= values.abs() * 2.0**-bits + smallest).all())


@given(shape=shapes, scale=scales, mean=means, seed=st.integers(0, 99))
def test_int8_errs_by_half_a_step_of_each_channels_range(
    shape: tuple[int, ...], scale: float, mean: float, seed: int
) -> None:
    values = drawn(shape, scale, mean, seed)
    encoded = encode(values, "int8")
    flat = values.reshape(-1, shape[-1]).double()
    steps = (flat.amax(dim=0) - flat.amin(dim=0)) / 254
    error = (decode(*encoded).double() - values.double()).abs().reshape(-1, shape[-1])
    rounding = 4 * torch.finfo(torch.float32).eps * flat.abs().amax(dim=0) + 2.0**-120
    assert bool((error <= steps / 2 + rounding).all())
    assert encoded.values.dtype == torch.int8


def test_int8_keeps_a_channel_that_does_not_vary_exactly() -> None:
    values = torch.tensor([[0.0, 3.7, -1e-20]]).repeat(5, 1)
    assert torch.equal(decode(*encode(values, "int8")), values)


@pytest.mark.parametrize("dtype", list(DTYPES))
def test_the_loss_that_a_store_reports_is_the_loss_of_what_it_gives_back(tmp_path: Path, dtype: StoreDtype) -> None:
    images = DrawnImages(count=30, views=1)
    store = FeatureStore(tmp_path, dtype, patch_pool(), {(4, 4)}, images)
    store.prepare(torch.device("cpu"))
    keys = images.all_keys()
    read, true = store.read(keys, torch.device("cpu"))[4, 4], patch_pool()(images.batch(keys))
    for report in store.reports():
        for kind, value in report.relative_error.items():
            x, y = (getattr(features[report.teacher], kind).numpy().astype(np.float64) for features in (true, read))
            flat = x.reshape(-1, x.shape[-1])
            expected = np.square(x - y).sum() / (flat.var(axis=0).sum() * len(flat))
            assert value == pytest.approx(expected, rel=1e-3)
            assert value < {"float32": 1e-30, "bfloat16": 1e-4, "float16": 1e-5, "int8": 1e-3}[dtype]


def test_losses_of_blocks_add_up() -> None:
    assert Noise(1.0, 4.0).plus(Noise(2.0, 8.0)) == Noise(3.0, 12.0)
    assert Noise(1.0, 4.0).relative == 0.25
    assert Noise().relative == 0.0
