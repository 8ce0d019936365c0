"""Training images that are set aside to choose a hyperparameter on."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from phis_lab.evals.solvers.search import Chosen, Search, Values
from phis_lab.shapes import Float, Int64


class Split(NamedTuple):
    """Positions of images, ascending, that together are all of them."""

    kept: Int64[Tensor, " kept"]
    held: Int64[Tensor, " held"]


def hold_out_of_classes(labels: Int64[Tensor, " n"], share: float = 0.2, seed: int = 0) -> Split:
    """Sets aside a share of every class at random: one image or more, but never the whole of a class.

    A fifth per class is what UNIC chooses its hyperparameters on. A class of one image stays with the kept.

    Args:
        labels: class of each image.
        share: of every class, between 0 and 1.
        seed: of the generator that picks; the same labels and seed give the same split.

    Raises:
        ValueError: no class has two images.
    """
    generator = torch.Generator().manual_seed(seed)
    is_held = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique().tolist():
        members = (labels.cpu() == label).nonzero()[:, 0]
        count = min(max(1, round(share * len(members))), len(members) - 1)
        is_held[members[torch.randperm(len(members), generator=generator)[:count]]] = True
    if not is_held.any():
        raise ValueError(f"nothing can be held out: each of the {len(labels)} training images has a class of its own")
    is_held = is_held.to(labels.device)
    return Split((~is_held).nonzero()[:, 0], is_held.nonzero()[:, 0])


Accuracies = Callable[[Tensor, Tensor, Tensor, Tensor, Sequence[Values]], Sequence[float]]
"""(train_x, train_y, test_x, test_y, hyperparameters) -> test accuracies of classifiers that were fitted with each."""


def choose_held_out(
    x: Float[Tensor, "n dim"], y: Int64[Tensor, " n"], accuracies: Accuracies, search: Search, seed: int = 0
) -> Chosen:
    """Chooses hyperparameters by the accuracy on a held-out fifth of every class, fitted on the rest.

    Args:
        x: frozen features of all training images.
        y: their labels.
        accuracies: fits and tests.
        search: what is tried.
        seed: of the split.

    Raises:
        ValueError: no class has two images.
    """
    kept, held = hold_out_of_classes(y, seed=seed)
    parts = x[kept], y[kept], x[held], y[held]
    return search(lambda tried: accuracies(*parts, tried))


def refuse_single_images(y: Int64[Tensor, " n"]) -> None:
    """Raises ValueError where a class has one image, of which no part can be held out."""
    classes, sizes = y.unique(return_counts=True)
    single = classes[sizes < 2].tolist()
    if single:
        raise ValueError(
            f"a fifth of every class is held out, and class{'es' if len(single) > 1 else ''} {single[:10]} "
            f"({len(single)} of {len(classes)}) have one image; give each class two or more training images"
        )
