"""RankMe: how many directions a set of embeddings really uses."""

import torch
from torch import Tensor

from phis_lab.guards import require_tensors
from phis_lab.linalg import Moments
from phis_lab.shapes import Float, Float64


def effective_rank(embeddings: Float[Tensor, "*rows dim"]) -> Float64[Tensor, ""]:
    """The effective rank of the uncentred matrix Z that has one embedding per row, by its singular values.

    exp(-sum p_k log p_k) with p_k = s_k / sum s (RankMe, eq. 1 and 2): between 1, where all embeddings are
    multiples of one, and dim, where all singular values are equal. Centring is left out as in RankMe, so a large
    common mean lowers it. RankMe adds 1e-7 to each p_k and RADIO to the sum of s; we need neither. A matrix
    of zeros has rank 0. For more than some thousand rows take `rank_of` their `Moments`.

    Args:
        embeddings: [*rows, dim], of images or of tokens.

    Raises:
        ValueError: there are no embeddings.

    Source:
        Garrido et al., "RankMe", ICML 2023; Roy and Vetterli, "The effective rank", 2007.

    Example:
        >>> effective_rank(torch.cat([torch.eye(3), -torch.eye(3)])).round(decimals=6).item()
        3.0
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


def rank_of(moments: Moments) -> Float64[Tensor, ""]:
    """The effective rank of streamed embeddings, from Z^T Z / n = covariance + mean mean^T, with n in the covariance.

    Its eigenvalues are the squares of the singular values, but for 1 / n. What lies below the float64 rounding of the
    largest counts as zero: singular values under about 1e-8 sqrt(dim) of the largest.

    Raises:
        ValueError: fewer than two embeddings were seen.

    Example:
        >>> rank_of(Moments(3).update(torch.cat([torch.eye(3), -torch.eye(3)]))).round(decimals=6).item()
        3.0
    """
    covariance, mean = moments.covariance * (1 - 1 / moments.count), moments.mean
    eigenvalues = torch.linalg.eigvalsh((covariance + torch.outer(mean, mean)).cpu())
    rounding = len(mean) * torch.finfo(torch.float64).eps * eigenvalues[-1]
    return entropy_rank(eigenvalues.where(eigenvalues > rounding, 0).sqrt()).to(mean.device)
