"""Teacher matching of tensors at hand."""

from torch import Tensor

from phis_lab.metrics import matching_moments, matching_values
from phis_lab.shapes import Float


def teacher_matching(pred: Float[Tensor, "*tokens channels"], target: Float[Tensor, "..."]) -> dict[str, float]:
    """Compares predictions with a teacher's features, both in the teacher's own space.

    Args:
        pred: the student's prediction, mapped back by the normaliser's inverse.
        target: the teacher's features, of the same shape.

    Returns:
        `mse`, `fidelity`, `fidelity_global`, `cosine` (a similarity) and `error_variance_range`, as defined
        by `phis_lab.metrics.TeacherMatching`, which computes the same over a stream.

    Raises:
        ValueError: the shapes differ or are empty.

    Example:
        >>> import torch
        >>> target = torch.tensor([[1.0, 1.0], [3.0, 5.0]])
        >>> teacher_matching(target + torch.tensor([0.5, 0.0]), target)["mse"]
        0.125
    """
    return {name: value.item() for name, value in matching_values(*matching_moments(pred, target)).items()}
