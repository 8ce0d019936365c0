import pytest
from hypothesis import given
from hypothesis import strategies as st

from phis_lab.data import StepSampler

seeds = st.integers(0, 2**40)
sizes = st.integers(4, 40).flatmap(lambda images: st.tuples(st.just(images), st.integers(1, images)))


@given(size=sizes, seed=seeds, start=st.integers(0, 30), views=st.sampled_from([None, 1, 3]))
def test_a_resumed_run_sees_the_steps_that_an_uninterrupted_one_would(size, seed, start, views):
    whole = list(StepSampler(*size, 30, seed, views=views))
    resumed = StepSampler(*size, 30, seed, start=start, views=views)
    assert list(resumed) == whole[start:]
    assert len(resumed) == 30 - start


@given(images=st.integers(12, 40), seed=seeds, world=st.sampled_from([2, 3, 4]), start=st.integers(0, 9))
def test_the_parts_of_all_processes_side_by_side_are_the_batch_of_one(images, seed, world, start):
    parts = [StepSampler(images, 12, 10, seed, start=start, rank=rank, world=world) for rank in range(world)]
    joined = [[key for part in step for key in part] for step in zip(*parts, strict=True)]
    assert joined == list(StepSampler(images, 12, 10, seed, start=start))


@given(batch_size=st.integers(1, 8), batches=st.integers(1, 6), seed=seeds)
def test_an_epoch_holds_every_image_once_where_batches_divide_it(batch_size, batches, seed):
    images = batch_size * batches
    steps = list(StepSampler(images, batch_size, 3 * batches, seed))
    for epoch in range(3):
        seen = [index for step in steps[epoch * batches : (epoch + 1) * batches] for index, _ in step]
        assert sorted(seen) == list(range(images))


@given(size=sizes, seed=seeds)
def test_no_batch_straddles_epochs_and_none_is_short(size, seed):
    images, batch_size = size
    per_epoch = images // batch_size
    steps = list(StepSampler(images, batch_size, 2 * per_epoch, seed))
    assert {len(set(step)) for step in steps} == {batch_size}
    for epoch in range(2):
        seen = [key for step in steps[epoch * per_epoch : (epoch + 1) * per_epoch] for key in step]
        assert len(set(seen)) == len(seen)
        assert {view for _, view in seen} == {epoch}


def test_fixed_views_take_turns_over_the_epochs():
    steps = list(StepSampler(4, 4, 7, seed=0, views=3))
    assert [step[0][1] for step in steps] == [0, 1, 2, 0, 1, 2, 0]


def test_the_order_changes_with_the_seed_and_the_epoch_but_not_with_the_number_of_views():
    first, second = StepSampler(64, 64, 2, seed=0)
    (other,) = StepSampler(64, 64, 1, seed=1)
    orders = [[index for index, _ in step] for step in (first, second, other)]
    assert orders[0] != orders[1] != orders[2] != orders[0]
    fixed = [[index for index, _ in step] for step in StepSampler(64, 64, 2, seed=0, views=1)]
    assert fixed == orders[:2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 11}, "between 1 and the 10 training images, got 11"),
        ({"batch_size": 0}, "got 0"),
        ({"batch_size": 5, "world": 2}, "5 do not divide among 2; set data.batch_size to a multiple of 2"),
        ({"rank": 2, "world": 2}, "rank is between 0 and world - 1 = 1, got 2"),
        ({"start": 4}, "start is between 0 and the run's 3 steps, got 4"),
        ({"views": 0}, "views is a positive number"),
    ],
)
def test_an_impossible_schedule_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        StepSampler(**{"num_images": 10, "batch_size": 4, "steps": 3, "seed": 0} | arguments)
