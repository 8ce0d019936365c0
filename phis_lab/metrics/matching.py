"""How well a student's prediction matches its teacher, in the teacher's own space."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity
from torchmetrics import Metric

from phis_lab.guards import require_tensors
from phis_lab.linalg import channel_moments, merge_moments
from phis_lab.shapes import Float, Float64

BLOCK_ROWS = 256


def matching_moments(
    pred: Float[Tensor, "*tokens channels"], target: Float[Tensor, "..."]
) -> tuple[Float64[Tensor, "3 channels"], Float64[Tensor, "3 channels"], Float64[Tensor, "3 1"]]:
    """Returns the moments of the target, of the error and of the tokens' cosine similarity.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> target, error, similarity = matching_moments(torch.tensor([[1.0, 3.0]]), torch.tensor([[1.0, 1.0]]))
        >>> error.tolist()
        [[1.0, 1.0], [0.0, 2.0], [0.0, 0.0]]
    """
    parts = [_of_block(*block) for block in _blocks(pred, target)]
    target_moments, error, similarity = (merge_moments(torch.stack(moments)) for moments in zip(*parts, strict=True))
    return target_moments, error, similarity


def error_moments(
    pred: Float[Tensor, "*tokens channels"], target: Float[Tensor, "..."]
) -> Float64[Tensor, "3 channels"]:
    """Returns the moments of the error alone.

    Raises:
        ValueError: the shapes differ.
    """
    return merge_moments(torch.stack([channel_moments(p.double() - t.double()) for p, t in _blocks(pred, target)]))


def _blocks(pred: Tensor, target: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows of both, as many as leave a CPU's intermediate results in its cache."""
    require_tensors(pred=pred, target=target)
    if pred.shape != target.shape:
        raise ValueError(f"pred and target must have the same shape, got {tuple(pred.shape)} and {tuple(target.shape)}")
    rows = [side.reshape(-1, side.shape[-1]) for side in (pred, target)]
    size = BLOCK_ROWS if pred.is_cpu else max(1, len(rows[0]))
    return zip(*(side.split(size) for side in rows), strict=True)


def _of_block(pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    pred, target = pred.double(), target.double()
    similarity = cosine_similarity(pred, target, dim=-1)
    return channel_moments(target), channel_moments(pred - target), channel_moments(similarity[:, None])


def matching_values(
    target: Float64[Tensor, "3 channels"],
    error: Float64[Tensor, "3 channels"],
    similarity: Float64[Tensor, "3 1"],
) -> dict[str, Float64[Tensor, ""]]:
    """Returns the numbers that `TeacherMatching` describes, from the moments of all tokens.

    Raises:
        ValueError: there are no tokens.

    Example:
        >>> target = torch.tensor([[1.0, 1.0], [3.0, 5.0]])
        >>> sorted(matching_values(*matching_moments(target + 0.5, target)))
        ['cosine', 'error_variance_range', 'fidelity', 'fidelity_global', 'mse']
    """
    if error[0, 0] == 0:
        raise ValueError("teacher matching has seen no tokens; update it before it is computed")
    mse = (_variance(error) + error[1].square()).mean()
    phi_squared = _variance(target).mean()
    return {
        "mse": mse,
        "fidelity": phi_squared / mse,
        "fidelity_global": (phi_squared + target[1].var(correction=0)) / mse,
        "cosine": similarity[1, 0],
        "error_variance_range": _variance_range(error),
    }


def _variance(moments: Tensor) -> Tensor:
    return moments[2] / moments[0]


def _variance_range(moments: Tensor) -> Tensor:
    variance = _variance(moments)
    return variance.max() - variance.min()


class TeacherMatching(Metric):
    """Streaming comparison of predictions with the teacher's features, in the teacher's space.

    With e = pred - target, and population variances, so that predicting the teacher's mean has fidelity 1:

    - `mse`: mean of e^2 over tokens and channels (PHI-S, table 3).
    - `fidelity`: phi^2 / mse, phi^2 the mean over channels of the target's variance (as in FeatSharp).
    - `fidelity_global`: variance of the target over all elements / mse (as in RADIO). It counts the spread of
      the channel means as variance, so it is the larger: by up to 43 % for PHI-S's teachers.
    - `cosine`: mean over tokens of the cosine similarity (1 is perfect), not the distance.
    - `error_variance_range`: max minus min over channels of the variance of e (PHI-S, table 5).
    - `error_variance_range_normalized`: the same in normalised space, if `update` is given that too.

    A perfect match has infinite fidelity. Moments are float64 and merged exactly, over batches as over ranks.

    Args:
        dim: channels of the teacher.
        sync_on_compute: whether the processes of a process group have seen different rows, which then count together.
    """

    higher_is_better = None
    is_differentiable = False
    full_state_update = False

    target: Tensor
    error: Tensor
    similarity: Tensor
    error_normalized: Tensor

    def __init__(self, dim: int, sync_on_compute: bool = True) -> None:
        super().__init__(sync_on_compute=sync_on_compute)
        self.dim = dim
        for name, channels in {"target": dim, "error": dim, "similarity": 1, "error_normalized": dim}.items():
            self.add_state(name, torch.zeros(3, channels, dtype=torch.float64), dist_reduce_fx=merge_moments)

    def update(
        self,
        pred: Float[Tensor, "*tokens channels"],
        target: Float[Tensor, "..."],
        pred_normalized: Float[Tensor, "..."] | None = None,
        target_normalized: Float[Tensor, "..."] | None = None,
    ) -> None:
        """Adds a batch of tokens: in the teacher's space and, always or never, in the normalised one too.

        Raises:
            ValueError: shapes differ, the last one is not `dim`, or only one of the normalised pair is given.
        """
        if pred.shape[-1] != self.dim:
            raise ValueError(f"this metric is of {self.dim} channels, got features of shape {tuple(pred.shape)}")
        if (pred_normalized is None) != (target_normalized is None):
            raise ValueError("give both pred_normalized and target_normalized, or neither")
        moments = matching_moments(pred, target)
        self.target = _merged(self.target, moments[0])
        self.error = _merged(self.error, moments[1])
        self.similarity = _merged(self.similarity, moments[2])
        if pred_normalized is not None and target_normalized is not None:
            self.error_normalized = _merged(self.error_normalized, error_moments(pred_normalized, target_normalized))

    def compute(self) -> dict[str, Float64[Tensor, ""]]:
        """Returns the values over everything seen by all ranks.

        Raises:
            ValueError: no update yet, or only some of them brought the normalised space.
        """
        values = matching_values(self.target, self.error, self.similarity)
        count, count_normalized = int(self.error[0, 0]), int(self.error_normalized[0, 0])
        if count_normalized not in (0, count):
            raise ValueError(f"{count_normalized} of {count} tokens came with the normalised space; give all or none")
        if count_normalized:
            values["error_variance_range_normalized"] = _variance_range(self.error_normalized)
        return values


def _merged(seen: Tensor, new: Tensor) -> Tensor:
    return merge_moments(torch.stack([seen, new]))


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
