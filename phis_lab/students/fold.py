"""A trained student without what only training needed: it predicts teachers in their own spaces, at no cost."""

import copy
from collections.abc import Mapping

import torch
from torch import nn

from phis_lab.normalizers import Normalizer
from phis_lab.students.spectral import remove
from phis_lab.students.student import Student


def fold(student: Student, normalizers: Mapping[str, Normalizer] | nn.ModuleDict) -> Student:
    """A copy of a student whose spatial predictions are in each teacher's own space, in evaluation mode.

    The inverse of each normaliser moves into the layer `output` of the spatial head (PHI-S, A.6), and spectral
    parametrisations become plain weights. Summaries are never normalised.

    Args:
        student: trained on normalised features.
        normalizers: by teacher; one for each that has spatial features.

    Raises:
        ValueError: a normaliser is missing or was never fitted, or a head does not end with a linear layer `output`.
    """
    for name, head in student.spatial_heads.items():
        _output(name, head)
        if name not in normalizers:
            raise ValueError(f"teacher '{name}' has spatial features and needs a normaliser, got {sorted(normalizers)}")
    folded = remove(copy.deepcopy(student))
    for name, head in folded.spatial_heads.items():
        head.output = normalizers[name].fold_into(_output(name, head))  # type: ignore[operator]
    return folded.eval()


def as_folded(student: Student) -> Student:
    """Gives a new student, in place, the layers of a folded one, for `load_state_dict`."""
    for name, head in remove(student).spatial_heads.items():
        output = _output(name, head)
        if output.bias is None:
            output.bias = nn.Parameter(torch.zeros_like(output.weight[:, 0]))
    return student


def _output(name: str, head: nn.Module) -> nn.Linear:
    output = getattr(head, "output", None)
    if isinstance(output, nn.Linear):
        return output
    raise ValueError(
        f"the normaliser of teacher '{name}' folds into a linear layer named `output`, which its spatial head, "
        f"{type(head).__name__}, does not have; name the head's last layer `output` and leave nothing after it"
    )
