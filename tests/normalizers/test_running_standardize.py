"""UNIC's and DUNE's standardisation: when the statistics are used, when they move, and over what."""

import copy
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from normalizer_samples import RUNNING, features, moments_of
from processes import run_ranks
from torch import nn
from torch.testing import assert_close

from phis_lab import normalizers
from phis_lab.linalg import Moments
from phis_lab.normalizers import BatchStandardize, EMAStandardize, Normalizer, Standardize

DIM = 6
both = pytest.mark.parametrize("method", RUNNING.values())
seeds = st.integers(0, 1000)


def batches(count, seed=0):
    """Training batches of 2 images with 3 x 3 patches, whose mean and spread wander."""
    return [features(DIM, 18, seed + i, decay=2, offset=2).reshape(2, 3, 3, DIM) * (1 + i) for i in range(count)]


def mean_and_std(batch):
    rows = batch.reshape(-1, batch.shape[-1])
    return rows.mean(0), rows.std(0)


def frozen(normalizer):
    return copy.deepcopy(normalizer).eval()


def statistics(normalizer):
    """Running mean, and running deviation with what keeps it from zero."""
    return normalizer.shift.clone(), 1 / normalizer.scale


def test_a_batch_is_normalised_by_what_was_known_before_and_taken_in_afterwards():
    method, (first, second, third) = EMAStandardize(DIM).double(), batches(3)
    mean, std = torch.zeros(DIM, dtype=torch.float64), torch.ones(DIM, dtype=torch.float64)
    for momentum, batch in ((1.0, first), (0.3, second), (0.0, third)):
        method.momentum = momentum
        assert_close(method(batch), (batch - mean) / (std + 1e-6), rtol=1e-9, atol=1e-9)
        batch_mean, batch_std = mean_and_std(batch)
        mean = (1 - momentum) * mean + momentum * batch_mean
        std = (1 - momentum) * std + momentum * (batch_std + 1e-6)
    assert_close(frozen(method)(first), (first - mean) / (std + 1e-6), rtol=1e-9, atol=1e-9)


def test_a_step_worked_out_by_hand():
    method = EMAStandardize(1)
    method.momentum = 0.25
    batch = torch.tensor([[1.0], [3.0], [5.0]])
    assert_close(method(batch), batch, rtol=0, atol=1e-5)
    mean, std = 0.25 * 3, 0.75 * 1 + 0.25 * 2
    assert_close(method(batch), (batch - mean) / std, rtol=0, atol=1e-5)


def test_the_first_step_is_on_raw_features_and_the_second_on_the_first_batch():
    method, (first, second) = EMAStandardize(DIM).double(), batches(2)
    assert_close(method(first), first, rtol=2e-6, atol=0)
    mean, std = mean_and_std(first)
    assert_close(method(second), (second - mean) / std, rtol=1e-4, atol=1e-4)


@given(seed=seeds, momentum=st.floats(0, 1))
def test_updated_first_a_batch_counts_in_its_own_normalisation(seed, momentum):
    late, early = EMAStandardize(DIM).double(), EMAStandardize(DIM, update_first=True).double()
    late.momentum = early.momentum = momentum
    for batch in batches(2, seed):
        late(batch)
        assert torch.equal(early(batch), frozen(late)(batch))


@given(seed=seeds)
def test_in_training_a_batch_has_mean_zero_and_variance_one(seed):
    method = BatchStandardize(DIM).double()
    for batch in batches(3, seed):
        mean, std = mean_and_std(method(batch))
        assert_close(mean, torch.zeros_like(mean), rtol=0, atol=1e-9)
        assert_close(std, torch.ones_like(std), rtol=1e-9, atol=0)


def test_running_values_grow_beside_and_evaluation_uses_them():
    method, (first, second) = BatchStandardize(DIM).double(), batches(2)
    method(first)
    method.momentum = 0.3
    method(second)
    (mean, std), (mean_2, std_2) = mean_and_std(first), mean_and_std(second)
    expected = (first - (0.7 * mean + 0.3 * mean_2)) / (0.7 * std + 0.3 * std_2)
    assert_close(method.eval()(first), expected, rtol=1e-9, atol=1e-9)


@both
def test_in_evaluation_nothing_moves(method):
    normalizer = method(DIM)
    for batch in batches(2):
        normalizer(batch)
    before = {name: value.clone() for name, value in normalizer.state_dict().items()}
    normalizer.eval()(batches(1, seed=9)[0])
    assert all(torch.equal(value, before[name]) for name, value in normalizer.state_dict().items())


@both
def test_without_a_batch_the_statistics_are_zero_and_one(method):
    normalizer, rows = method(DIM).double().eval(), features(DIM)
    assert normalizer.is_fitted
    assert_close(normalizer(rows), rows, rtol=2e-6, atol=0)
    assert_close(normalizer.affine()[0], torch.eye(DIM, dtype=torch.float64), rtol=0, atol=2e-6)


@both
def test_the_momentum_follows_a_cosine_from_one_to_a_thousandth(method):
    normalizer = method(DIM)
    assert normalizer.momentum == 1.0
    momenta = {}
    for progress in (0.0, 0.2, 0.5, 0.8, 0.94, 1.0):
        normalizer.schedule(progress)
        momenta[progress] = normalizer.momentum
    assert momenta[0.0] == 1.0
    assert momenta[1.0] == pytest.approx(0.001, rel=1e-12)
    assert [momenta[p] for p in (0.2, 0.5, 0.8, 0.94)] == pytest.approx([0.9, 0.5, 0.1, 0.01], rel=0.05)


@given(start=st.floats(0, 1), end=st.floats(0, 1), progress=st.floats(0, 1))
def test_the_momentum_stays_between_its_ends(start, end, progress):
    normalizer = EMAStandardize(DIM, start, end)
    normalizer.schedule(progress)
    assert min(start, end) - 1e-12 <= normalizer.momentum <= max(start, end) + 1e-12


def test_other_normalizers_have_no_schedule_and_leave_summaries_alone():
    normalizer = Standardize(DIM).fit(moments_of(features(DIM)))
    before = normalizer(features(DIM))
    normalizer.schedule(0.5)
    assert torch.equal(normalizer(features(DIM)), before)
    assert {cls for cls in vars(normalizers).values() if getattr(cls, "summary_map", "none") == "own"} == {
        EMAStandardize,
        BatchStandardize,
        normalizers.RunningStandardize,
    }


@both
def test_moments_given_by_others_change_nothing(method):
    normalizer = method(DIM)
    normalizer(batches(1)[0])
    before = statistics(normalizer)
    assert normalizer.fit(moments_of(features(DIM, seed=5))) is normalizer
    assert_close(statistics(normalizer), before, rtol=0, atol=0)


@both
def test_inverse_affine_and_folding_use_the_running_statistics(method):
    normalizer = method(DIM).double()
    for batch in batches(2):
        normalizer(batch)
    mean, divisor = statistics(normalizer)
    y = torch.randn(4, DIM, dtype=torch.float64)
    assert_close(normalizer.inverse(y), y * divisor + mean)
    weight, shift = normalizer.affine()
    assert_close((weight, shift), ((1 / divisor).diag(), mean))
    linear = nn.Linear(3, DIM, dtype=torch.float64)
    z = torch.randn(4, 3, dtype=torch.float64)
    assert_close(normalizer.fold_into(linear)(z), normalizer.inverse(linear(z)))
    rows = features(DIM)
    assert_close(normalizer.eval().inverse(normalizer(rows)), rows)


@both
def test_a_saved_state_and_a_file_restore_it(method, tmp_path):
    normalizer = method(DIM, momentum_end=0.01)
    for batch in batches(2):
        normalizer(batch)
    fresh = method(DIM)
    fresh.load_state_dict(normalizer.state_dict())
    normalizer.save(tmp_path / "n.safetensors")
    loaded = Normalizer.load(tmp_path / "n.safetensors")
    assert type(loaded) is method
    assert loaded.momentum_end == 0.01
    rows = features(DIM)
    for other in (fresh, loaded, copy.deepcopy(normalizer)):
        assert torch.equal(other.eval()(rows), frozen(normalizer)(rows))


@both
def test_a_deviation_of_many_batches_is_the_average_of_deviations_not_of_variances(method):
    normalizer = method(1).double()
    small, large = torch.tensor([[-1.0], [1.0]]) / 2**0.5, torch.tensor([[-3.0], [3.0]]) / 2**0.5
    normalizer(small.double())
    normalizer.momentum = 0.5
    normalizer(large.double())
    assert_close(1 / normalizer.scale, torch.tensor([2.0], dtype=torch.float64), rtol=2e-6, atol=0)


@both
def test_dead_channels_stay_finite_and_invertible(method):
    normalizer, rows = method(DIM).double(), features(DIM)
    rows[:, 2] = 0.3
    for _ in range(2):
        assert normalizer(rows).isfinite().all()
    normalizer.eval()
    assert_close(normalizer.inverse(normalizer(rows)), rows)


def test_the_gain_of_a_dead_channel_is_bounded_by_each_papers_epsilon():
    rows = features(DIM)
    rows[:, 2] = 0.3
    ema, batch = EMAStandardize(DIM), BatchStandardize(DIM)
    ema(rows)
    batch(rows)
    assert ema.scale[2].item() == pytest.approx(1 / 2e-6)
    assert batch.scale[2].item() == pytest.approx(1e3)


@both
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_low_precision_is_computed_in_float32_and_inputs_are_left_alone(method, dtype):
    normalizer, exact = method(DIM), method(DIM).double()
    for batch in batches(3):
        rows = batch.to(dtype)
        kept = rows.clone()
        y = normalizer(rows)
        assert y.dtype == torch.float32
        assert torch.equal(rows, kept)
        assert_close(y.double(), exact(rows.double()), rtol=1e-5, atol=1e-5)
    assert normalizer.shift.dtype == normalizer.scale.dtype == torch.float64


@both
def test_training_in_inference_mode_leaves_usable_statistics(method):
    normalizer, plain = method(DIM), method(DIM)
    with torch.inference_mode():
        normalizer(batches(1)[0])
    plain(batches(1)[0])
    x = features(DIM).requires_grad_()
    normalizer.eval()(x).sum().backward()
    assert x.grad is not None
    assert torch.equal(normalizer.scale, plain.scale)
    assert not normalizer.scale.is_inference()


@both
def test_summaries_and_patches_of_any_shape_are_counted_by_rows(method):
    rows = features(DIM, 36).float()
    flat, grid = method(DIM), method(DIM)
    assert torch.equal(flat(rows), grid(rows.reshape(4, 3, 3, DIM)).reshape(36, DIM))
    assert torch.equal(flat.scale, grid.scale)


@both
@pytest.mark.parametrize("rows", [0, 1])
def test_a_batch_too_small_for_a_deviation_is_refused_and_changes_nothing(method, rows):
    normalizer = method(DIM)
    with pytest.raises(ValueError, match=f"at least 2 rows in a training batch, got {rows}"):
        normalizer(torch.randn(rows, DIM))
    assert_close(statistics(normalizer)[0], torch.zeros(DIM, dtype=torch.float64))
    assert normalizer.eval()(torch.randn(rows, DIM)).shape == (rows, DIM)


@both
def test_another_number_of_channels_is_refused(method):
    with pytest.raises(ValueError, match=r"6 channels.*got 5"):
        method(DIM)(torch.zeros(4, 5))


@both
@pytest.mark.parametrize("momentum", [-0.1, 1.1, float("nan")])
def test_a_momentum_outside_zero_to_one_is_refused(method, momentum):
    with pytest.raises(ValueError, match="a momentum is the weight of the new batch"):
        method(DIM, momentum_end=momentum)
    with pytest.raises(ValueError, match="progress is the share of the run"):
        method(DIM).schedule(momentum)


@pytest.mark.parametrize("smallest", [0.0, -1.0, float("nan")])
def test_without_anything_to_keep_a_channel_from_zero_it_is_refused(smallest):
    with pytest.raises(ValueError, match="epsilon must be positive"):
        EMAStandardize(DIM, epsilon=smallest)
    with pytest.raises(ValueError, match="min_deviation must be positive"):
        BatchStandardize(DIM, min_deviation=smallest)


def train_as(rank: int, folder: str) -> None:
    """Three steps of both methods on one rank's half of the images."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    outputs = three_steps([batch.chunk(2)[rank] for batch in batches(3)])
    torch.save(outputs, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def three_steps(parts):
    """Every target, and the statistics at the end."""
    targets, ends = [], []
    for normalizer in (EMAStandardize(DIM).double(), BatchStandardize(DIM).double()):
        for step, part in enumerate(parts):
            normalizer.schedule(step / 3)
            targets.append(normalizer(part))
        ends.append(torch.stack(statistics(normalizer)))
    return torch.stack(targets), torch.stack(ends)


@pytest.mark.ddp
def test_two_processes_with_half_the_images_are_one_with_all(tmp_path):
    run_ranks(train_as, str(tmp_path))
    (first, ends), (second, ends_2) = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    targets, expected = three_steps(batches(3))
    assert torch.equal(ends, ends_2)
    assert_close(ends, expected, rtol=1e-12, atol=1e-12)
    assert_close(torch.cat([first, second], dim=1), targets, rtol=1e-10, atol=1e-10)


def test_the_batch_statistics_are_the_projects_moments():
    batch = batches(1)[0]
    moments = Moments(DIM, diagonal=True).update(batch)
    mean, divisor = EMAStandardize(DIM).batch_statistics(batch)
    assert_close((mean, divisor), (moments.mean, moments.variance.sqrt() + 2e-6))
