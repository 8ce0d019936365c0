"""What the steps are divided into, and which images each part sees."""

import pytest
import torch

from phis_lab.data import ONE_STAGE, Augmentation, DataModule, PartitionPlan, StagePlan
from phis_lab.data.digits import Digits
from phis_lab.data.stage_plans import boundaries, check_batches

HALVES = {
    "small": StagePlan(steps=1.0),
    "large": StagePlan(
        steps=2.0, partitions={"low": PartitionPlan(scale=1.5), "high": PartitionPlan(scale=2.0, batch=0.25)}
    ),
}


def data(stages=HALVES, steps=6, start=0, seed=0, **options):
    module = DataModule(Digits(train_images=60, batch_size=16, seed=seed), Augmentation(8, **options), steps, stages)
    module.start_step = start
    return module


def test_shares_of_the_steps_become_spans_without_gaps():
    assert boundaries(HALVES, 6) == [(0, 2), (2, 6)]
    assert boundaries(ONE_STAGE, 7) == [(0, 7)]
    thirds = {name: StagePlan() for name in "abc"}
    assert boundaries(thirds, 10) == [(0, 3), (3, 7), (7, 10)]


def test_a_stage_without_a_step_is_refused():
    with pytest.raises(
        ValueError, match=r"stages\.small\.steps: its share of trainer\.max_steps=1 is less than one batch"
    ):
        boundaries(HALVES, 1)


def test_each_partition_has_its_size_its_batch_and_images_of_its_own():
    steps = list(data().train_dataloader())
    assert [{name: tuple(batch.images.shape) for name, batch in step.items()} for step in steps] == [
        {"all": (16, 3, 8, 8)},
        {"all": (16, 3, 8, 8)},
        *[{"low": (16, 3, 12, 12), "high": (4, 3, 16, 16)}] * 4,
    ]
    for step in steps[2:]:
        seen = torch.cat([batch.keys[:, 0] for batch in step.values()])
        assert len(seen.unique()) == 20


def test_a_run_that_goes_on_within_a_stage_sees_what_an_uninterrupted_one_sees():
    whole, rest = list(data().train_dataloader()), list(data(start=4).train_dataloader())
    assert len(rest) == 2
    for step, other in zip(whole[4:], rest, strict=True):
        for name, batch in step.items():
            assert torch.equal(batch.images, other[name].images)
            assert torch.equal(batch.keys, other[name].keys)


def test_stages_do_not_repeat_the_order_of_the_first():
    first, second = (
        step["all"].keys[:, 0] for step in list(data({n: StagePlan() for n in "ab"}).train_dataloader())[::3]
    )
    assert not torch.equal(first, second)


def test_evaluations_have_the_size_of_a_partition():
    images, _ = next(iter(data().eval_loader("test", 8, partition=PartitionPlan(scale=2.0))))
    assert images.shape == (8, 3, 16, 16)


@pytest.mark.parametrize(
    ("batch_size", "processes", "says"),
    [
        (1, 1, r"stages\.large\.partitions\.high\.batch: its share of data\.batch_size=1 is less than one image"),
        (4, 2, r"stages\.large\.partitions\.high\.batch: 1 images do not divide among 2 processes"),
        (56, 1, r"stages\.large: 70 images per step exceed the 60 training images"),
    ],
)
def test_batches_that_cannot_be_are_refused(batch_size, processes, says):
    with pytest.raises(ValueError, match=says):
        check_batches(HALVES, batch_size, 60, processes)


def test_a_batch_larger_than_the_data_set_names_the_usual_option():
    with pytest.raises(ValueError, match=r"data\.batch_size: 61 images per step exceed the 60"):
        check_batches(ONE_STAGE, 61, 60)


def test_a_shifted_view_is_larger_by_the_shift_and_has_no_fixed_views():
    assert next(iter(data(ONE_STAGE, shift=4).train_dataloader()))["all"].images.shape == (16, 3, 12, 12)
    with pytest.raises(ValueError, match="set views to null"):
        Augmentation(8, views=2, shift=4)
