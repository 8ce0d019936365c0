"""What holds of every loss and every balancer; whatever the package shows is tried."""

import copy
import inspect

import pytest
import torch
from torch import nn

from phis_lab import losses
from phis_lab.features import Features
from phis_lab.losses import MSE, Balancer, Loss

OPTIONS: dict[str, dict[str, object]] = {"AngleSummary": {"spatial_loss": MSE()}}
"""What a class is made with where its options have no usual values."""


def shown(kind: type[nn.Module]) -> list[str]:
    """The classes of a kind that the package shows and that can be made."""
    found = {name: getattr(losses, name) for name in losses.__all__}
    return [
        name
        for name, made in found.items()
        if inspect.isclass(made) and issubclass(made, kind) and not inspect.isabstract(made)
    ]


def sample(name: str) -> nn.Module:
    kind = getattr(losses, name)
    own = inspect.signature(kind).parameters.values() if "__init__" in vars(kind) else ()
    missing = [p.name for p in own if p.default is inspect.Parameter.empty and p.name not in OPTIONS.get(name, {})]
    assert missing == [], f"{name} needs {', '.join(missing)}: give values to OPTIONS of this file, and it is tested"
    return kind(**copy.deepcopy(OPTIONS.get(name, {})))


every_loss = pytest.mark.parametrize("name", shown(Loss))
every_balancer = pytest.mark.parametrize("name", shown(Balancer))


def features(seed: int, images: int = 4) -> Features:
    generator = torch.Generator().manual_seed(seed)
    return Features(torch.randn(images, 6, generator=generator), torch.randn(images, 2, 2, 6, generator=generator))


def losses_of(seed: int, rows: int = 3) -> torch.Tensor:
    return torch.rand(rows, 4, generator=torch.Generator().manual_seed(seed)) + 0.1


def test_there_are_losses_and_balancers() -> None:
    assert {"MSE", "UNIC", "TinTeM", "SpecMatch"} <= set(shown(Loss))
    assert {"Uniform", "AdaLoss", "TeacherDropping"} <= set(shown(Balancer))


@every_loss
def test_a_loss_gives_each_image_a_finite_number(name: str) -> None:
    rows = sample(name)(features(0), features(1))
    assert rows
    for row in rows.values():
        assert row.shape == (4,)
        assert row.isfinite().all()


@every_loss
def test_a_loss_is_least_where_the_prediction_is_the_target(name: str) -> None:
    loss, target = sample(name), features(1)
    loss(features(0), target)
    right, wrong = loss.eval()(target, target), loss(features(0), target)
    for kind in wrong:
        assert (right[kind] < wrong[kind]).all()


@every_loss
def test_a_loss_pulls_at_every_prediction_that_it_compares_and_leaves_its_arguments_alone(name: str) -> None:
    prediction, target = features(0), features(1)
    kept = [part.clone() for part in (*prediction, *target)]
    leaves = prediction.map(lambda part: part.clone().requires_grad_())
    sum(row.sum() for row in sample(name)(leaves, target).values()).backward()
    for part in leaves:
        assert part.grad is not None
        assert part.grad.isfinite().all()
        assert part.grad.any()
    assert all(torch.equal(part, before) for part, before in zip((*prediction, *target), kept, strict=True))


@every_loss
def test_a_loss_goes_on_from_its_state(name: str) -> None:
    loss, fresh = sample(name), sample(name)
    loss(features(0), features(1))
    fresh.load_state_dict(loss.state_dict())
    ours, theirs = (each(features(2), features(3)) for each in (loss, fresh))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[kind], theirs[kind]) for kind in ours)


@every_loss
def test_copies_of_a_loss_for_several_teachers_do_not_touch_each_other(name: str) -> None:
    loss = sample(name)
    other = copy.deepcopy(loss)
    before = copy.deepcopy(other.state_dict())
    loss(features(0), features(1))
    after = other.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())


@every_balancer
def test_a_balancer_gives_a_finite_number_that_falls_with_every_loss_that_it_keeps(name: str) -> None:
    rows = losses_of(0).requires_grad_()
    before = rows.detach().clone()
    total = sample(name)(rows)
    assert total.ndim == 0
    assert total.isfinite()
    total.backward()
    assert rows.grad is not None
    assert (rows.grad >= 0).all()
    assert rows.grad.any()
    assert torch.equal(rows.detach(), before)


@every_balancer
def test_a_balancer_goes_on_from_its_state(name: str) -> None:
    balancer, fresh = sample(name), sample(name)
    balancer(losses_of(0))
    fresh.load_state_dict(balancer.state_dict())
    assert torch.equal(balancer(losses_of(1)), fresh(losses_of(1)))


@every_balancer
def test_a_balancer_neither_learns_nor_draws_in_evaluation(name: str) -> None:
    balancer = sample(name)
    balancer(losses_of(0))
    first, second = (balancer.eval()(losses_of(1)) for _ in range(2))
    assert torch.equal(first, second)
