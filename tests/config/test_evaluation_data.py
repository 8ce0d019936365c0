"""`evaluation.data=...`: probes see labelled images of their own beside those that students train on."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose
from PIL import Image

from phis_lab.commands.evaluate import _changed
from phis_lab.config.build import build
from phis_lab.config.check import check
from phis_lab.config.compose import composed
from phis_lab.config.option_files import placed
from phis_lab.config.resolvers import content_hash, to_plain
from phis_lab.config.sound import remarks
from phis_lab.config.sources import EVALUATION_TEST, EVALUATION_TRAINING, built_sources, changed_since
from phis_lab.data import Augmentation, DataModule, DataSource, ImageSource, TensorImages
from phis_lab.data.digits import Digits
from phis_lab.data.image_folder import ImageFolder
from phis_lab.engine import Evaluation
from phis_lab.engine.arm_record import evaluation_data
from phis_lab.evals import KNN
from phis_lab.runs.job import Job, shared_part


@pytest.mark.parametrize("typed", ["evaluation.data=digits", "evaluation/data=digits", "data@evaluation.data=digits"])
def test_every_way_to_type_it_chooses_an_option_of_data(typed: str) -> None:
    found = composed([typed, "evaluation.data.train_images=70"])["evaluation"]["data"]
    assert (found["_target_"], found["train_images"]) == ("phis_lab.data.digits.Digits", 70)


def test_it_is_absent_unless_chosen_and_can_be_taken_away() -> None:
    assert "data" not in composed([])["evaluation"]
    assert "data" not in composed(["evaluation.data=null"])["evaluation"]
    own = "+evaluation.data={_target_: phis_lab.data.digits.Digits}"
    assert composed([own])["evaluation"]["data"] == {"_target_": "phis_lab.data.digits.Digits"}
    assert placed(["evaluation.data.root=x", "data=digits", "~evaluation.data"]) == [
        "evaluation.data.root=x",
        "data=digits",
        "~data@evaluation.data",
    ]


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["evaluation.data.root=x"], "has no data set of its own; choose evaluation.data=... of cifar10, digits"),
        (["evaluation.data=digit"], "Did you mean 'digits'?"),
        (["evaluation.data=image_folder"], "add to the command: evaluation.data.root=..."),
        (["evaluation.data=digits", "evaluation.data.root=x"], "Options of evaluation.data: train_images"),
    ],
)
def test_what_is_wrong_is_told_with_what_to_type(overrides: list[str], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        composed(overrides)


@pytest.mark.parametrize("value", ["digits", "{train_images: 7}"])
def test_a_file_that_sets_it_as_a_value_is_told_how_to_choose(value: str) -> None:
    with pytest.raises(ValueError, match="in the defaults of a file"):
        check(to_plain(compose("config", [f"+evaluation.data={value}"], return_hydra_config=True)))


def test_it_identifies_a_run_but_for_what_nothing_reads() -> None:
    def sha256(*overrides: str) -> str:
        return content_hash(compose("config", list(overrides), return_hydra_config=True))

    chosen = "data@evaluation.data=digits"
    assert sha256() != sha256(chosen) != sha256(chosen, "evaluation.data.train_images=7")
    assert sha256(chosen) == sha256(chosen, "evaluation.data.seed=7", "evaluation.data.workers=7", "seed=7")
    said = remarks(compose("config", [chosen, "evaluation.data.seed=7"], return_hydra_config=True))
    assert list(said) == ["evaluation.data.seed has no effect: evaluations see the images in their own order"]


def test_seeds_that_share_the_order_of_data_share_a_teacher_pass() -> None:
    def shared(seed: int) -> dict[str, Any]:
        overrides = ["data@evaluation.data=digits", "data.seed=0", f"seed={seed}"]
        config = to_plain(compose("config", overrides, return_hydra_config=True))
        return shared_part(Job(config, Path(), {}, (), "", "", ""))

    assert shared(1) == shared(2)


class _Grey(DataSource):
    """Images without labels."""

    def read(self) -> tuple[ImageSource, ImageSource]:
        images = torch.zeros(20, 3, 8, 8, dtype=torch.uint8)
        train, test = (TensorImages(f"grey/{part}", images, torch.full((20,), -1), ()) for part in ("train", "test"))
        return train, test


def test_what_needs_labels_sees_them_and_matching_the_images_of_training() -> None:
    labelled = Digits(train_images=50, test_images=40, batch_size=16)
    data = DataModule(_Grey(), Augmentation(8), 1, labelled=labelled)
    evaluation = Evaluation({"knn": KNN()}, data=labelled)
    evaluation.check(data.eval_loader, [])
    sizes = [len(images) for images, _ in data.eval_loader("train")]
    assert sizes == [16, 16, 16, 2]
    assert len(data.eval_loader("test").labels) == 40
    assert data.eval_loader("test", labelled=False).labels.tolist() == [-1] * 20
    facts = evaluation_data(data)
    assert facts is not None
    assert (facts.name, facts.train_images, facts.test_images) == ("digits", 50, 40)
    assert evaluation_data(DataModule(labelled, Augmentation(8), 1)) is None
    same = Digits(train_images=50, test_images=40)
    assert evaluation_data(DataModule(labelled, Augmentation(8), 1, labelled=same)) is None


def test_data_that_cannot_serve_are_refused_by_the_name_of_their_option(tmp_path: Path) -> None:
    for data, says in (
        (_Grey(), r"^evaluation\.data: grey/train has no labels, and knn need"),
        (ImageFolder(root=str(tmp_path / "gone")), r"^evaluation\.data\.root=.*gone is no folder"),
        (Digits(train_images=5), r"raise evaluation\.data\.train_images"),
    ):
        loader = DataModule(Digits(), Augmentation(8), 1, labelled=data).eval_loader
        with pytest.raises(ValueError, match=says):
            Evaluation({"knn": KNN(k=2)}, data=data).check(loader, [])
    digits = {"_target_": "phis_lab.data.digits.Digits"}
    node = {"_target_": "phis_lab.engine.Evaluation", "probes": {}, "data": digits}
    with pytest.raises(ValueError, match=r"has none; leave evaluation\.data out, or choose evaluation=probes"):
        build(node, "evaluation")


def test_its_images_are_among_what_a_run_is_made_of(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / split / "cat").mkdir(parents=True)
        Image.new("RGB", (8, 8), "red").save(tmp_path / split / "cat" / "1.png")
    node = {"_target_": "phis_lab.data.image_folder.ImageFolder", "root": str(tmp_path)}
    config = {"data": {"_target_": "phis_lab.data.digits.Digits"}, "evaluation": {"data": node}, "teachers": {}}
    found = built_sources(config, Digits(), [], ImageFolder(root=str(tmp_path)))
    assert found[EVALUATION_TRAINING].sha256 == ImageFolder(root=str(tmp_path)).train.fingerprint
    assert changed_since(config, found) == []
    Image.new("RGB", (9, 8), "blue").save(tmp_path / "test" / "cat" / "1.png")
    assert changed_since(config, found) == [EVALUATION_TEST]


def test_a_finished_run_takes_the_chosen_set_whole_or_keeps_its_own() -> None:
    own = {"data": {"_target_": "a", "root": "x", "image": None}}
    assert _changed(own, {}, {"data": {"_target_": "b", "root": "y"}}) == {"data": {"_target_": "b", "root": "y"}}
    assert _changed(own, {}, {}) == own
