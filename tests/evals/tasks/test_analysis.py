"""Pruning, truncation and moments against numpy, torch's own pruning and scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn
from torch.nn.utils import prune

from phis_lab.evals.probes.linear import linear_probe
from phis_lab.evals.subject import Subject
from phis_lab.evals.tasks.moments import FeatureMoments, feature_moments
from phis_lab.evals.tasks.pruning import Pruning, pruned
from phis_lab.evals.tasks.truncation import Truncation, WhitenedComponents, halved_dims, truncation_curve
from phis_lab.features import Features
from phis_lab.students import ViT


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.LayerNorm(16), nn.Linear(16, 8)).eval()


def images(seed: int, count: int = 90) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    shades = torch.eye(3)[labels] * 0.4 + 0.3 * torch.rand(count, 3, generator=generator)
    return shades[:, :, None, None].expand(-1, -1, 2, 2) + 0.1 * torch.rand(count, 3, 2, 2, generator=generator), labels


def subject(module: nn.Module | None) -> Subject:
    @torch.no_grad()
    def tokens(batch: torch.Tensor) -> Features:
        spatial = batch.permute(0, 2, 3, 1)
        return Features(batch.flatten(1) if module is None else module(batch.flatten(1)), spatial)

    def labelled(split, count):
        x, y = images(0 if split == "train" else 1)
        return zip(x[:count].split(40), y[:count].split(40), strict=True)

    return Subject(
        tokens=tokens,
        predictions=lambda _: {},
        teachers=lambda batch: {"double": Features(None, 2 * batch.permute(0, 2, 3, 1))},
        images=labelled,
        image_size=2,
        device=torch.device("cpu"),
        backbone=module,
    )


@pytest.mark.parametrize("share", [0.0, 0.35, 0.9])
def test_pruning_is_torch_s_own_and_is_undone_to_the_bit(share):
    ours, theirs, x = network(), network(), torch.randn(5, 12)
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    for layer in (theirs[0], theirs[3]):
        prune.l1_unstructured(layer, "weight", share)
    with pruned(ours, share):
        assert torch.equal(ours(x), theirs(x))
        assert [float((layer.weight == 0).float().mean()) for layer in (ours[0], ours[3])] == pytest.approx(
            [share, share], abs=0.01
        )
    after = ours.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_weights_come_back_after_an_error():
    module = network()
    before = module[0].weight.clone()
    with pytest.raises(KeyError), pruned(module, 0.5):
        raise KeyError
    assert torch.equal(module[0].weight, before)


def test_what_a_reparametrised_layer_computes_with_is_pruned():
    torch.manual_seed(0)
    vit = ViT(16, 8, width=24, depth=1, heads=2, spectral=True).eval()
    x = torch.rand(2, 3, 16, 16)
    qkv = vit.vit.blocks[0].attn.qkv
    weight, keys, before = qkv.weight.detach().clone(), vit.state_dict().keys(), vit(x).summary
    with pruned(vit, 0.5):
        least = weight.abs() <= weight.abs().flatten().sort().values[weight.numel() // 2 - 1]
        assert torch.equal(qkv.weight, torch.where(least, 0.0, weight))
        assert not torch.equal(vit(x).summary, before)
    assert torch.equal(vit(x).summary, before)
    assert vit.state_dict().keys() == keys


@pytest.mark.parametrize(
    ("module", "share", "message"),
    [(nn.Linear(2, 2), 1.0, r"in \[0, 1\), got 1\.0"), (nn.ReLU(), 0.5, "needs linear layers, and ReLU has none")],
)
def test_what_cannot_be_pruned_is_refused(module, share, message):
    with pytest.raises(ValueError, match=message), pruned(module, share):
        pass


def test_the_pruning_curve_begins_at_the_probe_of_the_whole_network():
    module = network()
    curve = Pruning(shares=[0.0, 0.5, 0.9])(subject(module))
    (train_x, train_y), (test_x, test_y) = images(0), images(1)
    with torch.no_grad():
        whole = linear_probe(module(train_x.flatten(1)), train_y, module(test_x.flatten(1)), test_y)
        with pruned(module, 0.9):
            sparse = linear_probe(module(train_x.flatten(1)), train_y, module(test_x.flatten(1)), test_y)
    assert curve.keys() == {"sparsity_0", "sparsity_50", "sparsity_90"}
    assert (curve["sparsity_0"], curve["sparsity_90"]) == (whole.accuracy, sparse.accuracy)


def test_pruning_without_a_backbone_is_refused():
    with pytest.raises(ValueError, match="shows no backbone"):
        Pruning()(subject(None))


def test_components_are_scikit_learn_s_up_to_their_sign():
    generator = torch.Generator().manual_seed(0)
    train, test = (torch.randn(n, 9, generator=generator) * torch.logspace(-2, 1, 9) + 5 for n in (200, 50))
    theirs = PCA(n_components=4, whiten=True).fit(train.double().numpy()).transform(test.double().numpy())
    ours = WhitenedComponents(train)(test, 4).numpy()
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), rtol=1e-5, atol=1e-7)


def test_directions_without_variance_give_zeros_and_no_noise():
    train = torch.randn(6, 10, generator=torch.Generator().manual_seed(0))
    z = WhitenedComponents(train)(100 * torch.randn(4, 10), 10)
    assert z.isfinite().all()
    assert (z[:, 5:] == 0).all()


def test_the_dims_of_unic_s_figure_follow_from_its_width():
    assert halved_dims(768) == [768, 384, 192, 96, 48, 24, 12, 6]
    assert halved_dims(5) == [5]


def test_the_truncation_curve_is_the_probe_on_the_components():
    (train_x, train_y), (test_x, test_y) = ((x.flatten(1), y) for x, y in (images(0), images(1)))
    curve = truncation_curve(train_x, train_y, test_x, test_y, [12, 2])
    model = PCA(n_components=2, whiten=True).fit(train_x.double().numpy())
    reduced = [torch.from_numpy(model.transform(x.double().numpy())) for x in (train_x, test_x)]
    assert curve[2] == linear_probe(reduced[0], train_y, reduced[1], test_y, standardize=False).accuracy
    assert Truncation(dims=[12, 2])(subject(None)) == {"dims_12": curve[12], "dims_2": curve[2]}
    assert Truncation(tokens="spatial")(subject(None)).keys() == {"dims_3"}


def test_more_components_than_channels_are_refused():
    with pytest.raises(ValueError, match=r"12 channels have 1 to 12 components, got \[13\]; change dims"):
        Truncation(dims=[13])(subject(None))


def test_moments_are_numpy_s_means_of_lengths_and_deviations():
    x = np.random.default_rng(0).normal(2, 3, (40, 7))
    assert feature_moments(torch.from_numpy(x)) == pytest.approx(
        {
            "norm": np.sqrt((x**2).sum(1)).mean(),
            "std_of_sample": x.std(axis=1, ddof=1).mean(),
            "std_of_channel": x.std(axis=0, ddof=1).mean(),
        }
    )


def test_moments_are_of_the_student_and_of_every_teacher():
    found = FeatureMoments(images=90)(subject(None))
    pooled = images(1)[0].mean((2, 3))
    for number, value in feature_moments(pooled).items():
        assert found[f"student/spatial/{number}"] == pytest.approx(value)
        assert found[f"teachers/double/spatial/{number}"] == pytest.approx(2 * value)
    assert found["student/summary/norm"] == pytest.approx(feature_moments(images(1)[0].flatten(1))["norm"])
    assert not any(name.startswith("teachers/double/summary") for name in found)
    assert {score.higher_is_better for score in found.values()} == {None}


def test_moments_of_one_row_are_refused():
    with pytest.raises(ValueError, match="two rows or more, got 1"):
        feature_moments(torch.ones(1, 3))
