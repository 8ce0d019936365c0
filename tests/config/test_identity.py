"""Which options identify a run, and what lies in a folder is of this very run or refused by name."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose

from phis_lab.config.jobs import check_resumable, create_job
from phis_lab.config.resolvers import content_hash, content_of, to_plain
from phis_lab.engine import save_checkpoint
from phis_lab.groups import NOT_CONTENT
from phis_lab.runs.job import Job

IDENTIFIES = {
    "augmentation", "balancer", "data", "estimation", "evaluation", "head", "loss", "normalizer", "optimizer", "stages",
    "student", "teachers", "trainer",
}  # fmt: skip
DOES_NOT = {"label", "logger", "online", "paths", "seed", "strategy"}
OF_SPEED = {
    "data.timeout_s=30",
    "data.workers=3",
    "estimation.save=there",
    "teachers.microbatch=7",
    "trainer.accelerator=cpu",
    "trainer.checkpoint_every=7",
    "trainer.log_every=7",
    "trainer.memory_gb=1.5",
    "trainer.microbatch=7",
    "trainer.step_timeout=30",
}
OF_CONTENT = {
    "data.batch_size=7",
    "evaluation.every=7",
    "evaluation.matching_images=7",
    "estimation.steps=50",
    "online.steps=50",
    "trainer.compile=true",
    "trainer.max_steps=7",
    "trainer.precision=float32",
    "trainer.teacher_precision=float32",
    "teachers.smallest=true",
    "teachers.match=larger",
    "teachers.store=there",
    "stages=pocket",
}


def composed(*overrides: str) -> Any:
    return compose("config", list(overrides), return_hydra_config=True)


def test_every_top_level_option_is_on_one_side() -> None:
    keys = set(to_plain(composed()))
    assert keys == IDENTIFIES | DOES_NOT
    assert set(content_of(to_plain(composed()))) == IDENTIFIES


@pytest.mark.parametrize("change", sorted(OF_SPEED | {
    "strategy=ddp", "strategy=ddp strategy.devices=8", "logger=none", "logger=[csv,wandb]", "label=mine", "seed=4",
    "paths.outputs=there", "estimation=running online.steps=7", "teachers.store_dtype=int8",
}))  # fmt: skip
def test_where_how_fast_and_by_how_many_do_not_identify_a_run(change: str) -> None:
    usual = [word for word in change.split() if word == "estimation=running"]
    assert content_hash(composed(*usual)) == content_hash(composed(*change.split()))


def test_no_option_is_left_out_of_the_hash_that_is_not_listed_here() -> None:
    within = {path for path in NOT_CONTENT if "." in path and not path.startswith("evaluation.data.")}
    assert within == {change.partition("=")[0] for change in OF_SPEED}


@pytest.mark.parametrize("change", sorted(OF_CONTENT))
def test_what_is_computed_identifies_a_run(change: str) -> None:
    assert content_hash(composed()) != content_hash(composed(change))


def stopped(folder: Path, *overrides: str, **changes: Any) -> Job:
    """A job whose folder holds the checkpoint of an earlier process."""
    job = create_job(composed(*overrides), folder)
    state = {"config_sha256": job.sha256, "seed": job.seed, "sources": {}} | changes
    save_checkpoint(folder, state)
    (folder / "config.yaml").write_text(yaml.safe_dump(job.config))
    return job


def test_the_same_run_goes_on_whatever_of_speed_and_places_changed(tmp_path: Path) -> None:
    stopped(tmp_path, "label=before")
    now = ["strategy=ddp", "logger=none", f"paths.outputs={tmp_path}", "data.workers=2", "label=after"]
    check_resumable(create_job(composed(*now), tmp_path))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"seed": 1}, r"checkpoint\.pt is of seed 1, not of seed 0; delete it"),
        ({"config_sha256": "f" * 64}, "is of another configuration"),
        (
            {"sources": {"teachers.xfeat.weights": "0" * 64}},
            r"teachers\.xfeat\.weights changed since .*bring the former",
        ),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    (tmp_path / "weights.pth").write_bytes(b"now")
    weights = f"+teachers.xfeat.weights={tmp_path / 'weights.pth'}"
    with pytest.raises(ValueError, match=says):
        check_resumable(stopped(tmp_path, weights, **changes))


def test_a_configuration_of_another_run_is_refused_by_the_options_that_differ(tmp_path: Path) -> None:
    job = stopped(tmp_path)
    other = to_plain(composed("optimizer.lr=0.5", "seed=3", "logger=none"))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(other))
    with pytest.raises(ValueError, match=r"of another run: data\.seed, optimizer\.lr, seed differ"):
        check_resumable(job)


@pytest.mark.parametrize("torn", ["", "- torn", "\x00\x00", "{"])
def test_a_torn_configuration_beside_a_checkpoint_of_this_run_is_written_anew(
    torn: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    job = stopped(tmp_path)
    (tmp_path / "config.yaml").write_text(torn)
    check_resumable(job)
    assert "is written anew" in caplog.text


def test_a_folder_without_a_checkpoint_is_begun_anew(tmp_path: Path) -> None:
    job = stopped(tmp_path)
    (tmp_path / "checkpoint.pt").unlink()
    (tmp_path / "config.yaml").write_text("of: whatever")
    check_resumable(job)
