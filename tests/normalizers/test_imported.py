"""Maps that another program fitted become normalisers and go out again."""

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.testing import assert_close

from phis_lab.linalg import Moments
from phis_lab.normalizers import (
    FeatureMap,
    Normalizer,
    PhiS,
    affine_from_buffers,
    affine_from_state_dict,
)

DIM = 12


def features(rows=200):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(rows, DIM, generator=generator) @ torch.randn(DIM, DIM, generator=generator) + 3


def buffers():
    weight, shift = PhiS(DIM).fit(Moments(DIM).update(features())).affine()
    return shift.float(), weight.float()


def test_the_map_is_that_of_the_papers_formula_and_has_a_way_back():
    mean, tx = buffers()
    ours = affine_from_buffers(mean, tx)
    x = features()
    assert isinstance(ours, Normalizer)
    assert_close(ours(x), (x - mean) @ tx.T, atol=1e-5, rtol=1e-5)
    assert_close(ours.inverse(ours(x)), x, atol=1e-4, rtol=1e-4)
    assert_close(ours(x).var(dim=0), torch.ones(DIM), atol=1e-4, rtol=1e-4)
    weight, shift = ours.affine()
    assert_close((shift, weight), (mean, tx))


def test_it_folds_into_a_head():
    torch.manual_seed(0)
    ours, head, z = affine_from_buffers(*buffers()), nn.Linear(5, DIM), torch.randn(7, 5)
    assert_close(ours.fold_into(head)(z), ours.inverse(head(z)), atol=1e-4, rtol=1e-4)


def test_it_is_saved_in_the_documented_layout_and_read_again(tmp_path):
    ours = affine_from_buffers(*buffers())
    ours.save(tmp_path / "map.safetensors")
    again = FeatureMap.load(tmp_path / "map.safetensors")
    assert torch.equal(again(features()), ours(features()))
    plain = load_file(tmp_path / "map.safetensors")
    assert {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in plain.items()} == {
        "fitted": (torch.bool, ()),
        "shift": (torch.float64, (DIM,)),
        "weight": (torch.float64, (DIM, DIM)),
        "inverse_weight": (torch.float64, (DIM, DIM)),
    }
    assert_close((features().double() - plain["shift"]) @ plain["weight"].T, ours.double()(features()))


def test_every_pair_of_a_checkpoint_is_found():
    mean, tx = buffers()
    state = {
        "model.blocks.0.weight": torch.zeros(3, 3),
        "base.feature_normalizer.mean": mean,
        "base.feature_normalizer.tx": tx,
        "batch_norm.mean": torch.zeros(4),
    }
    found = affine_from_state_dict(state)
    assert list(found) == ["base.feature_normalizer"]
    assert torch.equal(found["base.feature_normalizer"](features()), affine_from_buffers(mean, tx)(features()))
    assert list(affine_from_state_dict({"mean": mean, "tx": tx})) == [""]


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("mean", "tx", "says"),
    [
        (torch.zeros(3), torch.eye(4), r"got \[3\] and \[4, 4\]"),
        (torch.zeros(1, 3), torch.eye(3), r"got \[1, 3\] and \[3, 3\]"),
        (torch.zeros(0), torch.zeros(0, 0), r"got \[0\] and \[0, 0\]"),
        (torch.zeros(3), torch.ones(3, 3), "has no inverse"),
        (torch.zeros(3), torch.zeros(3, 3), "has no inverse"),
        (torch.full((3,), torch.nan), torch.eye(3), "must be finite"),
        (torch.zeros(3), torch.full((3, 3), torch.inf), "must be finite"),
    ],
)
def test_buffers_of_no_map_are_refused(mean, tx, says):
    with pytest.raises(ValueError, match=says):
        affine_from_buffers(mean, tx)


def test_what_is_no_tensor_or_no_checkpoint_is_refused():
    with pytest.raises(ValueError, match=r"no pair of NAME\.mean and NAME\.tx among 1 tensors"):
        affine_from_state_dict({"feature_normalizer.mean": torch.zeros(3)})
    with pytest.raises(ValueError, match="keeps the statistics that it came with"):
        affine_from_buffers(*buffers()).fit(Moments(DIM).update(features()))


def test_half_precision_buffers_are_taken():
    mean, tx = (tensor.bfloat16() for tensor in buffers())
    assert_close(affine_from_buffers(mean, tx)(features()), (features() - mean.float()) @ tx.float().T)
