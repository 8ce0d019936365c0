"""What an evaluation says of its numbers, and what it needs."""

import dataclasses
from collections.abc import Callable

import pytest
import torch

from phis_lab.config.teachers import split
from phis_lab.data import DataModule, DataSource, ImageSource, TensorImages, UnlabelledError
from phis_lab.data.transforms import Augmentation
from phis_lab.engine import Evaluation, Scores
from phis_lab.engine.arm_record import measured
from phis_lab.engine.callbacks import status
from phis_lab.engine.evaluation import named_scores
from phis_lab.engine.run import Run
from phis_lab.evals import KNN, Score, Task
from phis_lab.evals.tasks.moments import FeatureMoments
from phis_lab.evals.tasks.pruning import Pruning
from phis_lab.guards import PartError


def test_the_record_has_the_unit_and_the_direction_of_every_number():
    described = {"unit": "", "higher_is_better": None}
    probes = {
        "knn/accuracy": Score(0.5, floor=0.1),
        "moments/student/summary/norm": Score(12.5, **described),
        "ood/near/nearest/fpr95": Score(0.25, higher_is_better=False, detail=True),
    }
    student = {
        "effective_rank/spatial": Score(7.5, unit="rank", higher_is_better=None),
        "map/clip/procrustes": Score(0.1, **described),
    }
    found = measured(Scores(probes, {}, student))
    assert {name: (metric.unit, metric.higher_is_better, metric.detail) for name, metric in found.items()} == {
        "knn/accuracy": ("fraction", True, False),
        "moments/student/summary/norm": ("", None, False),
        "ood/near/nearest/fpr95": ("fraction", False, True),
        "effective_rank/spatial": ("rank", None, False),
        "map/clip/procrustes": ("", None, False),
    }
    assert {type(metric.value) for metric in found.values()} == {float}


def test_a_plain_number_is_a_share_that_should_be_high_and_a_score_stays_what_it_is():
    low = Score(1.5, unit="nats", higher_is_better=False)
    found = named_scores("own", KNN(), {"share": 0.3, "tensor": torch.tensor(0.5), "entropy": low})
    assert list(found) == ["own/share", "own/tensor", "own/entropy"]
    assert (found["own/share"].unit, found["own/share"].higher_is_better) == ("fraction", True)
    assert found["own/entropy"] is low


@pytest.mark.parametrize("given", [None, 0.5, [0.5], {"a": "high"}, {"a": torch.ones(2)}])
def test_what_is_no_dict_of_numbers_is_refused_by_the_name_of_the_evaluation(given: object):
    with pytest.raises(PartError, match=r"evaluation 'own' \(KNN\) gives .*a dict of numbers by name is wanted"):
        named_scores("own", KNN(), given)


def test_a_resumed_run_knows_the_units_of_the_plain_numbers_that_its_checkpoint_holds(tmp_path):
    scores = Scores({"own/bits": Score(1.5, unit="bits"), "knn/accuracy": Score(0.5)}, {}, {})
    run, resumed = Run.__new__(Run), Run.__new__(Run)
    for each in (run, resumed):
        for of in dataclasses.fields(Run):
            if of.default_factory is not dataclasses.MISSING:
                setattr(each, of.name, of.default_factory())
    run.scored(3, scores, final=False)
    torch.save(run.state_dict(), tmp_path / "state.pt")
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert resumed.units == {"own/bits": "bits", "knn/accuracy": "fraction"}
    assert status._newest(resumed) == "own/bits 1.5, knn/accuracy 50.0% (step 3)"


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
