"""`task=[ood,transfer]` adds tasks to any evaluation."""

import re
from pathlib import Path

import pytest
from hydra import compose
from synthetic_records import record

from phis_lab.commands.evaluate import _own_choices
from phis_lab.config.check import check
from phis_lab.config.compose import composed
from phis_lab.config.resolvers import content_hash, to_plain


def test_one_or_several_join_whichever_evaluation() -> None:
    found = to_plain(compose("config", ["task=[ood,transfer]", "evaluation=paper_knn"], return_hydra_config=True))
    check(found)
    assert list(found["evaluation"]["tasks"]) == ["ood", "transfer"]
    assert "knn_tintem" in found["evaluation"]["probes"]
    assert set(found["transfer"]) == {"digits", "mnist_5k", "fashion_mnist"}


def test_the_order_of_tasks_does_not_name_another_run() -> None:
    one, other, fewer = (
        content_hash(compose("config", [f"task=[{names}]"], return_hydra_config=True))
        for names in ("ood,moments", "moments,ood", "ood")
    )
    assert one == other != fewer


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["task=[ood,trnsfer]"], "Did you mean 'transfer'?"),
        (["evaluation=ood"], "Did you mean task=ood?"),
        (["evaluation=full"], "What it measures besides: task=[...] of dense, moments, ood"),
        (["evaluation.tasks.ood.seed=3"], "has no such task; choose task=NAME or task=[NAME,...] of dense"),
        (["task=moments", "evaluation.tasks.ood.seed=3"], "has no such task; choose task=NAME"),
        (["task=ood,moments"], "For a list: 'task=[ood,moments]'"),
    ],
)
def test_a_task_that_is_not_there_is_told_with_how_to_choose_it(overrides: list[str], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        composed(overrides)


@pytest.mark.parametrize(
    ("teachers", "weights", "architecture"),
    [
        ("radio_set", "hub", None),
        ("tiny_set", None, {"embed_dim": 64, "width": 32, "layers": 1, "heads": 2}),
        ("pocket_set", "hub", None),
    ],
)
def test_the_text_tower_is_that_of_the_teacher(teachers: str, weights: str | None, architecture: object) -> None:
    config = compose("config", ["task=zero_shot", f"teachers={teachers}"], return_hydra_config=True)
    task = to_plain(config)["evaluation"]["tasks"]["zero_shot"]
    assert (task["weights"], task["architecture"]) == (weights, architecture)


def test_a_finished_run_is_compared_with_what_it_was_started_with() -> None:
    started = record(choices={"evaluation": "gone"}, overrides=["seed=1", "task=[ood,moments]"])
    assert _own_choices(started, None) == ["evaluation=probes", "task=[ood,moments]"]
    matched = started.model_copy(update={"choices": {"evaluation": "matching"}})
    assert _own_choices(matched, Path()) == ["evaluation=matching", "task=[ood,moments]"]
