"""Out-of-distribution detection of drawn images."""

from dataclasses import dataclass, replace

import pytest
import torch
from drawn_subjects import CLASSES, drawn_images, drawn_subject, look
from torch import Tensor

from phis_lab.data import DataSource, TensorImages
from phis_lab.data.noise import Noise
from phis_lab.evals import Embeddings
from phis_lab.evals.subject import Task
from phis_lab.evals.tasks.detectors import Detector, NearestNeighbour, Scorer
from phis_lab.evals.tasks.ood import OutOfDistribution, far_detection, held_out_groups, near_detection
from phis_lab.features import Features


@dataclass(frozen=True, kw_only=True)
class Drawn(DataSource):
    """Images of `drawn_images` as a data set."""

    first_seed: int = 0

    def read(self) -> tuple[TensorImages, TensorImages]:
        train, test = (
            TensorImages("drawn", (images * 255).round().byte(), labels, [str(i) for i in range(CLASSES)])
            for images, labels in (drawn_images(48, self.first_seed), drawn_images(24, self.first_seed + 1))
        )
        return train, test


class FirstChannel(Detector):
    """The score is a feature, so that what comes out can be counted by hand."""

    def fit(self, known: Embeddings) -> Scorer:
        self.seen = sorted(set(known.labels.tolist()))
        return lambda x: x[:, 0]


def test_held_out_classes_are_not_seen_and_are_detected() -> None:
    detector = FirstChannel()
    train = Embeddings(torch.rand(12, 2), torch.arange(12) % 4)
    test = Embeddings(torch.tensor([[4.0, 0], [1, 0], [3, 0], [2, 0]]), torch.tensor([0, 1, 2, 3]))
    found = near_detection(train, test, torch.tensor([1, 2]), {"first": detector})
    assert detector.seen == [0, 3]
    assert found == {"first/auroc": 3 / 4, "first/fpr95": 1 / 2}  # known 4 and 2, others 1 and 3, threshold 2.1


def test_every_far_set_has_its_own_numbers() -> None:
    train = Embeddings(torch.rand(6, 2), torch.arange(6) % 2)
    column = {name: torch.tensor(values)[:, None] for name, values in {"a": [0.0, 1.0], "b": [9.0]}.items()}
    found = far_detection(train, torch.tensor([[2.0], [3.0]]), column, {"first": FirstChannel()})
    assert found == {"a": {"first/auroc": 1.0, "first/fpr95": 0.0}, "b": {"first/auroc": 0.0, "first/fpr95": 1.0}}


def test_the_task_tells_drawn_classes_from_held_out_ones_and_from_noise() -> None:
    task = OutOfDistribution({"nearest": NearestNeighbour()}, {"noise": Noise(count=20)}, 1, 4, 60, 36, "full")
    assert isinstance(task, Task)
    found = task(drawn_subject())
    assert found["near/nearest/auroc"] > 0.9
    assert found["noise/nearest/auroc"] == found["far/nearest/auroc"] == 1.0
    assert found["far/nearest/fpr95"] == 0.0
    assert {name for name, score in found.items() if not score.higher_is_better} == {
        name for name in found if name.endswith("fpr95")
    }


def test_far_is_the_mean_of_the_far_sets() -> None:
    far = {"noise": Noise(count=20), "other": Drawn(first_seed=5)}
    found = OutOfDistribution({"nearest": NearestNeighbour()}, far, 0, 1, 60, 36, "full")(drawn_subject())
    expected = (found["noise/nearest/auroc"] + found["other/nearest/auroc"]) / 2
    assert found["far/nearest/auroc"] == pytest.approx(expected)
    assert not any(name.startswith("near/") for name in found)
    means = OutOfDistribution({"nearest": NearestNeighbour()}, far, 0, 1, 60, 36)(drawn_subject())
    assert means == {name: value for name, value in found.items() if name.startswith("far/")}


@pytest.mark.parametrize("seed", [0, -1])
def test_a_far_set_of_the_runs_own_images_is_refused(seed: int) -> None:
    task = OutOfDistribution({"nearest": NearestNeighbour()}, {"same": Drawn(first_seed=seed)}, 1, 4, 60, 36)
    with pytest.raises(ValueError, match=r"far set 'same' \(drawn\): 24 of its 24 images are images of the run itself"):
        task(drawn_subject())


def test_groups_do_not_overlap_and_follow_the_seed() -> None:
    classes = torch.tensor([2, 3, 5, 7, 11, 13, 17])
    groups = held_out_groups(classes, 2, 9, 0)
    flat: Tensor = torch.cat(groups)
    assert [len(group) for group in groups] == [2, 2, 2]
    assert len(flat.unique()) == 6
    assert set(flat.tolist()) <= set(classes.tolist())
    assert flat.tolist() == torch.cat(held_out_groups(classes, 2, 9, 0)).tolist()
    assert flat.tolist() != torch.cat(held_out_groups(classes, 2, 9, 1)).tolist()


def test_bad_options_are_refused_before_anything_is_looked_at() -> None:
    detectors = {"nearest": NearestNeighbour(30)}
    with pytest.raises(ValueError, match="nearest needs 30 images; train_images is 20"):
        OutOfDistribution(detectors, train_images=20)
    with pytest.raises(ValueError, match="nothing is to be detected"):
        OutOfDistribution(detectors, near_classes=0)
    with pytest.raises(ValueError, match="a far set cannot be called 'far'"):
        OutOfDistribution(detectors, {"far": Noise()})


def test_two_known_classes_have_to_remain() -> None:
    task = OutOfDistribution({"nearest": NearestNeighbour()}, near_classes=5, train_images=60, test_images=36)
    with pytest.raises(ValueError, match="near_classes=5 leaves 1 of 6 classes known"):
        task(drawn_subject())


def test_nan_features_are_refused() -> None:
    def broken(images: Tensor) -> Features:
        summary, spatial = look(images)
        return Features(summary * torch.nan, spatial)

    task = OutOfDistribution({"nearest": NearestNeighbour()}, train_images=60, test_images=36)
    with pytest.raises(ValueError, match="NaN or infinity"):
        task(replace(drawn_subject(), tokens=broken))
