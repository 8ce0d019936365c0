"""Probes of a student whose smallest weights are pruned (UNIC, figure 6a)."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.prune import L1Unstructured

from phis_lab.bounds import Above, Positive, SmallShare
from phis_lab.evals.embedding import embed_own
from phis_lab.evals.probes.linear import linear_probe
from phis_lab.evals.score import Score, accuracy_score
from phis_lab.evals.subject import Subject, Task
from phis_lab.features import Tokens


@contextmanager
def pruned(module: nn.Module, share: float) -> Iterator[None]:
    """Sets to zero, inside the block, the smallest weights of every linear layer, and puts them back after it.

    l1 unstructured pruning as torch has it: of each weight matrix, the share with the least absolute values; biases
    stay. Of a layer that computes with a function of its weight, as under spectral reparametrisation, the weight that
    it computes with is pruned.

    Args:
        module: such as a student's backbone.
        share: of the weights of each layer, in [0, 1).

    Raises:
        ValueError: another share, or no linear layer.
    """
    if not 0 <= share < 1:
        raise ValueError(f"the share of pruned weights is in [0, 1), got {share}")
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    if not layers:
        raise ValueError(f"pruning needs linear layers, and {type(module).__name__} has none")
    with ExitStack() as changes:
        for layer in layers:
            weight = layer.weight.detach()
            kept = L1Unstructured(amount=float(share)).prune(weight.clone())
            if parametrize.is_parametrized(layer, "weight"):
                changes.enter_context(_masked(layer, kept != 0))
            else:
                changes.enter_context(_replaced(layer.weight, kept))
        yield


@contextmanager
def _replaced(weight: Tensor, values: Tensor) -> Iterator[None]:
    before = weight.detach().clone()
    with torch.no_grad():
        weight.copy_(values)
    try:
        yield
    finally:
        with torch.no_grad():
            weight.copy_(before)


@contextmanager
def _masked(layer: nn.Linear, mask: Tensor) -> Iterator[None]:
    """Multiplies what the layer's own parametrisations give by a mask."""
    steps: Any = layer.parametrizations["weight"]  # type: ignore[index]
    steps.append(_Mask(mask))
    try:
        yield
    finally:
        del steps[-1]


class _Mask(nn.Module):
    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.mask = mask

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.mask


TENTHS = tuple(tenth / 10 for tenth in range(10))


class Pruning(Task):
    """Linear-probe accuracy with the smallest weights of the backbone's linear layers at zero: `sparsity_<percent>`.

    The probe is trained anew for every share, on features of the pruned backbone (UNIC, figure 6a; see `pruned`).

    Args:
        shares: of the weights of each layer.
        tokens: the summary token, the mean of the spatial tokens, or both joined.
        train_images: labelled training images of the run.
        test_images: its test images.
        c: inverse strength of the probe's penalty.
        max_iterations: limit of L-BFGS.
    """

    def __init__(
        self,
        shares: Annotated[Sequence[SmallShare], Field(min_length=1)] = TENTHS,
        tokens: Tokens = "summary",
        train_images: Positive = 2000,
        test_images: Positive = 1000,
        c: Above = 1.0,
        max_iterations: Positive = 3000,
    ) -> None:
        self.shares, self.c, self.max_iterations = list(shares), c, max_iterations
        self.tokens: Tokens = tokens
        self.train_images, self.test_images = train_images, test_images

    def __call__(self, subject: Subject) -> dict[str, Score]:
        """Top-1 accuracy by share, as details.

        Raises:
            ValueError: the subject shows no module, or it has no linear layers.
        """
        if subject.backbone is None:
            raise ValueError("pruning changes the weights behind the tokens, and this subject shows no backbone")
        found: dict[str, Score] = {}
        for share in self.shares:
            with pruned(subject.backbone, share):
                train = embed_own(subject, "train", self.train_images, self.tokens)
                test = embed_own(subject, "test", self.test_images, self.tokens)
            result = linear_probe(*train, *test, c=self.c, max_iterations=self.max_iterations)
            found[f"sparsity_{100 * share:g}"] = accuracy_score(result.accuracy, test.labels).as_detail()
        return found
