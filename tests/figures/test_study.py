"""Figures 1, 2, 3 and 9 of runs that were trained, and the rebuilding of such runs."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from typer.testing import CliRunner

from phis_lab.cli import app
from phis_lab.config.assemble import assemble
from phis_lab.config.jobs import create_job, finished_job, rebuild, restore
from phis_lab.config.resolvers import register_resolvers
from phis_lab.engine import train_group
from phis_lab.engine.arm_checkpoint import save_checkpoint
from phis_lab.figures import draw
from phis_lab.figures.collect import TestFeatures, channel_losses
from phis_lab.runs import read_record, write_record

CONF = Path(__file__).resolve().parents[2] / "conf"
IMAGES = 10
SMALL = [
    "debug=smoke", "logger=csv", "augmentation.image_size=32", "student.image_size=32", "data.batch_size=8",
    "data.train_images=64", "trainer.max_steps=6", "trainer.checkpoint_every=8", "trainer.precision=float32",
    "estimation.steps=4", "estimation.warmup_steps=2", "estimation.refresh_every=1", "evaluation.every=4",
    "evaluation.train_images=40", "evaluation.test_images=20", f"evaluation.matching_images={IMAGES}",
]  # fmt: skip
METHODS = ("identity", "phis")
OF_A_RUN = ["figure1_teacher_spaces", "figure2_activations", "figure3_teacher_errors", "figure9_losses"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("outputs")
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        configs = {m: compose("config", [*SMALL, f"normalizer={m}"], return_hydra_config=True) for m in METHODS}
    jobs = [create_job(config, root / method / "seed0") for method, config in configs.items()]
    train_group(assemble(jobs, {job.folder: job.label() for job in jobs}))
    return root


@pytest.fixture
def runs(trained, tmp_path):
    """A copy that a test may damage."""
    return Path(shutil.copytree(trained, tmp_path / "runs"))


@pytest.fixture(autouse=True)
def only_of_runs(monkeypatch):
    """The others need no run and are tested elsewhere."""
    monkeypatch.setattr("phis_lab.figures.drawing.SYNTHETIC", {})


def names(made):
    return [path.stem for path in made.files]


def test_every_figure_is_drawn_from_finished_runs(runs, tmp_path):
    before = {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()}
    made = draw(runs, tmp_path / "figures", formats=("png",), images=IMAGES)
    assert names(made) == OF_A_RUN
    assert made.left_out == []
    assert {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()} == before


def test_a_rebuilt_arm_errs_as_its_record_says(trained):
    jobs = [finished_job(trained / method / "seed0") for method in METHODS]
    group = rebuild(jobs)
    for run in group.runs:
        restore(group, run)
    losses = channel_losses(TestFeatures(group, IMAGES), group.runs)
    for run in group.runs:
        by_teacher, record = losses[run.key], read_record(run.folder / "result.json")
        for teacher, table in by_teacher.items():
            assert table.shape[0] == IMAGES
            weight, _ = run.arm.space(teacher).spatial.affine()
            alpha_squared = float(torch.linalg.matrix_norm(weight, 2)) ** 2  # both methods scale all directions alike
            expected = alpha_squared * record.teacher_metrics[teacher]["spatial"]["mse"]
            assert float(table.double().mean()) == pytest.approx(expected, rel=1e-4)


def test_what_cannot_be_rebuilt_is_said_and_the_rest_is_drawn(runs, tmp_path):
    for path in runs.rglob("config.yaml"):
        config = yaml.safe_load(path.read_text())
        path.write_text(yaml.safe_dump(config | {"data": config["data"] | {"pages": 3}}))
    made = draw(runs, tmp_path / "figures", formats=("png",), images=IMAGES)
    assert names(made) == ["figure3_teacher_errors"]
    (reason,) = made.left_out
    assert "figures 1, 2 and 9" in reason
    assert "data.pages: no such option" in reason


def test_runs_without_a_configuration_that_were_evaluated_once_give_no_figure(runs, tmp_path):
    for path in runs.rglob("config.yaml"):
        record = read_record(path.with_name("result.json"))
        write_record(path.parent, record.model_copy(update={"history": record.history[-1:]}))
        path.unlink()
    made = draw(runs, tmp_path / "figures", formats=("png",), images=IMAGES)
    assert made.files == []
    said = ["evaluation.every=STEPS", "config.yaml is missing", "config.yaml is missing"]
    assert [words in reason for words, reason in zip(said, made.left_out, strict=True)] == [True] * 3


def test_a_folder_that_is_no_finished_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match="the run has not ended"):
        finished_job(tmp_path)


def test_a_checkpoint_of_another_shape_is_refused(runs):
    folder = runs / "identity" / "seed0"
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    state["arm"]["modules"].popitem()
    save_checkpoint(folder, state)
    group = rebuild([finished_job(folder)])
    with pytest.raises(ValueError, match="does not fit this version's arm"):
        restore(group, group.runs[0])


def test_the_command_draws_beside_the_runs_and_says_what_is_missing(runs):
    (runs / "phis" / "seed0" / "checkpoint.pt").unlink()
    result = CliRunner().invoke(app, ["figures", str(runs), "--format", "svg", "--images", str(IMAGES)])
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert "figure 9, phis" in said
    assert "the trained student is gone" in said
    assert sorted(path.name for path in (runs / "figures").iterdir()) == [f"{name}.svg" for name in OF_A_RUN]


def test_the_command_refuses_a_folder_without_runs(tmp_path):
    result = CliRunner().invoke(app, ["figures", str(tmp_path)])
    assert result.exit_code == 1
    assert "holds no finished run" in " ".join(result.stderr.split())
