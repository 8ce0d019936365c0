"""TinTeM's student loss by hand and by loops, and Proteus' beside it."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from phis_lab.features import Features
from phis_lab.losses import Proteus, TinTeM, Uniform, cosine, flattened_cosine, mse

TOLERANCE = {"rtol": 0, "atol": 1e-5}


def features(seed, images=3, width=5):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(images, width, generator=generator), torch.randn(images, 2, 3, width, generator=generator)


def of_an_image(pred_summary, pred_spatial, summary, spatial) -> float:
    """Token by token and channel by channel."""
    dot = of_pred = of_target = 0.0
    for x, y in zip([pred_summary, *pred_spatial], [summary, *spatial], strict=True):
        for a, b in zip(x, y, strict=True):
            dot, of_pred, of_target = dot + a * b, of_pred + a * a, of_target + b * b
    return 1 - dot / math.sqrt(of_pred * of_target)


def rows_of_patches(side):
    return side.double().flatten(0, -2).numpy()


def test_two_tokens_worked_out_by_hand():
    pred_summary, summary = torch.tensor([[3.0, 4.0]]), torch.tensor([[3.0, 0.0]])
    pred_spatial, spatial = torch.tensor([[[[1.0, 2.0]]]]), torch.tensor([[[[0.0, 4.0]]]])
    rows = TinTeM()(Features(pred_summary, pred_spatial), Features(summary, spatial))
    assert list(rows) == ["tokens", "summary"]
    assert_close(rows["tokens"], torch.tensor([1 - (9 + 8) / math.sqrt((25 + 5) * (9 + 16))]), **TOLERANCE)
    assert_close(rows["summary"], torch.tensor([1 - 9 / 15]), **TOLERANCE)


@given(seed=st.integers(0, 1000))
def test_every_image_has_the_values_of_loops(seed):
    (pred_summary, pred), (summary, target) = features(seed), features(seed + 1)
    rows = TinTeM()(Features(pred_summary, pred), Features(summary, target))
    summaries = list(zip(pred_summary.double().numpy(), summary.double().numpy(), strict=True))
    tokens = [
        of_an_image(x, rows_of_patches(pred[i]), y, rows_of_patches(target[i])) for i, (x, y) in enumerate(summaries)
    ]
    cosines = [1 - x @ y / (np.linalg.norm(x) * np.linalg.norm(y)) for x, y in summaries]
    assert_close(rows["tokens"], torch.tensor(tokens).float(), **TOLERANCE)
    assert_close(rows["summary"], torch.tensor(cosines).float(), **TOLERANCE)


def test_long_tokens_count_more():
    _, target = features(0)
    pred = target.clone()
    pred[:, 0, 0] = -pred[:, 0, 0]
    long, short = target.clone(), target.clone()
    long[:, 0, 0], short[:, 0, 0] = 100 * long[:, 0, 0], 0.01 * short[:, 0, 0]
    assert (flattened_cosine(Features(None, pred * (long / target)), Features(None, long)) > 1.9).all()
    assert (flattened_cosine(Features(None, pred * (short / target)), Features(None, short)) < 0.01).all()
    assert_close(cosine(pred, long), cosine(pred, short))


def test_the_scale_of_all_tokens_together_is_free_and_that_of_one_is_not():
    summary, spatial = features(0)
    assert_close(
        flattened_cosine(Features(3 * summary, 3 * spatial), Features(summary, spatial)), torch.zeros(3), **TOLERANCE
    )
    assert (flattened_cosine(Features(3 * summary, spatial), Features(summary, spatial)) > 0.01).all()


def test_a_kind_that_the_teacher_lacks_leaves_the_other_alone():
    (pred_summary, pred), (summary, target) = features(0), features(1)
    of_summary = TinTeM()(Features(pred_summary, pred), Features(summary, None))
    assert_close(of_summary["tokens"], cosine(pred_summary, summary))
    assert_close(of_summary["summary"], cosine(pred_summary, summary))
    of_patches = TinTeM()(Features(pred_summary, pred), Features(None, target))
    assert list(of_patches) == ["tokens"]
    assert_close(of_patches["tokens"], cosine(pred.flatten(1), target.flatten(1)))
    assert_close(TinTeM().spatial(pred, target), of_patches["tokens"])


def test_the_gradient_reaches_every_token_and_no_target():
    pred, target = ([side.requires_grad_() for side in features(seed)] for seed in (0, 1))
    rows = TinTeM()(Features(*pred), Features(*target).map(torch.Tensor.detach))
    torch.stack(list(rows.values())).sum().backward()
    assert all((side.grad.abs().sum(dim=-1) > 0).all() for side in pred)
    assert all(side.grad is None for side in target)


def test_uniform_adds_the_terms_of_one_teacher_and_can_take_the_mean_over_teachers():
    of_teachers = [TinTeM()(Features(*features(seed)), Features(*features(seed + 9))) for seed in (0, 1)]
    pulls = [rows["tokens"].mean() + rows["summary"].mean() for rows in of_teachers]
    assert_close(Uniform()(torch.stack(list(of_teachers[0].values()))), pulls[0])
    both = torch.stack([row for rows in of_teachers for row in rows.values()])
    assert_close(Uniform(weights=[0.5] * 4)(both), (pulls[0] + pulls[1]) / 2)


def test_low_precision_is_computed_in_float32():
    sides = [Features(*features(seed)).map(torch.Tensor.bfloat16) for seed in (0, 1)]
    assert_close(flattened_cosine(*sides), flattened_cosine(*(side.float() for side in sides)), rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["summary", "spatial"])
@pytest.mark.parametrize("loss", [TinTeM(), Proteus()], ids=["tintem", "proteus"])
def test_a_missing_prediction_is_refused_by_the_name_of_its_kind(loss, kind):
    summary, spatial = features(0)
    pred = Features(summary, spatial)._replace(**{kind: None})
    with pytest.raises(ValueError, match=f"give the student a {kind} head"):
        loss(pred, Features(summary, spatial))


def test_a_teacher_without_any_feature_is_refused():
    with pytest.raises(ValueError, match="neither a summary nor spatial features"):
        TinTeM()(Features(*features(0)), Features(None, None))


def test_another_grid_is_refused(unchecked_shapes):
    summary, spatial = features(0)
    with pytest.raises(ValueError, match="resize the grid"):
        TinTeM()(Features(summary, spatial.mT), Features(summary, spatial))


def test_proteus_is_the_squared_error_of_both_kinds():
    (pred_summary, pred), (summary, target) = features(0), features(1)
    rows = Proteus()(Features(pred_summary, pred), Features(summary, target))
    assert list(rows) == ["spatial", "summary"]
    assert_close(rows["spatial"], mse(pred, target))
    assert_close(rows["summary"], (pred_summary - summary).square().mean(dim=1))
