"""Test images of classes that the training images lack are refused before anything is trained."""

from dataclasses import dataclass

import pytest
import torch

from phis_lab.data import Augmentation, DataModule, DataSource, TensorImages
from phis_lab.engine import Evaluation
from phis_lab.evals import KNN


@dataclass(frozen=True, kw_only=True)
class Made(DataSource):
    """Grey images of the classes a and b to train on, of all three to test on."""

    known: int = 2

    def read(self):
        def images(name, classes):
            labels = torch.arange(30) % classes
            return TensorImages(name, torch.zeros(30, 8, 8, dtype=torch.uint8), labels, "abc")

        return images("made/train", self.known), images("made/test", 3)


def check(evaluation, **options):
    evaluation.check(DataModule(Made(**options), Augmentation(8), steps=1).eval_loader, [])


def test_a_probe_needs_training_images_of_every_class_that_is_tested():
    evaluation = Evaluation({"knn": KNN(k=2)}, train_images=20, test_images=20, matching_images=20)
    check(evaluation, known=3)
    with pytest.raises(ValueError, match=r"made/test has images of 1 classes that the 20 .* of made/train lack: c;"):
        check(evaluation)
    check(Evaluation({}, matching_images=20))
