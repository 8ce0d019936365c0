"""TinTeM's learned map: its two terms by loops, who learns from what, and two processes as one."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from normalizer_samples import moments_of
from processes import run_ranks
from torch import nn
from torch.testing import assert_close

from phis_lab import processes
from phis_lab.features import Features
from phis_lab.linalg.vmf_sne import TEMPERATURES, vmf_sne
from phis_lab.losses import TinTeM
from phis_lab.metrics import cosine_preservation, orthogonality
from phis_lab.normalizers import FeatureMap
from phis_lab.normalizers.teacher_in_the_middle import TeacherInTheMiddle

DIM, WIDTH = 8, 4


def features(images=4, seed=0, dim=DIM):
    generator = torch.Generator().manual_seed(seed)
    offset = torch.randn(dim, generator=generator)
    return (
        torch.randn(images, dim, generator=generator) + offset,
        2 * torch.randn(images, 2, 2, dim, generator=generator) + offset,
    )


def mapped_by_hand(method, rows):
    """LayerNorm and linear layer, row by row in float64."""
    gain, offset = method.norm.weight.detach().double().numpy(), method.norm.bias.detach().double().numpy()
    weight, bias = method.linear.weight.detach().double().numpy(), method.linear.bias.detach().double().numpy()
    mapped = []
    for row in rows.double().numpy():
        normed = (row - row.mean()) / math.sqrt(row.var() + method.norm.eps) * gain + offset
        mapped.append(weight @ normed + bias)
    return np.array(mapped)


def divergence_by_hand(source, mapped):
    """The mean over temperatures of KL(P || Q), pair by pair."""

    def pairs(rows, temperature):
        count = len(rows)
        conditional = np.zeros((count, count))
        for i in range(count):
            for j in range(count):
                if i != j:
                    cosine = rows[i] @ rows[j] / (np.linalg.norm(rows[i]) * np.linalg.norm(rows[j]))
                    conditional[i, j] = math.exp(cosine / temperature)
            conditional[i] /= conditional[i].sum()
        joint = conditional + conditional.T
        return joint / joint.sum()

    total = 0.0
    for temperature in TEMPERATURES:
        p, q = pairs(source, temperature), pairs(mapped, temperature)
        for i in range(len(p)):
            for j in range(len(p)):
                total += p[i, j] * math.log(p[i, j] / q[i, j]) if p[i, j] > 0 else 0
    return total / len(TEMPERATURES)


@pytest.mark.parametrize("seed", range(5))
def test_both_terms_have_the_values_of_loops(seed):
    method, (summary, spatial) = TeacherInTheMiddle(DIM, WIDTH, seed=seed), features(seed=seed)
    tokens = torch.cat([summary[:, None], spatial.flatten(1, 2)], dim=1)
    local = np.mean([divergence_by_hand(image.double().numpy(), mapped_by_hand(method, image)) for image in tokens])
    across = divergence_by_hand(summary.double().numpy(), mapped_by_hand(method, summary))
    rows = method.training_loss(Features(summary, spatial))
    assert list(rows) == ["local", "global"]
    assert rows["local"].item() == pytest.approx(local, rel=1e-5, abs=1e-5)
    assert rows["global"].item() == pytest.approx(across, rel=1e-5, abs=1e-5)


def test_the_map_is_a_layer_norm_and_a_linear_layer_of_summary_and_patches_alike():
    method, (summary, spatial) = TeacherInTheMiddle(DIM, WIDTH), features()
    expected = method.linear(method.norm(spatial)).detach()
    assert_close(method(spatial), expected)
    assert_close(method(summary), method.linear(method.norm(summary)).detach())
    assert method(spatial).shape == (4, 2, 2, WIDTH)


def test_weights_scale_their_rows_and_zero_leaves_one_out():
    plain, sides = TeacherInTheMiddle(DIM, WIDTH).training_loss(Features(*features())), features()
    rows = TeacherInTheMiddle(DIM, WIDTH, local_weight=2, global_weight=0.5).training_loss(Features(*sides))
    assert_close(rows, {"local": 2 * plain["local"], "global": 0.5 * plain["global"]})
    assert list(TeacherInTheMiddle(DIM, WIDTH, global_weight=0).training_loss(Features(*sides))) == ["local"]
    assert list(TeacherInTheMiddle(DIM, WIDTH, local_weight=0).training_loss(Features(*sides))) == ["global"]


def test_other_temperatures_can_be_chosen():
    method, (summary, _) = TeacherInTheMiddle(DIM, WIDTH, temperatures=[0.5]), features()
    expected = vmf_sne(summary[None], method.map(summary)[None], [0.5])[0]
    assert_close(method.training_loss(Features(summary, None))["global"], expected)


def test_a_kind_that_the_teacher_lacks_leaves_the_other_alone():
    method, (summary, spatial) = TeacherInTheMiddle(DIM, WIDTH), features()
    tokens = spatial.flatten(1, 2)
    assert_close(method.training_loss(Features(None, spatial)), {"local": vmf_sne(tokens, method.map(tokens)).mean()})
    assert list(method.training_loss(Features(summary, None))) == ["global"]
    with pytest.raises(ValueError, match="nothing trains this map"):
        method.training_loss(Features(None, None))
    with pytest.raises(ValueError, match="nothing trains this map"):
        TeacherInTheMiddle(DIM, WIDTH, global_weight=0).training_loss(Features(summary, None))


def test_the_map_learns_from_its_own_loss_and_the_student_only_from_its_own():
    method, (summary, spatial) = TeacherInTheMiddle(DIM, WIDTH), features()
    student = nn.Linear(3, WIDTH)
    tokens = student(torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0)))
    said = Features(tokens[:, 0], tokens[:, 1:].unflatten(1, (2, 2)))
    pulls = TinTeM()(said, Features(method(summary), method(spatial)))
    torch.stack(list(pulls.values())).mean().backward()
    assert all(parameter.grad is None for parameter in method.parameters())
    assert all(parameter.grad.any() for parameter in student.parameters())
    student.zero_grad()
    torch.stack(list(method.training_loss(Features(summary, spatial)).values())).sum().backward()
    assert all(parameter.grad.any() for parameter in method.parameters())
    assert all(parameter.grad is None for parameter in student.parameters())


def test_teacher_features_are_constants_even_if_they_ask_for_a_gradient():
    method, (summary, spatial) = TeacherInTheMiddle(DIM, WIDTH), features()
    summary.requires_grad_()
    assert not method(summary).requires_grad
    torch.stack(list(method.training_loss(Features(summary, spatial)).values())).sum().backward()
    assert summary.grad is None


def test_training_keeps_more_of_the_cosines():
    method, (summary, _) = TeacherInTheMiddle(DIM, WIDTH), features(32)
    before, (first, *_, last) = cosine_preservation(summary, method(summary)), losses_of_steps(method, 60)
    assert last < 0.7 * first
    assert cosine_preservation(summary, method(summary))["pearson"] > before["pearson"]
    assert set(orthogonality(method.weight)) >= {"singular_min", "deviation"}


def losses_of_steps(method, steps):
    optimizer, losses = torch.optim.AdamW(method.parameters(), lr=0.02), []
    for _ in range(steps):
        loss = torch.stack(list(method.training_loss(Features(*features(32))).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_its_weight_is_the_linear_map_with_the_gains_of_the_norm():
    method = TeacherInTheMiddle(DIM, WIDTH).double()
    with torch.no_grad():
        method.norm.weight.uniform_(0.5, 2)
    rows = features()[0].double()
    normed = (rows - rows.mean(1, keepdim=True)) / (rows.var(1, keepdim=True, correction=0) + method.norm.eps).sqrt()
    bias = method.linear.bias + method.linear.weight @ method.norm.bias
    assert_close(method(rows), (normed @ method.weight.T + bias).detach())


def test_making_it_draws_from_its_own_seed_alone():
    before = torch.get_rng_state()
    first, again, other = (TeacherInTheMiddle(DIM, WIDTH, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.linear.weight, again.linear.weight)
    assert not torch.equal(first.linear.weight, other.linear.weight)
    wide = TeacherInTheMiddle(400, 300).linear
    bound = 400**-0.5
    for parameter in (wide.weight, wide.bias):
        assert parameter.abs().max() <= bound
        assert parameter.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)


def test_it_is_ready_from_the_start_and_given_moments_change_nothing():
    method, (summary, _) = TeacherInTheMiddle(DIM, WIDTH), features(100)
    assert method.is_fitted
    before = method(summary)
    assert method.fit(moments_of(summary)) is method
    assert torch.equal(method(summary), before)


def test_a_file_and_a_state_restore_the_learned_map(tmp_path):
    method, (summary, _) = TeacherInTheMiddle(DIM, WIDTH, temperatures=[0.1, 0.2], global_weight=2), features()
    losses_of_steps(method, 2)
    method.save(tmp_path / "n.safetensors")
    loaded, fresh = FeatureMap.load(tmp_path / "n.safetensors"), TeacherInTheMiddle(DIM, WIDTH, seed=7)
    fresh.load_state_dict(method.state_dict())
    assert torch.equal(loaded(summary), method(summary))
    assert torch.equal(fresh(summary), method(summary))
    assert (loaded.temperatures, loaded.global_weight) == ((0.1, 0.2), 2.0)


def test_low_precision_is_computed_in_float32_under_autocast_too():
    method, sides = TeacherInTheMiddle(DIM, WIDTH), [side.bfloat16() for side in features()]
    expected = method.training_loss(Features(*(side.float() for side in sides)))
    with torch.autocast("cpu", torch.bfloat16):
        assert_close(method.training_loss(Features(*sides)), expected, rtol=0, atol=0)
        assert method(sides[0]).dtype == torch.float32
    assert method.double()(sides[0].double()).dtype == torch.float64


def test_summaries_of_another_width_than_the_patches_are_refused(unchecked_shapes):
    with pytest.raises(ValueError, match="expected 8 channels"):
        TeacherInTheMiddle(DIM, WIDTH).training_loss(Features(features(dim=DIM + 1)[0], features()[1]))


def test_one_image_alone_has_no_global_term():
    with pytest.raises(ValueError, match="two tokens or more"):
        TeacherInTheMiddle(DIM, WIDTH).training_loss(Features(*features(1)))


@pytest.mark.parametrize(("local", "across"), [(-1, 1), (1, float("nan")), (0, 0)])
def test_weights_that_train_nothing_are_refused(local, across):
    with pytest.raises(ValueError, match="must not be negative, and one must be positive"):
        TeacherInTheMiddle(DIM, WIDTH, local_weight=local, global_weight=across)


def losses_and_gradients(parts):
    """Rows and the gradients of their sum, averaged over processes as the engine does."""
    method = TeacherInTheMiddle(DIM, WIDTH)
    rows = method.training_loss(Features(*parts))
    torch.stack(list(rows.values())).sum().backward()
    gradients = [processes.average(parameter.grad) for parameter in method.parameters()]
    return [processes.average(row.detach()) for row in rows.values()], gradients


def train_as(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    torch.save(losses_and_gradients([side.chunk(2)[rank] for side in features()]), Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.ddp
def test_two_processes_with_half_the_images_are_one_with_all(tmp_path):
    run_ranks(train_as, str(tmp_path))
    expected = losses_and_gradients(features())
    for rank in range(2):
        assert_close(torch.load(tmp_path / f"{rank}.pt", weights_only=True), tuple(expected), rtol=1e-5, atol=1e-6)
