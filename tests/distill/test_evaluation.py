"""What an evaluation says of its numbers, and what it needs."""

from collections.abc import Callable

import pytest
import torch

from phis_lab.config.teachers import split
from phis_lab.data import DataModule, DataSource, ImageSource, TensorImages, UnlabelledError
from phis_lab.data.transforms import Augmentation
from phis_lab.distill import Evaluation, Scores
from phis_lab.distill.outcome import measured
from phis_lab.evals import KNN, Task
from phis_lab.evals.tasks.moments import FeatureMoments
from phis_lab.evals.tasks.pruning import Pruning
from phis_lab.evals.tasks.robustness import Robustness


def test_every_number_has_its_unit_and_its_direction():
    evaluation = Evaluation({"knn": KNN()}, tasks={"moments": FeatureMoments(), "pruning": Pruning()})
    probes = {"knn/accuracy": 0.5, "moments/student/summary/norm": 12.5, "pruning/sparsity_50": 0.25}
    found = measured(Scores(probes, {}, {"effective_rank/spatial": 7.5, "map/clip/procrustes": 0.1}), evaluation)
    assert {name: (metric.unit, metric.higher_is_better) for name, metric in found.items()} == {
        "knn/accuracy": ("fraction", True),
        "moments/student/summary/norm": ("", None),
        "pruning/sparsity_50": ("fraction", True),
        "effective_rank/spatial": ("rank", None),
        "map/clip/procrustes": ("", None),
    }


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("clean/knn_accuracy", "fraction"),
        ("corrupted/knn_agreement", "fraction"),
        ("clean/spatial_cosine", ""),
        ("fog/clip/summary_cosine", ""),
        ("relative/spatial_cosine", "fraction"),
        ("knn_mce", "fraction"),
    ],
)
def test_a_cosine_is_no_percentage(name, unit):
    assert Robustness.unit(Robustness.__new__(Robustness), name) == unit


class _Unlabelled(DataSource):
    def read(self) -> tuple[ImageSource, ImageSource]:
        images = torch.zeros(20, 3, 8, 8, dtype=torch.uint8)
        return tuple(TensorImages(f"x/{part}", images, torch.full((20,), -1), ()) for part in ("train", "test"))


@pytest.mark.parametrize(
    ("tasks", "refused"),
    [({}, False), ({"moments": FeatureMoments()}, False), ({"pruning": Pruning()}, True)],
)
def test_only_what_needs_labels_is_refused_without_them(tasks: dict[str, Task], refused: bool):
    loader: Callable[..., object] = DataModule(_Unlabelled(), Augmentation(8), steps=1).eval_loader
    evaluation = Evaluation({}, tasks=tasks)
    if refused:
        with pytest.raises(UnlabelledError, match="by pruning needs labels and test images: x/train has no labels"):
            evaluation.check(loader, ["clip"])
    else:
        evaluation.check(loader, ["clip"])


def test_a_teacher_is_called_by_its_key_in_the_set():
    node = {"sam_h": {"_target_": "x", "name": "tiny_sam"}, "own": {"_target_": "y"}, "store": None}
    members, _ = split(node)
    assert members == {"sam_h": {"_target_": "x", "name": "sam_h"}, "own": {"_target_": "y"}}
    assert node["sam_h"]["name"] == "tiny_sam"
