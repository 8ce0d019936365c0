"""Which image sizes are streamed, and that the pixels are those of a run."""

import pytest
import torch

from phis_lab.data import ONE_STAGE, Augmentation, PartitionPlan, StagePlan, StepSampler
from phis_lab.data.digits import Digits
from phis_lab.survey.passes import FirstViews, passes

TEACHERS = ("a", "b")


def plan(**partitions):
    return StagePlan(partitions=partitions)


def seen(found):
    return {(partition.scale, name, factor) for partition in found for name, factor in partition.teachers.items()}


def test_without_stages_one_pass_shows_all_teachers_the_images():
    assert passes(ONE_STAGE, TEACHERS) == [PartitionPlan(scale=1.0, teachers={"a": 1.0, "b": 1.0})]


def test_stages_at_the_same_size_share_a_pass():
    low, high = PartitionPlan(), PartitionPlan(scale=4.0, batch=0.125)
    found = passes({"first": plan(low=low), "second": plan(low=low, high=high)}, TEACHERS)
    assert [partition.scale for partition in found] == [1.0, 4.0]
    assert seen(found) == {(size, name, 1.0) for size in (1.0, 4.0) for name in TEACHERS}


def test_teachers_with_images_of_their_own_share_a_pass():
    parts = {name: PartitionPlan(batch=0.5, teachers={name: 1.0}) for name in TEACHERS}
    assert len(passes({"all": plan(**parts)}, TEACHERS)) == 1


def test_a_teacher_at_two_of_its_own_sizes_takes_two_passes():
    parts = {"near": PartitionPlan(teachers={"a": 1.0, "b": 1.0}), "far": PartitionPlan(teachers={"a": 2.0})}
    found = passes({"all": plan(**parts)}, TEACHERS)
    assert len(found) == 2
    assert seen(found) == {(1.0, "a", 1.0), (1.0, "b", 1.0), (1.0, "a", 2.0)}


def stream(source, augmentation, count):
    batches = list(FirstViews(source, augmentation, count).batches())
    return torch.cat([batch.images for batch in batches]), torch.cat([batch.keys for batch in batches])


@pytest.mark.parametrize(("views", "seed"), [(None, 5), (3, 7)])
def test_the_images_are_those_of_a_runs_first_steps(views, seed):
    source, augmentation = Digits(batch_size=16, seed=5), Augmentation(24, views=views, seed=7)
    images, keys = stream(source, augmentation, 40)
    steps = StepSampler(len(source.train), 16, 3, 5, views=views)
    assert [tuple(key) for key in keys.tolist()] == [key for step in steps for key in step][:40]
    for image, (index, view) in zip(images, keys.tolist(), strict=True):
        assert torch.equal(image, augmentation.random_view(source.train.image(index), seed, index, view))


def test_every_image_comes_once_also_those_that_fill_no_batch():
    source = Digits(batch_size=64, train_images=100)
    _, keys = stream(source, Augmentation(8), 100)
    assert sorted(keys[:, 0].tolist()) == list(range(100))
    assert keys[:, 1].unique().tolist() == [0]


def test_of_larger_views_the_teachers_see_their_own_part():
    source = Digits(batch_size=16)
    images, keys = stream(source, Augmentation(16, shift=8), 16)
    whole = Augmentation(24).random_view(source.train.image(int(keys[0, 0])), 0, *keys[0].tolist())
    assert images.shape[2:] == (16, 16)
    assert torch.equal(images[0], whole[:, :16, :16])
