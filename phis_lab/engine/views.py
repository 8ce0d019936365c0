"""Predictions beside their targets: on one grid, of the tokens that student and teacher both saw."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from phis_lab.features import Features, Resize, match_grid
from phis_lab.shapes import Float


class Crew(NamedTuple):
    """Processes that work on one partition while others work on others.

    Attributes:
        first: rank of the first of them, among all.
        group: they.
        weight: of their losses, with which the mean over all processes is the mean of the partitions.
    """

    first: int
    group: dist.ProcessGroup
    weight: float


class View(NamedTuple):
    """What one arm sees of one partition in a step.

    Attributes:
        images: pixels in [0, 1].
        features: of the teachers that see this partition, on the arm's grid.
        scale: image size over the student's own.
        shift: rows and columns of tokens by which the student's crop lies below and right of the teachers'.
        resize: how predictions are resampled to a finer grid of the teachers.
        crew: the processes that see this partition, where they are divided; None are all.
    """

    images: Float[Tensor, "b 3 h w"]
    features: Mapping[str, Features]
    scale: float = 1.0
    shift: tuple[int, int] = (0, 0)
    resize: Resize = "antialias"
    crew: Crew | None = None


class Pair(NamedTuple):
    """Predictions and targets by teacher; spatial features have equal grids."""

    predictions: dict[str, Features]
    targets: dict[str, Features]


def common(predictions: Mapping[str, Features], view: View) -> Pair:
    """Predictions resampled to their targets' grid, and both cropped to the tokens in common.

    The resampling's weights sum to one, so it commutes with every normaliser.
    """
    said: dict[str, Features] = {}
    wanted: dict[str, Features] = {}
    for teacher, target in view.features.items():
        answer = said[teacher] = predictions[teacher]
        wanted[teacher] = target
        if answer.spatial is not None and target.spatial is not None:
            rows, columns = target.spatial.shape[1:3]
            on_grid = match_grid(answer.spatial, (rows, columns), view.resize)
            said[teacher] = answer._replace(spatial=_overlap(on_grid, view.shift, -1))
            wanted[teacher] = target._replace(spatial=_overlap(target.spatial, view.shift, 1))
    return Pair(said, wanted)


def _overlap(spatial: Float[Tensor, "b h w c"], shift: tuple[int, int], sign: int) -> Float[Tensor, "b h2 w2 c"]:
    """What lies in the other crop too, which lies `sign * shift` tokens below and right of this one."""
    if shift == (0, 0):
        return spatial
    rows, columns = (sign * tokens for tokens in shift)
    height, width = spatial.shape[1:3]
    return spatial[:, max(0, rows) : height + min(0, rows), max(0, columns) : width + min(0, columns)]


def joined(targets: Sequence[Features]) -> Features:
    """The rows of several partitions' features: summaries [b, d], spatial features as tokens [n, c]."""
    summaries = [target.summary for target in targets if target.summary is not None]
    tokens = [target.spatial.flatten(0, 2) for target in targets if target.spatial is not None]
    return Features(torch.cat(summaries) if summaries else None, torch.cat(tokens) if tokens else None)


def split_like(rows: Features, targets: Sequence[Features]) -> list[Features]:
    """Undoes `joined`: the rows in the shapes that the targets have, but for the number of channels."""
    parts: list[Features] = []
    summary, spatial = rows
    for target in targets:
        mine: list[Tensor | None] = [None, None]
        if summary is not None and target.summary is not None:
            mine[0], summary = summary[: len(target.summary)], summary[len(target.summary) :]
        if spatial is not None and target.spatial is not None:
            count = target.spatial[..., 0].numel()
            mine[1], spatial = spatial[:count].unflatten(0, target.spatial.shape[:-1]), spatial[count:]
        parts.append(Features(*mine))
    return parts
