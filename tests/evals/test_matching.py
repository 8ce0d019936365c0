import pytest
import torch

from phis_lab.evals import teacher_matching
from phis_lab.metrics import TeacherMatching


def test_tensors_at_hand_give_what_the_metric_gives_over_a_stream():
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(6, 4, 4, 5, generator=generator) * torch.arange(1, 6)
    pred = target + torch.randn(target.shape, generator=generator)
    metric = TeacherMatching(5)
    for image in range(len(pred)):
        metric.update(pred[image], target[image])
    streamed = {name: value.item() for name, value in metric.compute().items()}
    assert teacher_matching(pred, target) == pytest.approx(streamed, rel=1e-12)


def test_a_worked_example():
    target = torch.tensor([[1.0, 0.0], [-1.0, 4.0]])
    pred = torch.tensor([[2.0, 0.0], [-2.0, 4.0]])
    assert teacher_matching(pred, target) == pytest.approx(
        {
            "mse": 0.5,
            "fidelity": (1 + 4) / 2 / 0.5,
            "fidelity_global": 3.5 / 0.5,
            "cosine": (1 + 18 / (20 * 17) ** 0.5) / 2,
            "error_variance_range": 1.0,
        }
    )


def test_empty_features_are_refused():
    with pytest.raises(ValueError, match="no tokens"):
        teacher_matching(torch.empty(0, 3), torch.empty(0, 3))
