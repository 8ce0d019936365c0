"""Probes as options."""

import re

import pytest
import torch

from phis_lab.evals import KNN, Embeddings, LinearProbe, Probe


def blobs(count: int, seed: int) -> Embeddings:
    """Three well separated classes."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    centres = 4 * torch.eye(3, 5)
    return Embeddings(centres[labels] + 0.3 * torch.randn(count, 5, generator=generator), labels)


@pytest.mark.parametrize("probe", [KNN(k=5), KNN(k=5, protocol="dino"), LinearProbe()])
def test_separated_classes_are_told_apart(probe: Probe) -> None:
    assert probe(blobs(60, 0), blobs(30, 1)) == {"accuracy": 1.0}


@pytest.mark.parametrize("probe", [KNN(k=5), LinearProbe()])
def test_accuracy_is_the_share_of_right_answers(probe: Probe) -> None:
    test = blobs(30, 1)
    wrong = Embeddings(test.features, torch.where(torch.arange(30) < 6, (test.labels + 1) % 3, test.labels))
    assert probe(blobs(60, 0), wrong)["accuracy"] == pytest.approx(0.8)


def test_probes_say_when_they_run() -> None:
    assert (KNN().when, LinearProbe().when) == ("always", "end")


def test_probes_say_how_many_images_they_need() -> None:
    assert (KNN(k=7).minimum_images, LinearProbe().minimum_images) == (7, 1)


def test_a_linear_probe_that_did_not_converge_says_so(caplog: pytest.LogCaptureFixture) -> None:
    LinearProbe()(blobs(60, 0), blobs(30, 1))
    assert not caplog.messages
    LinearProbe(max_iterations=2)(blobs(60, 0), blobs(30, 1))
    (message,) = caplog.messages
    assert re.fullmatch(r".*not converge: objective 0\.\d+ after 2 iterations; raise max_iterations", message)
