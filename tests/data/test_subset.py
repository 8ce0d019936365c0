import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from phis_lab.data import Subset, TensorImages


def source_of(labels):
    images = torch.arange(len(labels), dtype=torch.uint8).reshape(-1, 1, 1)
    return TensorImages("made", images, torch.tensor(labels), "abc")


label_lists = st.lists(st.integers(-1, 2), min_size=1, max_size=60)


@given(labels=label_lists, data=st.data())
def test_a_subset_is_as_balanced_as_its_classes_allow(labels, data):
    count = data.draw(st.integers(1, len(labels)))
    taken = Subset(source_of(labels), count).labels.tolist()
    assert len(taken) == count
    for label in set(labels):
        exhausted = taken.count(label) == labels.count(label)
        assert exhausted or taken.count(label) >= max(map(taken.count, set(labels))) - 1


@given(labels=label_lists, data=st.data())
def test_smaller_subsets_lie_in_larger_ones_and_keep_the_source_s_order(labels, data):
    large = data.draw(st.integers(1, len(labels)))
    small = data.draw(st.integers(1, large))
    chosen = [Subset(source_of(labels), count).positions.tolist() for count in (small, large)]
    assert set(chosen[0]) <= set(chosen[1])
    assert chosen[1] == sorted(chosen[1])


def test_a_subset_hands_out_the_source_s_images_labels_and_names():
    source = source_of([0, 1, 2, 0, 1, 2])
    subset = Subset(source, 4)
    for index, position in enumerate(subset.positions.tolist()):
        assert torch.equal(subset.image(index), source.image(position))
        assert subset.labels[index] == source.labels[position]
        assert subset.image_name(index) == f"made[{position}]"


def test_the_fingerprint_tells_subsets_apart():
    source = source_of([0, 1, 2, 0])
    assert len({source.fingerprint, Subset(source, 2).fingerprint, Subset(source, 3).fingerprint}) == 3
    assert Subset(source, 2).fingerprint == Subset(source_of([0, 1, 2, 0]), 2).fingerprint


@pytest.mark.parametrize("count", [0, 5])
def test_a_subset_of_more_than_all_or_of_none_is_refused(count):
    with pytest.raises(ValueError, match=f"a subset of made has 1 to 4 images, got {count}"):
        Subset(source_of([0, 1, 2, 0]), count)
