"""A finished run is evaluated otherwise than it was, and its record grows."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from synthetic_records import record

from phis_lab.commands import evaluate
from phis_lab.commands.evaluate import _changed, _names_tasks, evaluate_run
from phis_lab.config.assemble import assemble
from phis_lab.config.compose import composed
from phis_lab.config.jobs import create_job
from phis_lab.config.option_files import CONF
from phis_lab.config.resolvers import register_resolvers
from phis_lab.engine import train_group
from phis_lab.runs import read_record, write_record
from phis_lab.runs.lock import RunLockedError, run_lock

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


def test_a_record_without_floors_gets_those_of_numbers_that_are_measured_again(run: Path) -> None:
    before = read_record(run / "result.json")
    bare = {name: metric.model_copy(update={"floor": None}) for name, metric in before.metrics.items()}
    bare["knn/accuracy"] = bare["knn/accuracy"].model_copy(update={"value": 2.0})
    write_record(run, before.model_copy(update={"metrics": bare}))
    after = evaluate_run(run, SMALL)
    write_record(run, before)
    assert after.metrics["linear_probe/accuracy"] == before.metrics["linear_probe/accuracy"]
    assert after.metrics["linear_probe/accuracy"].floor is not None
    assert (after.metrics["knn/accuracy"].value, after.metrics["knn/accuracy"].floor) == (2.0, None)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("phis_lab.evals.KNN", "phis_lab.evals.knn.KNN", r"this version has no phis_lab.evals.knn.KNN to configure"),
        ("max_iterations:", "most_iterations:", r"refuses evaluation.probes.linear_probe.most_iterations: no such opt"),
        ("phis_lab.students.", "phis_lab.pupils.", r"this version has no phis_lab.pupils"),
    ],
)
def test_a_run_of_another_version_is_named_in_one_sentence(run: Path, old: str, new: str, says: str) -> None:
    config = run / "config.yaml"
    written = config.read_text()
    config.write_text(written.replace(old, new))
    try:
        with pytest.raises(ValueError, match=says) as refused:
            evaluate_run(run, ["task=moments"])
    finally:
        config.write_text(written)
    assert "\n" not in str(refused.value)
    assert "was written by another version of phis_lab" in str(refused.value)
    assert "train the run again with this one" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("task=ood", True), ("task=[ood,moments]", True), ("task=../../evil", False), ("task=/elsewhere/evil", False),
        ("task=[ood,../evil]", False), ("task=nothing", False), ("+task@x=ood", False), ("task={x:1}", False),
    ],
)  # fmt: skip
def test_of_a_record_only_tasks_that_there_are_are_composed_again(text: str, kept: bool) -> None:
    assert _names_tasks(text, None) is kept


def test_code_of_ones_own_that_is_missing_and_options_that_are_typed_wrong_are_no_other_version(run: Path) -> None:
    with pytest.raises(ValueError, match=r"^The configuration was refused:\n  evaluation.train_images=-3"):
        evaluate_run(run, ["evaluation.train_images=-3"])
    config = run / "config.yaml"
    written = config.read_text()
    config.write_text(written.replace("phis_lab.evals.KNN", "own_code.KNN"))
    try:
        with pytest.raises(ValueError, match=r"config\.yaml names own_code\.KNN, .*--trust own_code"):
            evaluate_run(run, SMALL)
        with pytest.raises(ValueError, match="there is no package own_code here"):
            evaluate_run(run, SMALL, trusted=["own_code"])
    finally:
        config.write_text(written)


def test_an_option_that_is_typed_with_its_usual_value_changes_that_of_the_run() -> None:
    own = {"tasks": {"ood": {"interpolation": "bicubic", "limit": 5}}}
    usual, wanted = (
        composed(["task=ood", *typed], keep_usual=True)["evaluation"]
        for typed in ([], ["evaluation.tasks.ood.interpolation=bilinear"])
    )
    changed = _changed(own, usual, wanted)["tasks"]["ood"]
    assert (changed["interpolation"], changed["limit"]) == ("bilinear", 5)
    assert _changed(own, {}, {"tasks": {"ood": {"limit": None}}})["tasks"]["ood"]["limit"] is None


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


def test_a_run_in_use_is_not_evaluated(tmp_path: Path) -> None:
    write_record(tmp_path, record())
    (tmp_path / "config.yaml").write_text("seed: 0")
    before = (tmp_path / "result.json").read_bytes()
    with run_lock(tmp_path), pytest.raises(RunLockedError, match="is in use by process"):
        evaluate_run(tmp_path, ["evaluation=probes"])
    assert (tmp_path / "result.json").read_bytes() == before
