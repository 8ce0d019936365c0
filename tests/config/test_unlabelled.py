"""Images without labels, or without test images: teacher matching alone, taken by itself or named in the refusal."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from PIL import Image

from phis_lab import app
from phis_lab.commands.evaluate import evaluate_run
from phis_lab.config.jobs import create_job
from phis_lab.config.option_files import CONF
from phis_lab.config.resolvers import register_resolvers
from phis_lab.config.unlabelled import chose_evaluation
from phis_lab.data import UnlabelledError
from phis_lab.data.image_folder import ImageFolder
from phis_lab.reports import report
from phis_lab.runs import read_record
from phis_lab.runs.job import Job

SMALL = [
    *("debug=smoke", "data=image_folder", "data.batch_size=8", "trainer.max_steps=4", "online.steps=2"),
    *("online.warmup_steps=1", "online.refresh_every=1", "evaluation.every=100", "logger=none", "teachers=one"),
    *("optimizer.frozen_body_steps=0", "student.depth=1", "evaluation.train_images=24", "evaluation.matching_images=4"),
]
ON_DIGITS = ["evaluation=probes", "evaluation.data=digits"]
IMAGES = ("train_images", "test_images")
TEACHERS = """
defaults: [{/teacher@tiny: tiny_dinov2}]
"""


def write_images(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03}.png")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unlabelled")
    write_images(folder / "data" / "train" / "cats", 20)
    write_images(folder / "data" / "train" / "dogs", 20)
    (folder / "conf" / "teachers").mkdir(parents=True)
    (folder / "conf" / "teachers" / "one.yaml").write_text(TEACHERS)
    return folder


@pytest.fixture(autouse=True)
def hydra(root: Path) -> Iterator[None]:
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def job_of(root: Path, *overrides: str) -> Job:
    search = f"hydra.searchpath=[file://{root / 'conf'}]"
    everything = [search, *SMALL, f"data.root={root / 'data'}", f"paths.outputs={root / 'out'}", *overrides]
    config = compose("config", everything, return_hydra_config=True)
    return create_job(config, config.hydra.run.dir)


def test_it_is_taken_by_itself_and_is_the_run_that_was_typed(root, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    unsaid, typed = job_of(root), job_of(root, "evaluation=matching")
    assert unsaid.sha256 != typed.sha256
    reads: list[str] = []
    read = ImageFolder.read
    monkeypatch.setattr(ImageFolder, "read", lambda data: (reads.append(data.root), read(data))[1])
    app.train([unsaid], {unsaid.folder: "phis"})
    assert reads == [str(root / "data")]
    assert "No evaluation was chosen, so teachers are matched and nothing else (evaluation=matching)" in caplog.text
    assert "4 of 40 training images are held out" in caplog.text
    record = read_record(typed.folder / "result.json")
    assert not unsaid.folder.exists()
    assert (record.choices, record.config_sha256) == (typed.choices, typed.sha256)
    assert (record.data.train_images, record.data.test_images) == (36, 4)
    assert not [name for name in record.metrics if not name.startswith("effective_rank/")]
    assert record.teacher_metrics["tiny"]["spatial"]["fidelity"] > 0
    app.train([unsaid], {unsaid.folder: "phis"})
    assert f"This run is complete: {typed.folder}" in caplog.text
    made = report(root / "out", formats=["md"])
    assert [column for column in made.sections[0].sheets()[0].columns if "fidelity" in column]
    GlobalHydra.instance().clear()  # the command composes by itself
    with pytest.raises(UnlabelledError, match=r"by knn, linear_probe needs labels and test images: .*=matching"):
        evaluate_run(typed.folder, ["evaluation=probes", *(f"evaluation.{images}=24" for images in IMAGES)])
    again = evaluate_run(typed.folder, ["evaluation.matching_images=3"])
    assert again.metrics.keys() == record.metrics.keys()
    probed = evaluate_run(typed.folder, [*ON_DIGITS, "~evaluation.probes.linear_probe", "evaluation.train_images=24"])
    assert probed.metrics["knn/accuracy"].floor == pytest.approx(0.1, abs=0.02)
    assert probed.evaluation_data is not None
    assert (probed.data, probed.evaluation_data.name) == (record.data, "digits")
    assert evaluate_run(typed.folder, ["evaluation=matching"]).evaluation_data == probed.evaluation_data
    with pytest.raises(ValueError, match=r"has knn/accuracy of digits, and the numbers of one record are of one"):
        evaluate_run(typed.folder, [*ON_DIGITS, "evaluation.data.test_images=50"])


@pytest.mark.parametrize(
    ("override", "chosen"),
    [
        ("evaluation=probes", True),
        ("evaluation=paper_knn", True),
        ("evaluation.probes.knn.k=3", True),
        ("~evaluation.probes.knn", True),
        ("+task@evaluation.tasks.pruning=pruning", True),
        ("evaluation.tokens=both", True),
        ("evaluation.every=2", False),
        ("evaluation.matching_images=2", False),
        ("task=pruning", True),
        ("normalizer=identity", False),
    ],
)
def test_an_evaluation_is_chosen_by_naming_it_or_its_parts(root, override, chosen):
    job = Job({}, root, {"evaluation": "paper_knn" if "paper_knn" in override else "probes"}, (override,), "", "", "")
    assert chose_evaluation(job) == chosen


def test_a_chosen_evaluation_that_needs_labels_is_refused_with_the_word_that_needs_none(root):
    job = job_of(root, "evaluation=probes")
    with pytest.raises(UnlabelledError, match=r"knn, linear_probe needs labels and test images.*evaluation=matching"):
        app.train([job], {job.folder: "phis"})
    assert not job.folder.exists()
