"""The oracle is brute force in float64, sorted stably; scikit-learn where ties cannot occur."""

import pytest
import torch
from feature_kinds import (
    DIM,
    KINDS,
    TEST,
    duplicated,
    features,
    gaussian,
    large_mean,
    mostly_one_image,
    sorted_clusters,
    zeros_and_opposites,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.neighbors import NearestNeighbors
from torch.nn.functional import normalize

from phis_lab.evals import nearest_neighbours
from phis_lab.evals.neighbours import exact, nearest

DTYPES = [torch.bfloat16, torch.float32]


def by_brute_force(train, test, k):
    cosines = (normalize(test.double()) @ normalize(train.double()).T).float()
    value, index = cosines.sort(dim=1, descending=True, stable=True)
    return value[:, :k], index[:, :k]


def assert_same(found, expected):
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])


@pytest.fixture(params=DTYPES, ids=str)
def product_dtype(request, monkeypatch):
    monkeypatch.setattr(nearest, "_product_dtype", lambda device: request.param)
    return request.param


@pytest.fixture
def brute_forced(monkeypatch):
    """How many test rows were compared with all training rows."""
    rows = []

    def counting(train, test, k):
        rows.append(len(test))
        return exact.nearest_by_brute_force(train, test, k)

    monkeypatch.setattr(nearest, "nearest_by_brute_force", counting)
    return rows


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 7), dtype=st.sampled_from(DTYPES))
def test_the_neighbours_are_those_of_brute_force(kind, seed, k, dtype):
    train, test = features(kind, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearest, "_product_dtype", lambda device: dtype)
        assert_same(nearest_neighbours(train, test, k), by_brute_force(train, test, k))


@pytest.mark.parametrize("kind", [gaussian, sorted_clusters, duplicated, mostly_one_image])
@settings(max_examples=8)
@given(seed=st.integers(0, 10_000), chunk=st.integers(1, 50_000), block=st.integers(100, 3000))
def test_pieces_of_any_size_give_the_same_answer(kind, seed, chunk, block):
    train, test = features(kind, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(exact._CHUNK_ELEMENTS, "cpu", chunk)
        patch.setitem(exact._BLOCK_ELEMENTS, "cpu", block * DIM)
        assert_same(nearest_neighbours(train, test, 2), by_brute_force(train, test, 2))


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 10_000), tile=st.integers(300, 1999), k=st.integers(1, 7))
def test_a_training_set_of_several_tiles_gives_the_same_answer(kind, seed, tile, k):
    train, test = features(kind, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearest, "_TILE_ROWS", tile)
        assert_same(nearest_neighbours(train, test, k), by_brute_force(train, test, k))


@pytest.mark.parametrize("kind", [gaussian, mostly_one_image])
def test_several_threads_give_the_same_answer(kind, product_dtype):
    train, test = features(kind, 0)
    torch.set_num_threads(3)
    try:
        assert_same(nearest_neighbours(train, test, 5), by_brute_force(train, test, 5))
        with torch.inference_mode():
            assert_same(nearest_neighbours(train.clone(), test.clone(), 5), by_brute_force(train, test, 5))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(1)


@given(seed=st.integers(0, 10_000))
def test_permuted_test_images_get_permuted_answers(seed):
    train, test = features(duplicated, seed)
    order = torch.randperm(TEST, generator=torch.Generator().manual_seed(seed))
    similarity, index = nearest_neighbours(train, test, 5)
    assert_same(nearest_neighbours(train, test[order], 5), (similarity[order], index[order]))


def test_few_pairs_are_compared_exactly_and_none_by_brute_force(product_dtype, brute_forced):
    train, test = features(large_mean, 0)
    assert_same(nearest_neighbours(train, test, 3), by_brute_force(train, test, 3))
    assert brute_forced == []


def test_rows_with_too_many_candidates_are_compared_with_all(product_dtype, brute_forced):
    train, test = features(mostly_one_image, 0)
    assert_same(nearest_neighbours(train, test, 3), by_brute_force(train, test, 3))
    assert 0 < sum(brute_forced) < TEST


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_features_of_any_precision_are_compared_in_float64(dtype, product_dtype):
    train, test = (x.to(dtype) for x in features(gaussian, 0))
    assert_same(nearest_neighbours(train, test, 5), by_brute_force(train, test, 5))


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_features_of_extreme_scale_are_compared_all_the_same(scale, product_dtype):
    train, test = features(gaussian, 0)
    assert_same(nearest_neighbours(train * scale, test, 5), by_brute_force(train * scale, test, 5))


@pytest.mark.parametrize("size", [1, 2, 31, 33, 700])
def test_all_training_images_can_be_neighbours(size):
    train, test = features(gaussian, 0)
    assert_same(nearest_neighbours(train[:size], test, size), by_brute_force(train[:size], test, size))


def test_no_test_images_have_no_neighbours():
    train, test = features(gaussian, 0)
    similarity, index = nearest_neighbours(train, test[:0], 3)
    assert similarity.shape == index.shape == (0, 3)


def test_zeros_have_cosine_zero_with_everything():
    train, test = features(zeros_and_opposites, 0)
    similarity, index = nearest_neighbours(train, test[:1], 3)
    assert similarity.tolist() == [[0, 0, 0]]
    assert index.tolist() == [[0, 1, 2]]


def test_images_find_themselves_among_equal_neighbours_in_order():
    train = features(gaussian, 0)[0][:500].repeat(4, 1)
    similarity, index = nearest_neighbours(train, train[:10], 4)
    assert index.tolist() == [[i, 500 + i, 1000 + i, 1500 + i] for i in range(10)]
    assert similarity.tolist() == [[1.0] * 4] * 10


def test_neighbours_of_real_images_are_those_of_scikit_learn(product_dtype):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.tensor(load_digits().data).double()
    pixels += 0.1 * torch.rand(pixels.shape, generator=generator, dtype=torch.float64)
    train, test = pixels[:1500], pixels[1500:]
    distance, index = NearestNeighbors(n_neighbors=5, metric="cosine", algorithm="brute").fit(train).kneighbors(test)
    found = nearest_neighbours(train, test, 5)
    assert torch.equal(found[1], torch.from_numpy(index))
    torch.testing.assert_close(found[0].double(), 1 - torch.from_numpy(distance), atol=1e-7, rtol=0)


@pytest.fixture
def user_settings():
    """A user who wants speed: half precision wherever torch can have it."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    with torch.autocast("cpu", torch.bfloat16):
        yield
    torch.set_float32_matmul_precision(before)


def precision_in_force():
    reduced = torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction
    return torch.get_float32_matmul_precision(), torch.is_autocast_enabled("cpu"), reduced


@pytest.mark.usefixtures("user_settings")
def test_the_precision_that_a_user_chose_changes_nothing(product_dtype, monkeypatch):
    during = []
    monkeypatch.setattr(nearest, "unit_rows", lambda x: during.append(precision_in_force()) or exact.unit_rows(x))
    train, test = features(large_mean, 0)
    before = precision_in_force()
    assert_same(nearest_neighbours(train, test, 5), by_brute_force(train, test, 5))
    assert set(during) == {("highest", False, False)}
    assert before == precision_in_force() == ("medium", True, True)


def test_features_with_gradients_are_welcome():
    train, test = features(gaussian, 0)
    found = nearest_neighbours(train.requires_grad_(), test, 3)
    assert_same(found, by_brute_force(train.detach(), test, 3))
    assert not found[0].requires_grad


@pytest.mark.parametrize("k", [0, 41])
def test_more_neighbours_than_training_images_are_refused(k):
    with pytest.raises(ValueError, match=f"between 1 and the 40 training images, got {k}"):
        nearest_neighbours(torch.ones(40, 3), torch.ones(2, 3), k)


@pytest.mark.usefixtures("unchecked_shapes")
def test_other_dimensions_are_refused():
    with pytest.raises(ValueError, match=r"sizes do not agree: train_x \(40, 3\), test_x \(2, 4\)"):
        nearest_neighbours(torch.ones(40, 3), torch.ones(2, 4), 1)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_features_that_are_not_finite_are_refused_by_name(value):
    train, test = torch.ones(40, 3), torch.ones(2, 3)
    train[7, 1] = value
    with pytest.raises(ValueError, match="train_x holds NaN or infinity"):
        nearest_neighbours(train, test, 1)


def test_finite_features_whose_sum_overflows_are_welcome():
    train = torch.full((40, 3), 3e38)
    assert nearest_neighbours(train, torch.ones(1, 3), 1)[0].tolist() == [[1.0]]
