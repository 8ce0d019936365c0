import pytest
import torch
from torch.testing import assert_close

from phis_lab.features import Features
from phis_lab.losses import (
    MSE,
    Cosine,
    DampenedMSE,
    HybridMSE,
    HybridSmoothL1,
    SmoothL1,
    SpecMatch,
    cosine,
    dampened_mse,
    hybrid,
    mse,
    smooth_l1,
    specmatch,
)


def features(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, 6, generator=generator), torch.randn(3, 2, 2, 5, generator=generator)


@pytest.mark.parametrize(
    ("loss", "spatial"),
    [
        (MSE(), mse),
        (Cosine(), cosine),
        (SmoothL1(beta=0.5), lambda x, y: smooth_l1(x, y, 0.5)),
        (DampenedMSE(), dampened_mse),
        (SpecMatch(power=0.5, epsilon=1e-3), lambda x, y: specmatch(x, y, 0.5, 1e-3)),
        (HybridMSE(cosine_weight=0.7), lambda x, y: hybrid(x, y, mse, 0.7)),
        (
            HybridSmoothL1(cosine_weight=0.7, beta=2.0),
            lambda x, y: 0.7 * cosine(x, y) + 0.3 * smooth_l1(x, y, 2.0),
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_spatial_loss_varies_and_the_summary_is_always_cosine(loss, spatial):
    (pred_summary, pred_spatial), (summary, target) = features(0), features(1)
    rows = loss(Features(pred_summary, pred_spatial), Features(summary, target))
    assert list(rows) == ["spatial", "summary"]
    assert_close(rows["spatial"], spatial(pred_spatial, target))
    assert_close(rows["summary"], cosine(pred_summary, summary))


def test_a_kind_that_the_teacher_lacks_has_no_row():
    summary, spatial = features(0)
    assert list(MSE()(Features(summary, spatial), Features(None, spatial))) == ["spatial"]
    assert list(MSE()(Features(summary, spatial), Features(summary, None))) == ["summary"]


@pytest.mark.parametrize("kind", ["summary", "spatial"])
def test_a_missing_prediction_is_refused_by_the_name_of_its_kind(kind):
    summary, spatial = features(0)
    pred = Features(summary, spatial)._replace(**{kind: None})
    with pytest.raises(ValueError, match=f"give the student a {kind} head"):
        MSE()(pred, Features(summary, spatial))


def test_another_grid_is_refused(unchecked_shapes):
    _, spatial = features(0)
    with pytest.raises(ValueError, match="resize the grid"):
        MSE()(Features(None, spatial[:, :1]), Features(None, spatial))


@pytest.mark.parametrize("cosine_weight", [-0.1, 1.1, float("nan")])
@pytest.mark.parametrize("loss", [HybridMSE, HybridSmoothL1])
def test_a_cosine_weight_outside_zero_to_one_is_refused(loss, cosine_weight):
    with pytest.raises(ValueError, match="cosine_weight must lie in"):
        loss(cosine_weight=cosine_weight)


@pytest.mark.parametrize("loss", [SmoothL1, HybridSmoothL1])
@pytest.mark.parametrize("beta", [0.0, -1.0, float("inf"), float("nan")])
def test_a_beta_that_is_not_positive_and_finite_is_refused(loss, beta):
    with pytest.raises(ValueError, match="beta must be positive"):
        loss(beta=beta)
