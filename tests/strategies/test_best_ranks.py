"""The numbers of processes that make the slowest partition fastest, against every choice there is."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phis_lab.config.assemble import refuse_undivided
from phis_lab.data import PartitionPlan, StagePlan
from phis_lab.data.digits import Digits
from phis_lab.strategies import TeacherPartition
from phis_lab.strategies.balance import best_ranks, divisors, nearest_numbers

partitions = st.lists(
    st.tuples(st.integers(1, 24), st.floats(0.01, 100, allow_nan=False), st.floats(0, 1)), min_size=1, max_size=4
)


def costs(of_each):
    """Seconds of partitions that have so many images, and cost so much for all of them and for each process."""
    return {
        f"part{place}": {number: work / number + start for number in divisors(images)}
        for place, (images, work, start) in enumerate(of_each)
    }


@given(of_each=partitions, processes=st.integers(1, 40))
def test_no_other_choice_is_faster(of_each, processes):
    seconds = costs(of_each)
    every = [choice for choice in product(*seconds.values()) if sum(choice) == processes]
    found = best_ranks(seconds, processes)
    if not every:
        assert found is None
        return
    times = [
        sorted((seconds[name][number] for name, number in zip(seconds, choice, strict=True)), reverse=True)
        for choice in every
    ]
    assert found is not None
    assert list(found) == list(seconds)
    assert sum(found.values()) == processes
    assert sorted((seconds[name][number] for name, number in found.items()), reverse=True) == min(times)


@given(images=st.lists(st.integers(1, 24), min_size=1, max_size=3), processes=st.integers(1, 40))
def test_the_nearest_numbers_are_those_that_can_be_divided(images, processes):
    named = {f"part{place}": count for place, count in enumerate(images)}
    sums = {sum(choice) for choice in product(*map(divisors, images))}
    below, above = [each for each in sums if each < processes], [each for each in sums if each > processes]
    assert nearest_numbers(named, processes) == [*([max(below)] if below else []), *([min(above)] if above else [])]


def test_a_costly_teacher_gets_the_ranks_that_rounding_would_not_find():
    seconds = costs([(256, 20, 0), (256, 1, 0), (256, 1, 0), (256, 2, 0)])
    assert best_ranks(seconds, 22) == dict(zip(seconds, (16, 2, 2, 2), strict=True))
    assert best_ranks(seconds, 8) == dict(zip(seconds, (4, 1, 1, 2), strict=True))
    assert best_ranks(seconds, 3) is None


def test_of_equal_choices_the_first_partitions_get_more():
    assert best_ranks(costs([(6, 1, 0), (6, 1, 0)]), 3) == {"part0": 2, "part1": 1}


STAGE = {"all": {"own": 8, "other": 6}}


@pytest.mark.parametrize(
    ("processes", "says"),
    [
        (1, "stage 'all' has 2 partitions, one for each process at least"),
        (13, r"strategy.ranks=measured: however 13 .* \(8 of own, 6 of other\); take 11 or 14 processes, or another"),
        (15, "take 14 processes, or another data.batch_size"),
    ],
)
def test_processes_that_no_choice_divides_are_refused_before_anything_is_measured(processes, says):
    with pytest.raises(ValueError, match=says):
        TeacherPartition(devices=processes, ranks="measured").divide(STAGE)


def test_measured_seconds_choose_and_without_them_there_is_some_choice():
    strategy = TeacherPartition(devices=5, ranks="measured")
    stages = {"first": {"all": 20}, **STAGE}
    seconds = {"all": costs([(8, 1, 0), (6, 20, 0)])}
    assert strategy.divide(stages)["all"] == {"own": range(2), "other": range(2, 5)}
    assert strategy.divide(stages, {"all": dict(zip(STAGE["all"], seconds["all"].values(), strict=True))}) == {
        "first": {"all": range(5)},
        "all": {"own": range(2), "other": range(2, 5)},
    }


def test_assembly_refuses_by_name_what_no_measuring_would_help():
    plans = {"all": StagePlan(partitions={"a": PartitionPlan(batch=0.5), "b": PartitionPlan(batch=0.5)})}
    source = Digits(batch_size=6, train_images=64, test_images=40)
    refuse_undivided(plans, source, TeacherPartition(devices=4, ranks="measured"))
    with pytest.raises(ValueError, match=r"strategy.ranks=measured: .* \(3 of a, 3 of b\); take 4 or 6 processes"):
        refuse_undivided(plans, source, TeacherPartition(devices=5, ranks="measured"))
    empty = {"all": StagePlan(partitions={"a": PartitionPlan(), "b": PartitionPlan(batch=0.01)})}
    with pytest.raises(ValueError, match=r"stages.all.partitions.b.batch: .* is less than one image"):
        refuse_undivided(empty, source, TeacherPartition(devices=4, ranks="measured"))
