"""State, precision, files and folding, which are the same for every method."""

import copy
import pickle
from contextlib import contextmanager

import pytest
import torch
from normalizer_samples import ELEMENTWISE, METHODS, features, fitted, moments_of
from safetensors import safe_open
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.testing import assert_close

from phis_lab.linalg import Moments
from phis_lab.normalizers import Normalizer, PartialWhiten, PhiS, Standardize, ZCAWhiten

DIM = 12
every_method = pytest.mark.parametrize("method", METHODS)


@every_method
def test_a_state_dict_restores_a_fresh_instance(method):
    rows = features(DIM)
    normalizer = METHODS[method](DIM).fit(moments_of(rows))
    fresh = METHODS[method](DIM)
    assert not fresh.is_fitted
    fresh.load_state_dict(normalizer.state_dict())
    assert fresh.is_fitted
    assert torch.equal(fresh(rows), normalizer(rows))
    assert torch.equal(fresh.inverse(rows), normalizer.inverse(rows))


def test_a_state_dict_reaches_a_normalizer_inside_another_module():
    rows = features(DIM)
    fresh = nn.ModuleDict({"teacher": PhiS(DIM)})
    fresh.load_state_dict(nn.ModuleDict({"teacher": PhiS(DIM).fit(moments_of(rows))}).state_dict())
    assert fresh["teacher"].is_fitted


def test_loading_an_unfitted_state_unfits():
    normalizer = PhiS(DIM).fit(moments_of(features(DIM)))
    normalizer.load_state_dict(PhiS(DIM).state_dict())
    with pytest.raises(ValueError, match="call fit"):
        normalizer(torch.zeros(DIM))


@every_method
def test_a_file_restores_class_options_and_map(method, tmp_path):
    rows = features(DIM)
    normalizer = METHODS[method](DIM).fit(moments_of(rows))
    normalizer.save(tmp_path / "n.safetensors")
    loaded = Normalizer.load(tmp_path / "n.safetensors")
    assert type(loaded) is type(normalizer)
    assert torch.equal(loaded(rows), normalizer(rows))


def test_a_file_tells_the_options_in_plain_text(tmp_path):
    normalizer = PartialWhiten(DIM, gamma=0.3, floor=1e-4).fit(moments_of(features(DIM)))
    normalizer.save(tmp_path / "n.safetensors")
    with safe_open(tmp_path / "n.safetensors", framework="pt") as file:
        metadata = file.metadata()
    assert len(metadata.pop("content_sha256")) == 64
    assert metadata == {"normalizer": "PartialWhiten", "options": '{"dim": 12, "gamma": 0.3, "floor": 0.0001}'}
    assert PartialWhiten.load(tmp_path / "n.safetensors").gamma == 0.3


def test_a_file_of_another_class_is_refused(tmp_path):
    PhiS(DIM).fit(moments_of(features(DIM))).save(tmp_path / "n.safetensors")
    with pytest.raises(ValueError, match=r"must hold one of \['ZCAWhiten'\], got PhiS"):
        ZCAWhiten.load(tmp_path / "n.safetensors")
    Moments(2).update(torch.randn(5, 2)).save(tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match="got None"):
        Normalizer.load(tmp_path / "m.safetensors")


@every_method
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("replicas", [1, 4])
def test_a_folded_layer_gives_the_inverse_of_the_layer(method, bias, replicas):
    normalizer = fitted(method, features(DIM))
    linear = nn.Linear(5, replicas * DIM, bias=bias, dtype=torch.float64)
    z = torch.randn(7, 5, dtype=torch.float64)
    expected = normalizer.inverse(linear(z).reshape(7, replicas, DIM)).flatten(1)
    folded = normalizer.fold_into(linear)
    assert_close(folded(z), expected, rtol=1e-10, atol=1e-10)
    assert folded is not linear


def test_folding_draws_no_random_numbers():
    normalizer, linear = fitted("phis", features(DIM)), nn.Linear(5, DIM)
    before = torch.get_rng_state()
    normalizer.fold_into(linear)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("trainable", [True, False])
def test_a_folded_layer_is_trainable_if_the_layer_is(trainable):
    folded = fitted("phis", features(DIM)).fold_into(nn.Linear(5, DIM).requires_grad_(trainable))
    assert folded.weight.requires_grad == folded.bias.requires_grad == trainable


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_folded_layer_keeps_the_precision_of_the_layer(dtype):
    folded = fitted("phis", features(DIM)).fold_into(nn.Linear(5, DIM, dtype=dtype))
    assert folded.weight.dtype == folded.bias.dtype == dtype


@every_method
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_low_precision_inputs_are_computed_in_float32(method, dtype):
    rows = features(DIM).to(dtype)
    normalizer = METHODS[method](DIM).fit(moments_of(rows))
    y = normalizer(rows)
    assert y.dtype == normalizer.inverse(y).dtype == torch.float32
    assert_close(y, normalizer(rows.float()), rtol=0, atol=0)
    assert_close(y.double(), copy.deepcopy(normalizer).double()(rows), rtol=1e-4, atol=1e-4)
    assert normalizer.affine()[0].dtype == torch.float32


@every_method
def test_double_gives_float64_maths_before_and_after_fit(method):
    rows = features(DIM)
    before = METHODS[method](DIM).double().fit(moments_of(rows))
    after = METHODS[method](DIM).fit(moments_of(rows)).double()
    for normalizer in (before, after):
        assert normalizer(rows.float()).dtype == torch.float64
        assert normalizer.affine()[0].dtype == torch.float64
        assert_close(normalizer.inverse(normalizer(rows)), rows, rtol=1e-12, atol=1e-12)
    assert torch.equal(before(rows), after(rows))
    assert torch.equal(before(rows), after.half().float().double()(rows))


@every_method
def test_half_and_bfloat16_modules_still_compute_in_float32(method):
    rows = features(DIM)
    normalizer = METHODS[method](DIM).fit(moments_of(rows))
    expected = normalizer(rows.float())
    assert torch.equal(normalizer.to(torch.bfloat16)(rows.float()), expected)


@every_method
def test_autocast_does_not_lower_the_precision(method):
    rows = features(DIM).float()
    normalizer = METHODS[method](DIM).fit(moments_of(rows))
    expected = normalizer(rows)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(normalizer(rows), expected)


@contextmanager
def tf32_allowed():
    allowed = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(allowed)


def test_a_product_on_cuda_forbids_tf32_while_it_lasts(monkeypatch):
    normalizer = fitted("phis", features(DIM)).float()
    seen = []

    def linear(x, *_):
        seen.append(torch.get_float32_matmul_precision())
        return x

    monkeypatch.setattr(torch.nn.functional, "linear", linear)
    with FakeTensorMode():
        on_cuda = torch.empty(2, DIM, device="cuda")
    with tf32_allowed():
        normalizer.inverse(on_cuda)
        assert torch.get_float32_matmul_precision() == "high"
    assert seen == ["highest"]


@pytest.mark.gpu
@every_method
def test_tf32_does_not_lower_the_precision(method):
    rows = features(DIM).float().cuda()
    normalizer = METHODS[method](DIM).cuda().fit(moments_of(rows))
    expected, inverse = normalizer(rows), normalizer.inverse(rows)
    with tf32_allowed():
        assert torch.equal(normalizer(rows), expected)
        assert torch.equal(normalizer.inverse(rows), inverse)


@every_method
@pytest.mark.parametrize("offset", [1, 100])
def test_float32_is_within_a_thousandth_far_from_zero_and_round_trips(method, offset):
    dim = 192
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(dim, dim, generator=generator) / dim**0.5
    rows = torch.randn(1000, dim, generator=generator) @ mix
    rows = rows / rows.std(0) + offset
    normalizer = METHODS[method](dim).fit(moments_of(rows))
    y = normalizer(rows)
    exact = copy.deepcopy(normalizer).double()(rows.double())
    assert (y - exact).abs().max() < 1e-3
    assert_close(normalizer.inverse(y), rows, rtol=1e-5, atol=1e-4)


@every_method
def test_any_leading_axes_are_allowed(method):
    rows = features(DIM)
    normalizer = fitted(method, rows)
    expected = normalizer(rows)
    assert_close(normalizer(rows.reshape(4, 10, 10, DIM)), expected.reshape(4, 10, 10, DIM))
    assert_close(normalizer(rows[0]), expected[0])
    assert normalizer(rows[:0]).shape == (0, DIM)


@every_method
def test_gradients_flow_to_the_input_even_if_fitted_in_inference_mode(method):
    rows = features(DIM)
    normalizer = METHODS[method](DIM)
    with torch.inference_mode():
        normalizer.fit(moments_of(rows))
        normalizer(rows)
    x = rows.clone().requires_grad_()
    normalizer(x).square().sum().backward()
    assert x.grad is not None
    assert not any(parameter.requires_grad for parameter in normalizer.parameters())


@every_method
def test_copies_and_pickles_are_independent(method):
    rows = features(DIM)
    normalizer = METHODS[method](DIM).fit(moments_of(rows))
    expected = normalizer(rows)
    for other in (copy.deepcopy(normalizer), pickle.loads(pickle.dumps(normalizer))):
        assert torch.equal(other(rows), expected)
        other.fit(moments_of(rows * 2 + 1))
        assert torch.equal(normalizer(rows), expected)


@every_method
def test_refitting_replaces_the_map(method):
    first, second = features(DIM), features(DIM, seed=1)
    normalizer = fitted(method, first)
    normalizer(first)
    assert torch.equal(normalizer.fit(moments_of(second))(second), fitted(method, second)(second))


@every_method
def test_methods_say_which_moments_suffice(method):
    rows = features(DIM)
    diagonal = Moments(DIM, diagonal=True).update(rows)
    normalizer = METHODS[method](DIM)
    if normalizer.needs_covariance:
        with pytest.raises(ValueError, match="needs the covariance"):
            normalizer.fit(diagonal)
    else:
        full = METHODS[method](DIM).fit(moments_of(rows))
        assert_close(normalizer.fit(diagonal)(rows), full(rows))


@pytest.mark.parametrize("method", ELEMENTWISE)
def test_scalar_and_channel_methods_hold_vectors_only(method):
    assert all(value.ndim < 2 for value in fitted(method, features(DIM)).state_dict().values())


@every_method
@pytest.mark.parametrize("dead", [1, DIM - 1])
def test_dead_channels_stay_finite_and_invertible(method, dead):
    rows = features(DIM)
    rows[:, :dead] = 0.3
    normalizer = fitted(method, rows)
    y = normalizer(rows)
    assert y.isfinite().all()
    assert_close(normalizer.inverse(y), rows, rtol=1e-9, atol=1e-9)
    assert_close(normalizer(normalizer.inverse(rows)), rows, rtol=1e-6, atol=1e-6)


@every_method
def test_fewer_samples_than_channels_stay_finite_and_invertible(method):
    rows = features(DIM, count=4)
    normalizer = fitted(method, rows)
    assert normalizer(rows).isfinite().all()
    assert_close(normalizer.inverse(normalizer(rows)), rows, rtol=1e-9, atol=1e-9)


@every_method
def test_a_channel_ten_thousand_times_the_others_round_trips_in_float32(method):
    rows = features(DIM, decay=0.5).float()
    rows[:, 5] *= 1e4
    normalizer = METHODS[method](DIM).fit(moments_of(rows))
    y = normalizer(rows)
    assert y.isfinite().all()
    if method in ("phis", "pca_scale", "center_scale"):
        assert y.double().var(0).mean().item() == pytest.approx(1, rel=1e-5)
    assert_close(normalizer.inverse(y)[:, 5], rows[:, 5], rtol=1e-5, atol=1e-2)


@pytest.mark.parametrize("method", ["standardize", "pca_whiten", "zca_whiten"])
def test_without_a_floor_a_channel_ten_thousand_times_the_others_gets_unit_variance(method):
    rows = features(DIM, decay=0.5)
    rows[:, 5] *= 1e4
    normalizer = type(METHODS[method](DIM))(DIM, floor=0).double().fit(moments_of(rows))
    assert_close(normalizer(rows).var(0), torch.ones(DIM, dtype=torch.float64), rtol=1e-6, atol=0)


def test_the_floor_bounds_the_gain_relative_to_the_mean_variance():
    rows = features(DIM)
    rows[:, 0] = 7.0
    scale = Standardize(DIM, floor=1e-4).fit(moments_of(rows)).scale
    assert scale[0].item() == pytest.approx((1e-4 * rows.var(0).mean().item()) ** -0.5)


def test_printing_tells_the_size():
    assert repr(PhiS(DIM)) == "PhiS(dim=12)"
