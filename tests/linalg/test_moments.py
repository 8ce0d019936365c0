import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from phis_lab.linalg import Moments

seeds = st.integers(0, 2**31)
dims = st.integers(1, 12)


def rows_of(seed: int, count: int, dim: int, offset: float = 3.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(dim, dim, dtype=torch.float64, generator=generator)
    return torch.randn(count, dim, dtype=torch.float64, generator=generator) @ mix + offset


def assert_same_moments(moments: Moments, rows: torch.Tensor, rtol: float = 1e-12) -> None:
    expected = np.cov(rows.double().numpy(), rowvar=False).reshape(moments.dim, moments.dim)
    scale = float(np.diag(expected).max())
    assert moments.count == len(rows)
    torch.testing.assert_close(moments.mean, rows.double().mean(0), rtol=rtol, atol=rtol * scale**0.5)
    torch.testing.assert_close(moments.covariance, torch.from_numpy(expected), rtol=rtol, atol=rtol * scale)


@given(seed=seeds, dim=dims, cuts=st.lists(st.integers(0, 50), max_size=5))
def test_streaming_equals_the_batch_however_it_is_cut(seed, dim, cuts):
    rows = rows_of(seed, 50, dim)
    moments = Moments(dim)
    for part in rows.tensor_split(sorted(cuts)):
        moments.update(part)
    assert_same_moments(moments, rows)


@given(seed=seeds, dim=dims, order=st.permutations(range(4)))
def test_merging_is_free_of_order(seed, dim, order):
    rows = rows_of(seed, 60, dim)
    parts = [Moments(dim).update(part) for part in rows.tensor_split([3, 20, 21])]
    merged = Moments(dim)
    for i in order:
        merged.merge(parts[i])
    assert_same_moments(merged, rows)


@given(seed=seeds, dim=dims)
def test_a_mask_leaves_rows_out_whatever_they_hold(seed, dim):
    grid = rows_of(seed, 60, dim).reshape(5, 4, 3, dim)
    mask = torch.rand(5, 4, 3, generator=torch.Generator().manual_seed(seed)) < 0.7
    mask.view(-1)[:2] = True
    grid[~mask] = float("nan")
    assert_same_moments(Moments(dim).update(grid, mask), grid[mask])


def test_blocks_of_rows_add_up():
    rows = rows_of(0, 5000, 7)
    assert_same_moments(Moments(7).update(rows), rows)


@given(seed=seeds, dim=dims)
def test_diagonal_moments_keep_the_same_mean_and_variance(seed, dim):
    rows = rows_of(seed, 50, dim)
    full, diagonal = Moments(dim), Moments(dim, diagonal=True)
    for part in rows.split(17):
        full.update(part)
        diagonal.update(part)
    torch.testing.assert_close(diagonal.mean, full.mean, rtol=1e-13, atol=0)
    torch.testing.assert_close(diagonal.variance, full.covariance.diagonal(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("diagonal", [False, True])
def test_float32_rows_far_from_zero_lose_nothing(diagonal):
    rows = (torch.randn(20_000, 16, generator=torch.Generator().manual_seed(0)) + 100).float()
    moments = Moments(16, diagonal=diagonal).update(rows)
    expected = rows.double().var(0)
    torch.testing.assert_close(moments.variance, expected, rtol=1e-6, atol=0)
    if not diagonal:
        torch.testing.assert_close(moments.covariance, rows.double().T.cov(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("offset", [0, 100])
def test_the_moments_of_float32_rows_depend_on_no_cut(diagonal, offset):
    rows = torch.randn(5000, 24, generator=torch.Generator().manual_seed(0)) + offset
    whole, cut = Moments(24, diagonal).update(rows), Moments(24, diagonal)
    for part in rows.tensor_split([1, 700, 705, 3000]):
        cut.update(part)
    torch.testing.assert_close(cut.mean, whole.mean, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(cut.variance, whole.variance, rtol=1e-10, atol=0)
    if not diagonal:
        torch.testing.assert_close(cut.covariance, whole.covariance, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_covariance_is_that_of_the_rows_in_float64(dtype):
    rows = (torch.randn(3000, 24, generator=torch.Generator().manual_seed(0)) + 3).to(dtype)
    torch.testing.assert_close(Moments(24).update(rows).covariance, rows.double().T.cov())
    assert_same_moments(Moments(24).update(rows), rows)


def test_the_sums_of_many_float32_rows_are_those_in_float64():
    rows = torch.randn(20_000, 16, generator=torch.Generator().manual_seed(0))
    mean = Moments(16).update(rows).mean
    torch.testing.assert_close(mean, rows.double().mean(0), rtol=0, atol=1e-8)
    variance = Moments(16, diagonal=True).update(rows).variance
    torch.testing.assert_close(variance, rows.double().var(0), rtol=1e-12, atol=0)


@given(value=st.floats(-1e6, 1e6, width=32), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_a_constant_channel_has_a_variance_of_exactly_zero(value, dtype):
    rows = torch.randn(3000, 3).to(dtype)
    rows[:, 1] = value
    moments = Moments(3).update(rows).update(rows[:7])
    assert moments.variance[1] == 0
    assert moments.mean[1] == torch.tensor(value, dtype=dtype)


@given(seed=seeds, dim=dims)
def test_eigh_gives_descending_eigenvalues_and_a_positive_diagonal(seed, dim):
    moments = Moments(dim).update(rows_of(seed, 40, dim))
    values, basis = moments.eigh()
    assert (values.diff() <= 0).all()
    assert (basis.diagonal() >= 0).all()
    torch.testing.assert_close(basis * values @ basis.T, moments.covariance, rtol=1e-10, atol=1e-10)


def test_a_rank_deficient_covariance_has_no_negative_eigenvalues():
    values, _ = Moments(20).update(torch.randn(5, 20)).eigh()
    assert (values >= 0).all()


def test_eigh_is_remembered_until_the_next_update():
    moments = Moments(4).update(rows_of(0, 20, 4))
    assert moments.eigh() is moments.eigh()
    before = moments.eigh()[0].clone()
    moments.update(rows_of(1, 20, 4))
    assert not torch.equal(moments.eigh()[0], before)


def test_the_same_rows_give_the_same_bits():
    rows = rows_of(0, 3000, 40).float()
    first, second = (Moments(40).update(rows) for _ in range(2))
    assert torch.equal(first.covariance, second.covariance)
    assert torch.equal(first.eigh()[1], second.eigh()[1])


def moments_elsewhere(count: int) -> Moments:
    """Moments on a device that every machine has, though it keeps no values."""
    mean, scatter = torch.zeros(3, device="meta"), torch.zeros(3, 3, device="meta")
    moments = Moments(3)
    moments.load_state_dict({"count": torch.tensor(count), "mean": mean, "scatter": scatter})
    return moments


def test_moments_stay_on_the_device_of_their_first_rows():
    elsewhere = moments_elsewhere(9)
    assert elsewhere.update(torch.randn(5, 3)).covariance.is_meta
    assert elsewhere.merge(Moments(3).update(torch.randn(5, 3))).covariance.is_meta
    assert elsewhere.count == 19
    assert not moments_elsewhere(0).update(torch.randn(5, 3)).covariance.is_meta


def test_empty_moments_take_the_device_of_those_they_merge():
    assert Moments(3).merge(moments_elsewhere(9)).covariance.is_meta
    here = Moments(3).update(torch.randn(5, 3))
    merged, before = moments_elsewhere(0).merge(here), here.covariance
    assert torch.equal(merged.covariance, before)
    merged.merge(Moments(3).update(torch.randn(5, 3)))
    assert torch.equal(here.covariance, before)


def test_merging_leaves_the_other_and_earlier_states_alone():
    one, two = (Moments(3).update(rows_of(seed, 9, 3)) for seed in (0, 1))
    state = {name: value.clone() for name, value in one.state_dict().items()}
    kept, other = one.state_dict(), two.covariance
    one.merge(two)
    one.update(rows_of(2, 9, 3))
    assert all(torch.equal(kept[name], state[name]) for name in state)
    assert torch.equal(two.covariance, other)


@pytest.mark.parametrize("diagonal", [False, True])
def test_a_state_dict_restores_the_moments(diagonal):
    moments = Moments(5, diagonal).update(rows_of(0, 30, 5))
    restored = Moments(5, diagonal)
    restored.load_state_dict(moments.state_dict())
    restored.update(rows_of(1, 30, 5))
    moments.update(rows_of(1, 30, 5))
    assert restored.count == moments.count
    assert torch.equal(restored.variance, moments.variance)


@pytest.mark.parametrize("diagonal", [False, True])
def test_a_file_keeps_moments_and_their_provenance(tmp_path, diagonal):
    provenance = {"teacher": "xfeat", "layer": "last", "resolution": "224"}
    moments = Moments(5, diagonal, provenance).update(rows_of(0, 30, 5))
    moments.save(tmp_path / "m.safetensors")
    loaded = Moments.load(tmp_path / "m.safetensors")
    assert (loaded.dim, loaded.diagonal, loaded.count) == (5, diagonal, 30)
    assert loaded.provenance == provenance
    assert torch.equal(loaded.variance, moments.variance)
    with safe_open(tmp_path / "m.safetensors", framework="pt") as file:
        metadata = file.metadata()
    assert len(metadata.pop("content_sha256")) == 64
    assert metadata == {**provenance, "moments_format": "2"}


def test_a_file_without_provenance_can_be_loaded(tmp_path):
    Moments(2).update(rows_of(0, 9, 2)).save(tmp_path / "m.safetensors")
    assert Moments.load(tmp_path / "m.safetensors").provenance == {}


def test_moments_gathered_in_inference_mode_can_be_used_outside():
    moments = Moments(3)
    with torch.inference_mode():
        moments.update(torch.randn(10, 3))
        moments.merge(Moments(3).update(torch.randn(10, 3)))
    moments.update(torch.randn(10, 3))
    assert moments.count == 30
    assert not moments.covariance.is_inference()


def test_updating_takes_no_part_in_autograd():
    assert not Moments(3).update(torch.randn(10, 3, requires_grad=True)).covariance.requires_grad


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("diagonal", [False, True])
def test_rows_with_nan_or_inf_are_refused_and_leave_no_trace(bad, diagonal):
    rows = rows_of(0, 5000, 3).float()
    moments = Moments(3, diagonal).update(rows)
    before = moments.variance
    spoilt = rows.clone()
    spoilt[4321, 1] = bad
    with pytest.raises(ValueError, match="NaN or inf"):
        moments.update(spoilt)
    assert moments.count == 5000
    assert torch.equal(moments.variance, before)


def test_wrong_shapes_are_refused_with_both_numbers():
    with pytest.raises(ValueError, match=r"4 channels, got 3 in shape \(2, 3\)"):
        Moments(4).update(torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"shape \(2, 5\), got \(5, 2\)"):
        Moments(4).update(torch.zeros(2, 5, 4), torch.ones(5, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"dim=4, diagonal=False .* dim=4, diagonal=True"):
        Moments(4).merge(Moments(4, diagonal=True))
    with pytest.raises(ValueError, match=r"\(4, 4\).*\(3, 3\)"):
        Moments(4).load_state_dict(Moments(3).state_dict())


def test_moments_of_too_few_rows_are_refused():
    moments = Moments(2)
    with pytest.raises(ValueError, match="at least 1 rows are needed, got 0"):
        _ = moments.mean
    moments.update(torch.zeros(1, 2))
    with pytest.raises(ValueError, match="at least 2 rows are needed, got 1"):
        _ = moments.covariance
    with pytest.raises(ValueError, match="at least 2 rows are needed, got 1"):
        _ = moments.variance


def test_diagonal_moments_have_no_covariance():
    with pytest.raises(ValueError, match="variances only"):
        _ = Moments(2, diagonal=True).update(torch.randn(5, 2)).covariance


@pytest.mark.gpu
def test_loaded_moments_go_on_counting_on_a_gpu() -> None:
    rows = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    whole, loaded = Moments(6).update(rows), Moments(6)
    loaded.load_state_dict(Moments(6).update(rows[:15]).state_dict())
    loaded.to(torch.device("cuda", 0)).merge(Moments(6).update(rows[15:].cuda()))
    assert loaded.device.type == "cuda"
    torch.testing.assert_close(loaded.covariance.cpu(), whole.covariance, rtol=1e-12, atol=1e-12)
