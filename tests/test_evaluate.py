"""A finished run is evaluated otherwise than it was, and its record grows."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from phis_lab.config import evaluate
from phis_lab.config.assemble import assemble
from phis_lab.config.evaluate import _changed, evaluate_run
from phis_lab.config.globs import CONF
from phis_lab.config.job import create_job
from phis_lab.config.resolvers import register_resolvers
from phis_lab.engine import train_group
from phis_lab.tracking import read_record

SMALL = ["evaluation.train_images=40", "evaluation.test_images=20", "evaluation.matching_images=10"]
CENTRED = "evaluation.probes.knn.k=3"
PRUNING = [
    "evaluation.tasks.pruning.shares=[0.0,0.5]",
    "evaluation.tasks.pruning.train_images=40",
    "evaluation.tasks.pruning.test_images=20",
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def run(runs: Path) -> Path:
    """A run in two stages, whose last one has larger images; trained once."""
    overrides = ["debug=smoke", "logger=none", "stages=phis", "student.image_size=32", *SMALL]
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        job = create_job(compose("config", overrides, return_hydra_config=True), runs / "run")
    if not (runs / "run").exists():
        train_group(assemble([job], {job.folder: "phis"}))
    return job.folder


def test_the_same_evaluation_gives_the_same_numbers(run: Path) -> None:
    before = read_record(run / "result.json")
    after = evaluate_run(run, SMALL)
    assert after.metrics == before.metrics
    assert after.teacher_metrics == before.teacher_metrics
    assert read_record(run / "result.json") == after


def test_other_numbers_join_those_of_the_run_and_change_none(run: Path) -> None:
    before = read_record(run / "result.json")
    after = evaluate_run(run, ["task=pruning", CENTRED, *PRUNING])
    assert before.metrics.items() <= after.metrics.items()
    assert set(after.metrics) - set(before.metrics) == {"pruning/sparsity_0", "pruning/sparsity_50"}
    assert after.teacher_metrics == before.teacher_metrics
    assert (after.seed, after.steps, after.method) == (before.seed, before.steps, before.method)


def test_the_evaluation_is_the_runs_own_but_for_what_is_changed() -> None:
    own = {"every": 5, "probes": {"knn": {"k": 7}}, "tasks": {"a": 1}}
    usual = {"every": None, "probes": {"knn": {"k": 20}, "linear_probe": {"c": 1.0}}}
    wanted = {"every": None, "probes": {"knn": {"k": 3}, "linear_probe": {"c": 1.0}}, "tasks": {"b": 2}}
    assert _changed(own, usual, wanted) == {
        "every": 5,
        "probes": {"knn": {"k": 3}},
        "tasks": {"a": 1, "b": 2},
    }


def test_a_broken_evaluation_leaves_the_record_alone(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (run / "result.json").read_bytes()
    monkeypatch.setattr(evaluate, "measured", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        evaluate_run(run, SMALL)
    assert (run / "result.json").read_bytes() == before


def test_only_the_evaluation_can_be_chosen_and_only_of_a_finished_run(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"only the evaluation can be chosen, got normalizer=phis"):
        evaluate_run(run, ["normalizer=phis"])
    with pytest.raises(ValueError, match="has not ended"):
        evaluate_run(tmp_path, SMALL)
