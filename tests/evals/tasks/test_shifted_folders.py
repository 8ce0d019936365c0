"""Folders of other images of the run's classes."""

from pathlib import Path

import pytest
import torch
from drawn_subjects import CLASSES, drawn_images, drawn_subject
from PIL import Image

from phis_lab.evals.tasks.shifted import ShiftedFolders, labelled_folder

NAMES = [f"n{i}" for i in range(CLASSES)]


def write(root: Path, keep: list[int], shift: int = 0) -> str:
    """Drawn images of some classes, in the folders of their classes, or of the class `shift` further on."""
    images, labels = drawn_images(36, 7)
    for i, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        if label in keep:
            folder = root / NAMES[(label + shift) % CLASSES]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray((image * 255).round().byte().permute(1, 2, 0).numpy()).save(folder / f"{i}.png")
    return str(root)


@pytest.fixture
def classes_root(tmp_path: Path) -> str:
    for name in NAMES:
        (tmp_path / "train" / name).mkdir(parents=True)
    return str(tmp_path / "train")


def test_folders_of_all_and_of_some_classes(tmp_path: Path, classes_root: str) -> None:
    roots = {"all": write(tmp_path / "all", list(range(CLASSES))), "some": write(tmp_path / "some", [1, 4])}
    roots["wrong"] = write(tmp_path / "wrong", [1, 4], shift=3)
    found = ShiftedFolders(roots, classes_root, k=5, train_images=60)(drawn_subject())
    assert found == {
        f"{name}/{metric}_accuracy": value
        for name, value in (("all", 1.0), ("some", 1.0), ("wrong", 0.0))
        for metric in ("knn", "linear")
    }


def test_only_the_folders_own_classes_can_be_the_answer(tmp_path: Path, classes_root: str) -> None:
    """Class 1 in the folder of class 2 looks like 1, which is not there; of 2 and 5 it is nearer to 2, its colour."""
    write(tmp_path / "shifted", [1], shift=1)
    root = write(tmp_path / "shifted", [5])
    found = ShiftedFolders({"shifted": root}, classes_root, k=5, train_images=60)(drawn_subject())
    assert found == {"shifted/knn_accuracy": 1.0, "shifted/linear_accuracy": 1.0}


def test_labels_follow_the_runs_classes(tmp_path: Path) -> None:
    source = labelled_folder(write(tmp_path, [4, 1]), NAMES)
    assert source.labels.unique().tolist() == [1, 4]


def test_folders_that_do_not_fit_are_refused(tmp_path: Path, classes_root: str) -> None:
    with pytest.raises(ValueError, match="nowhere is not a folder"):
        ShiftedFolders({"a": str(tmp_path / "nowhere")}, classes_root)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty holds no image"):
        ShiftedFolders({"a": str(tmp_path / "empty")}, classes_root)
    root = write(tmp_path / "some", [1])
    (tmp_path / "some" / "n1").rename(tmp_path / "some" / "tench")
    with pytest.raises(ValueError, match="'tench' is none of the run's 6 classes"):
        ShiftedFolders({"a": root}, classes_root)
    with pytest.raises(ValueError, match="20 neighbours need as many training images; train_images is 10"):
        ShiftedFolders({"a": root}, classes_root, train_images=10)


def test_classes_without_training_images_are_refused(tmp_path: Path, classes_root: str) -> None:
    task = ShiftedFolders({"a": write(tmp_path / "a", [4])}, classes_root, k=2, train_images=4)
    with pytest.raises(ValueError, match="class 'n4' is not among the 4 training images; raise train_images"):
        task(drawn_subject())


def test_a_run_of_more_classes_than_named_is_refused(tmp_path: Path, classes_root: str) -> None:
    (Path(classes_root) / "n5").rmdir()
    task = ShiftedFolders({"a": write(tmp_path / "a", [1])}, classes_root, k=2, train_images=12)
    with pytest.raises(ValueError, match="classes_root names 5 classes, but the run has a label 5"):
        task(drawn_subject())
    assert torch.is_tensor(task.sources["a"].labels)
