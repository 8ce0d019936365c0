"""RankMe: how many directions a set of embeddings really uses."""

import torch
from torch import Tensor
from torchmetrics import Metric

from phis_lab.guards import require_tensors
from phis_lab.metrics.scatter import merge_scatters, scatter_moments
from phis_lab.shapes import Float, Float64


def effective_rank(embeddings: Float[Tensor, "*rows dim"]) -> Float64[Tensor, ""]:
    """The effective rank of the uncentred matrix Z that has one embedding per row, by its singular values.

    exp(-sum p_k log p_k) with p_k = s_k / sum s (RankMe, eq. 1 and 2): between 1, where all embeddings are
    multiples of one, and dim, where all singular values are equal. Centring is left out as in RankMe, so a large
    common mean lowers it. RankMe adds 1e-7 to each p_k and RADIO to the sum of s; we need neither. A matrix
    of zeros has rank 0. For more than some thousand rows take `EffectiveRank`.

    Args:
        embeddings: [*rows, dim], of images or of tokens.

    Raises:
        ValueError: there are no embeddings.

    Source:
        Garrido et al., "RankMe", ICML 2023; Roy and Vetterli, "The effective rank", 2007.
    """
    require_tensors(embeddings=embeddings)
    if embeddings.numel() == 0:
        raise ValueError(f"the effective rank needs at least one embedding, got the shape {tuple(embeddings.shape)}")
    return entropy_rank(torch.linalg.svdvals(embeddings.reshape(-1, embeddings.shape[-1]).double()))


def entropy_rank(singular_values: Float64[Tensor, " values"]) -> Float64[Tensor, ""]:
    """Returns exp of the entropy of singular values that are divided by their sum; 0 if all are zero."""
    total = singular_values.sum()
    rank = torch.special.entr(singular_values / total).sum().exp()
    return torch.where(total > 0, rank, torch.zeros_like(rank))


def rank_of(covariance: Float64[Tensor, "dim dim"], mean: Float64[Tensor, "dim"]) -> Float64[Tensor, ""]:
    """The effective rank of embeddings with this population covariance: of Z^T Z / n = covariance + mean mean^T.

    Its eigenvalues are the squares of the singular values, but for 1 / n. What lies below the float64 rounding of the
    largest counts as zero: singular values under about 1e-8 sqrt(dim) of the largest.
    """
    eigenvalues = torch.linalg.eigvalsh((covariance + torch.outer(mean, mean)).cpu())
    rounding = len(mean) * torch.finfo(torch.float64).eps * eigenvalues[-1]
    return entropy_rank(eigenvalues.where(eigenvalues > rounding, 0).sqrt()).to(mean.device)


class EffectiveRank(Metric):
    """Streaming `effective_rank`, from the dim x dim matrix Z^T Z by `rank_of`.

    Memory does not grow with the embeddings, and any split into batches and
    processes gives the same value.

    Args:
        dim: channels of an embedding.
    """

    full_state_update = False
    moments: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.add_state("moments", torch.zeros(dim + 2, dim, dtype=torch.float64), dist_reduce_fx=merge_scatters)

    def update(self, embeddings: Float[Tensor, "*rows dim"]) -> None:
        """Adds embeddings.

        Raises:
            ValueError: they have another number of channels, or hold NaN or inf.
        """
        if embeddings.shape[-1] != self.dim:
            raise ValueError(f"this metric is of {self.dim} channels, got the shape {tuple(embeddings.shape)}")
        self.moments = merge_scatters(torch.stack([self.moments, scatter_moments(embeddings)]))

    def compute(self) -> Float64[Tensor, ""]:
        """Returns the effective rank of everything seen by all ranks.

        Raises:
            ValueError: no embeddings yet.
        """
        count, mean, scatter = self.moments[0, 0], self.moments[1], self.moments[2:]
        if count == 0:
            raise ValueError("the effective rank has seen no embeddings; update it before it is computed")
        return rank_of(scatter / count, mean)
