import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

import phis_lab.evals.probes.knn as knn_module
from phis_lab.evals import knn_predict


def classification(train=200, test=60, classes=5, dim=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, dim, generator=generator)
    y = torch.randint(classes, (train + test,), generator=generator)
    x = centres[y] + 1.5 * torch.randn(train + test, dim, generator=generator)
    return x[:train], y[:train], x[train:]


@pytest.mark.parametrize("k", [1, 5, 20, 200])
@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_radio_protocol_equals_scikit_learn_with_exponential_weights(k, temperature):
    train_x, train_y, test_x = classification()
    peer = KNeighborsClassifier(
        k, metric="cosine", algorithm="brute", weights=lambda distance: np.exp((1 - distance) / temperature)
    )
    expected = peer.fit(train_x.double(), train_y).predict(test_x.double())
    np.testing.assert_array_equal(knn_predict(train_x, train_y, test_x, k, temperature), expected)


def test_dino_protocol_equals_a_softmax_vote_by_brute_force():
    train_x, train_y, test_x = (x.numpy() for x in classification())
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (test_x, train_x))
    similarity = a @ b.T
    expected = []
    for row in similarity:
        nearest = np.argsort(-row)[:10]
        weights = np.exp(row[nearest] / 0.07)
        votes = np.bincount(train_y[nearest], weights / weights.sum(), minlength=5)
        expected.append(votes.argmax())
    predicted = knn_predict(*classification(), k=10, protocol="dino")
    np.testing.assert_array_equal(predicted, expected)


@given(seed=st.integers(0, 1000), k=st.integers(1, 30))
def test_both_protocols_predict_the_same_classes(seed, k):
    data = classification(train=40, test=20, seed=seed)
    assert torch.equal(knn_predict(*data, k=k), knn_predict(*data, k=k, protocol="dino"))


@given(seed=st.integers(0, 1000), scale=st.floats(1e-3, 1e3))
def test_the_scale_of_the_features_does_not_matter(seed, scale):
    train_x, train_y, test_x = classification(train=40, test=20, seed=seed)
    assert torch.equal(knn_predict(train_x, train_y, test_x), knn_predict(scale * train_x, train_y, test_x / scale))


@given(seed=st.integers(0, 1000), chunk=st.integers(1, 500))
def test_the_chunks_do_not_show_even_among_many_ties(seed, chunk):
    generator = torch.Generator().manual_seed(seed)
    train_x, test_x = (torch.randint(-1, 2, (n, 3), generator=generator).float() for n in (40, 20))
    train_y = torch.randint(4, (40,), generator=generator)
    with pytest.MonkeyPatch.context() as patch:
        expected = knn_predict(train_x, train_y, test_x, k=7)
        patch.setattr(knn_module, "_CHUNK_ELEMENTS", chunk)
        assert torch.equal(knn_predict(train_x, train_y, test_x, k=7), expected)


def test_of_equally_near_images_the_first_ones_vote():
    labels = torch.tensor([2, 2, 1, 1, 1, 1, 1])
    duplicates = torch.ones(7, 3) * torch.arange(1, 8)[:, None]
    assert knn_predict(duplicates, labels, torch.ones(1, 3), k=3).tolist() == [2]


def test_of_equal_votes_the_smallest_label_wins():
    labels = torch.tensor([9, 3, 9, 3])
    assert knn_predict(torch.ones(4, 3), labels, torch.ones(1, 3), k=4).tolist() == [3]


def test_labels_may_be_any_integers():
    train_x, train_y, test_x = classification()
    names = torch.tensor([-7, 100, 3, 10**12, 0])
    assert torch.equal(knn_predict(train_x, names[train_y], test_x), names[knn_predict(train_x, train_y, test_x)])


@pytest.mark.parametrize("k", [0, 41])
def test_more_neighbours_than_training_images_are_refused(k):
    with pytest.raises(ValueError, match=f"between 1 and the 40 training images, got {k}"):
        knn_predict(*classification(train=40), k=k)


@pytest.mark.parametrize("temperature", [0.0, -1.0, 1e-4, float("nan")])
def test_temperatures_whose_weights_would_overflow_are_refused(temperature):
    with pytest.raises(ValueError, match="temperature must be at least 1/700"):
        knn_predict(*classification(), temperature=temperature)


def test_another_protocol_is_refused_with_the_options(unchecked_shapes):
    with pytest.raises(ValueError, match="radio or dino, got 'dinov2'"):
        knn_predict(*classification(), protocol="dinov2")


def test_nan_in_the_features_is_refused():
    train_x, train_y, test_x = classification()
    test_x[3, 2] = float("nan")
    with pytest.raises(ValueError, match="test_x holds NaN"):
        knn_predict(train_x, train_y, test_x)


def test_sizes_that_do_not_agree_are_refused(unchecked_shapes):
    train_x, train_y, test_x = classification()
    with pytest.raises(ValueError, match="sizes do not agree"):
        knn_predict(train_x, train_y[:-1], test_x)
    with pytest.raises(ValueError, match="sizes do not agree"):
        knn_predict(train_x, train_y, test_x[:, :-1])
