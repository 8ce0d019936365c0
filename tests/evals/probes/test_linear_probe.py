import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from phis_lab.evals import linear_probe


def classification(train=300, test=200, classes=4, dim=10, seed=0):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, dim, generator=generator)
    y = torch.randint(classes, (train + test,), generator=generator)
    x = centres[y] + 1.5 * torch.randn(train + test, dim, generator=generator)
    x = x * torch.logspace(-1, 1, dim) + 3
    return x[:train], y[:train], x[train:], y[train:]


def scikit_learn(train_x, train_y, test_x, test_y, *, c, standardize=True):
    """Returns accuracy and mean objective of scikit-learn's solution of the multinomial problem."""
    train_x, test_x = train_x.double().numpy(), test_x.double().numpy()
    if standardize:
        scaler = StandardScaler().fit(train_x)
        train_x, test_x = scaler.transform(train_x), scaler.transform(test_x)
    peer = LogisticRegression(C=c, tol=1e-8, max_iter=20_000).fit(train_x, train_y.numpy())
    penalty = (peer.coef_**2).sum() / (2 * c * len(train_x))
    objective = log_loss(train_y, peer.predict_proba(train_x), labels=peer.classes_) + penalty
    return peer.score(test_x, test_y), objective


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
def test_the_solution_is_scikit_learns(c, standardize):
    data = classification()
    result = linear_probe(*data, c=c, standardize=standardize)
    accuracy, objective = scikit_learn(*data, c=c, standardize=standardize)
    assert result.converged
    assert result.objective == pytest.approx(objective, rel=1e-6)
    assert result.accuracy == pytest.approx(accuracy, abs=0.005)


def test_two_classes_are_the_two_vector_form_of_scikit_learns_one():
    train_x, train_y, test_x, test_y = classification(classes=2)
    result = linear_probe(train_x, train_y, test_x, test_y, c=0.3)
    accuracy, objective = scikit_learn(train_x, train_y, test_x, test_y, c=0.6)
    assert result.objective == pytest.approx(objective, rel=1e-6)
    assert result.accuracy == pytest.approx(accuracy, abs=0.005)


def test_standardised_features_of_any_scale_and_shift_give_the_same_probe():
    train_x, train_y, test_x, test_y = classification()
    scale, shift = torch.logspace(2, -3, 10), 50.0
    moved = linear_probe(train_x * scale + shift, train_y, test_x * scale + shift, test_y)
    assert moved.objective == pytest.approx(linear_probe(train_x, train_y, test_x, test_y).objective, rel=1e-3)


def test_a_constant_channel_changes_nothing():
    train_x, train_y, test_x, test_y = classification()
    with_constant = [torch.cat([x, torch.full((len(x), 1), 0.1)], dim=1) for x in (train_x, test_x)]
    result = linear_probe(with_constant[0], train_y, with_constant[1], test_y)
    expected = linear_probe(train_x, train_y, test_x, test_y)
    assert result.objective == pytest.approx(expected.objective, rel=1e-9)


def test_the_result_depends_on_no_random_stream_and_no_grad_mode():
    data = classification()
    torch.manual_seed(1)
    expected = linear_probe(*data)
    state = torch.manual_seed(2).get_state()
    with torch.inference_mode():
        assert linear_probe(*classification()) == expected
    with torch.no_grad():
        assert linear_probe(*data) == expected
    assert torch.equal(torch.get_rng_state(), state)


def test_labels_may_be_any_integers():
    train_x, train_y, test_x, test_y = classification()
    names = torch.tensor([-7, 100, 3, 10**12])
    result = linear_probe(train_x, names[train_y], test_x, names[test_y])
    assert result.accuracy == pytest.approx(linear_probe(train_x, train_y, test_x, test_y).accuracy, abs=0.005)


def test_a_solver_stopped_too_early_says_so():
    result = linear_probe(*classification(), max_iterations=2)
    assert not result.converged
    assert result.iterations == 2


def test_class_noise_gives_chance():
    train_x, train_y, test_x, test_y = classification(train=2000, test=2000)
    shuffled = torch.from_numpy(np.random.default_rng(0).permutation(test_y.numpy()))
    assert linear_probe(train_x, train_y, test_x, shuffled).accuracy == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize("c", [0.0, -1.0, float("nan")])
def test_a_c_that_is_not_positive_is_refused(c):
    with pytest.raises(ValueError, match="c must be positive"):
        linear_probe(*classification(), c=c)


@pytest.mark.parametrize(("position", "name"), [(0, "train_x"), (2, "test_x")])
def test_nan_in_the_features_is_refused(position, name):
    data = classification()
    data[position][0, 0] = float("nan")
    with pytest.raises(ValueError, match=f"{name} holds NaN"):
        linear_probe(*data)


def test_a_class_absent_from_training_is_refused_by_its_label():
    train_x, train_y, test_x, test_y = classification()
    with pytest.raises(ValueError, match=r"test classes \[3\] are absent from training"):
        linear_probe(train_x, train_y.clamp_max(2), test_x, test_y)


def test_a_single_training_class_is_refused():
    train_x, train_y, test_x, test_y = classification()
    with pytest.raises(ValueError, match=r"hold only \[0\]"):
        linear_probe(train_x, 0 * train_y, test_x, 0 * test_y)


def test_sizes_that_do_not_agree_are_refused(unchecked_shapes):
    train_x, train_y, test_x, test_y = classification()
    with pytest.raises(ValueError, match="sizes do not agree: test features"):
        linear_probe(train_x, train_y, test_x[:-1], test_y)
