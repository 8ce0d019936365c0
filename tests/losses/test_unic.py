"""UNIC's loss by hand, and what the other balancers make of one row per teacher."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

import phis_lab.losses
from phis_lab.features import Features
from phis_lab.losses import MSE, UNIC, AdaLoss, TeacherDropping, Uniform, cosine, functional, smooth_l1
from phis_lab.losses.functional import unic

TOLERANCE = {"rtol": 0, "atol": 1e-5}


def features(seed, images=3):
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(images, 6, generator=generator), 2 * torch.randn(images, 2, 2, 5, generator=generator)


def of_a_token(x: np.ndarray, y: np.ndarray) -> float:
    """The formula, for one token, as one writes it."""
    direction = 1 - x @ y / (np.linalg.norm(x) * np.linalg.norm(y))
    gaps = [abs(d) for d in x - y]
    return direction / 2 + sum(d**2 / 2 if d < 1 else d - 0.5 for d in gaps) / len(gaps) / 2


def of_an_image(pred_summary, pred_spatial, summary, spatial) -> float:
    patches = zip(pred_spatial.reshape(-1, 5), spatial.reshape(-1, 5), strict=True)
    return (of_a_token(pred_summary, summary) + np.mean([of_a_token(x, y) for x, y in patches])) / 2


def test_two_tokens_worked_out_by_hand():
    pred_summary, summary = torch.tensor([[3.0, 4.0]]), torch.tensor([[3.0, 0.0]])
    pred_spatial, spatial = torch.tensor([[[[1.0, 0.0], [0.0, 2.0]]]]), torch.tensor([[[[1.0, 0.5], [0.0, 1.0]]]])
    of_summary = (1 - 9 / 15) / 2 + (0 + 3.5) / 2 / 2
    of_patches = [(1 - 1 / 1.25**0.5) / 2 + 0.125 / 2 / 2, 0 + 0.5 / 2 / 2]
    expected = torch.tensor([(of_summary + sum(of_patches) / 2) / 2])
    assert_close(unic(pred_summary, pred_spatial, summary, spatial), expected, **TOLERANCE)


@given(seed=st.integers(0, 1000))
def test_every_image_has_the_value_of_the_formula_written_token_by_token(seed):
    sides = (*features(seed), *features(seed + 1))
    expected = [of_an_image(*(side[image].double().numpy() for side in sides)) for image in range(3)]
    assert_close(unic(*sides), torch.tensor(expected, dtype=torch.float32), **TOLERANCE)


def test_patches_may_lie_on_a_grid_or_in_a_row():
    (pred_summary, pred), (summary, target) = features(0), features(1)
    assert_close(
        unic(pred_summary, pred.flatten(1, 2), summary, target.flatten(1, 2)), unic(pred_summary, pred, summary, target)
    )


def test_a_kind_that_the_teacher_lacks_leaves_the_other_alone():
    (pred_summary, pred), (summary, target) = features(0), features(1)
    for x, y, given_kinds in ((pred_summary, summary, (summary, None)), (pred, target, (None, target))):
        expected = (cosine(x, y) + smooth_l1(x, y)) / 2
        assert_close(unic(pred_summary, pred, *given_kinds), expected)


def test_a_perfect_prediction_costs_nothing():
    sides = features(0)
    assert_close(unic(*sides, *sides), torch.zeros(3), **TOLERANCE)


def test_low_precision_is_computed_in_float32():
    sides = [side.bfloat16() for side in (*features(0), *features(1))]
    assert_close(unic(*sides), unic(*(side.float() for side in sides)), rtol=0, atol=0)


def test_the_module_gives_one_row_per_teacher():
    sides = (*features(0), *features(1))
    rows = UNIC()(Features(*sides[:2]), Features(*sides[2:]))
    assert list(rows) == ["unic"]
    assert_close(rows["unic"], unic(*sides))
    assert_close(UNIC().summary(sides[0], sides[2]), unic(sides[0], None, sides[2], None))
    assert_close(UNIC().spatial(sides[1], sides[3]), unic(None, sides[1], None, sides[3]))


def test_the_function_has_the_names_that_it_is_looked_for_under():
    assert phis_lab.losses.unic is functional.unic


@pytest.mark.parametrize("kind", ["summary", "spatial"])
@pytest.mark.parametrize("loss", [MSE(), UNIC()], ids=["mse", "unic"])
def test_a_missing_prediction_is_refused_by_the_name_of_its_kind(loss, kind):
    summary, spatial = features(0)
    pred = Features(summary, spatial)._replace(**{kind: None})
    with pytest.raises(ValueError, match=f"give the student a {kind} head"):
        loss(pred, Features(summary, spatial))


def test_a_teacher_without_any_feature_is_refused():
    with pytest.raises(ValueError, match="neither a summary nor spatial features"):
        unic(*features(0), None, None)


def test_another_grid_is_refused(unchecked_shapes):
    summary, spatial = features(0)
    with pytest.raises(ValueError, match="resize the grid"):
        unic(summary, spatial[:, :1], summary, spatial)


def rows_of(teachers):
    return torch.stack(
        [UNIC()(Features(*features(seed)), Features(*features(seed + 50)))["unic"] for seed in range(teachers)]
    )


def test_fixed_weights_are_one_per_teacher():
    rows = rows_of(4)
    expected = sum(w * row.mean() for w, row in zip((4, 1, 1, 1), rows, strict=True))
    assert_close(Uniform(weights=[4, 1, 1, 1])(rows), expected)
    assert_close(Uniform(weights=[1 / 4] * 4)(rows), TeacherDropping(0.0)(rows))


def test_adaloss_evens_out_teachers():
    rows = rows_of(4)
    assert_close(AdaLoss()(rows * torch.tensor([[1.0], [10.0], [0.1], [3.0]])), torch.tensor(4.0))
