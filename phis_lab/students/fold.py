"""A trained student without what only training needed: it predicts teachers in their own spaces, at no cost."""

import copy
from collections.abc import Mapping

import torch
from torch import nn

from phis_lab.features import Kind
from phis_lab.normalizers import Normalizer, TeacherSpace
from phis_lab.students.spectral import remove
from phis_lab.students.student import Student


def fold(student: Student, spaces: Mapping[str, TeacherSpace]) -> Student:
    """A copy of a student whose predictions are in each teacher's own space, in evaluation mode.

    The inverse of each normaliser moves into the layer `output` of its head (PHI-S, A.6), and spectral parametrisations
    become plain weights. A head that was shared by both kinds of tokens becomes two. Where a normaliser compresses and
    has no inverse, predictions stay in the student's own space.

    Args:
        student: trained on targets in the spaces.
        spaces: by teacher.

    Raises:
        ValueError: a space is missing or was never fitted, or a head does not end with a linear layer `output`.
    """
    for name, head in student.spatial_heads.items():
        if name not in spaces:
            raise ValueError(f"teacher '{name}' has spatial features and needs a normaliser, got {sorted(spaces)}")
        if spaces[name].is_invertible:
            _output(name, head)
    folded = as_folded(copy.deepcopy(student))
    heads_of: dict[Kind, nn.ModuleDict] = {"spatial": folded.spatial_heads, "summary": folded.summary_heads}
    for kind, heads in heads_of.items():
        for name, space in spaces.items():
            of_kind = space.map_of(kind)
            if name in heads and isinstance(of_kind, Normalizer):
                heads[name].output = of_kind.fold_into(_output(name, heads[name]))
    return folded.eval()


def unshared(student: Student) -> Student:
    """Gives each kind of token a head of its own, in place; both still do the same."""
    for name, head in student.summary_heads.items():
        if name in student.spatial_heads and student.spatial_heads[name] is head:
            student.spatial_heads[name] = copy.deepcopy(head)
    return student


def as_folded(student: Student) -> Student:
    """Gives a student, in place, the layers of a folded one, in which nothing is folded yet."""
    for heads in (unshared(remove(student)).spatial_heads, student.summary_heads):
        for head in heads.values():
            output = getattr(head, "output", None)
            if isinstance(output, nn.Linear) and output.bias is None:
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
