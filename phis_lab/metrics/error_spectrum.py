"""Where a student errs: its error along each of the teacher's principal components."""

from typing import NamedTuple

import torch
from torch import Tensor

from phis_lab.guards import require_tensors
from phis_lab.linalg import Moments
from phis_lab.shapes import Float, Float64


class ErrorSpectrum(NamedTuple):
    """Variances along the teacher's principal components, from the largest to the smallest."""

    teacher_variance: Float64[Tensor, "dim"]
    """l_k, the eigenvalues of the teacher's covariance."""
    error_variance: Float64[Tensor, "dim"]
    """e_k = u_k^T Cov(pred - target) u_k, without the error's mean; they add up to that of all channels."""
    cumulative_share: Float64[Tensor, "dim"]
    """(e_1 + ... + e_k) / (e_1 + ... + e_dim), of the error; zeros for an error without variance."""

    def unexplained_between(self, start: float, stop: float) -> Float64[Tensor, ""]:
        """Error variance over teacher variance of the components between two shares of the teacher's variance.

        Of 0 and 0.5 it is that of the leading components that hold half of the teacher's variance, of 0.9 and 1 that of
        the trailing ones that hold the last tenth. A component that lies across a bound counts in part. Over 0 to
        1 it is the whole error's variance over the teacher's: 1 / fidelity but for the error's mean. NaN for a
        teacher without variance.
        """
        error = self._error_up_to(stop) - self._error_up_to(start)
        return error / ((stop - start) * self.teacher_variance.sum())

    def _error_up_to(self, share: float) -> Float64[Tensor, ""]:
        """Error variance of the leading components that hold this share of the teacher's variance."""
        held = self.teacher_variance.cumsum(dim=0)
        held = held / held[-1]
        before = torch.cat([held.new_zeros(1), held[:-1]])
        part = torch.where(held > share, ((share - before) / (held - before)).clamp_min(0), 1)
        return (part * self.error_variance).sum()


def error_spectrum(pred: Float[Tensor, "*tokens dim"], target: Float[Tensor, "..."]) -> ErrorSpectrum:
    """The variance of a student's error along each principal component of its teacher, in the teacher's space.

    With the teacher's covariance U diag(l) U^T it is e_k = u_k^T Cov(pred - target) u_k, all population variances.
    Where eigenvalues coincide, only the sum of e_k over them has a meaning.

    Args:
        pred: the student's prediction, mapped back by the normaliser's inverse.
        target: the teacher's features, of the same shape.

    Raises:
        ValueError: the shapes differ, there are fewer than two tokens, or a token holds NaN or inf.

    Source:
        Saito and Ushiku, "The devil is in the spectrum bias" (SpecMatch), whose figures show e_k / l_k with the
        error's mean included.

    Example:
        >>> target = torch.cat([torch.eye(2), -torch.eye(2)])
        >>> error_spectrum(target * torch.tensor([0.5, 1.0]), target).error_variance.tolist()
        [0.0, 0.125]
    """
    require_tensors(pred=pred, target=target)
    if pred.shape != target.shape:
        raise ValueError(f"pred and target must have the same shape, got {tuple(pred.shape)} and {tuple(target.shape)}")
    teacher, error = (Moments(target.shape[-1]).update(x) for x in (target.double(), pred.double() - target.double()))
    if teacher.count < 2:
        raise ValueError(f"an error spectrum needs two tokens or more, got {teacher.count or 'no tokens'}")
    in_population = 1 - 1 / teacher.count
    variances, basis = teacher.eigh()
    return spectrum_along(variances * in_population, basis, error.covariance * in_population)


def spectrum_along(
    teacher_variance: Float64[Tensor, "dim"], basis: Float64[Tensor, "dim dim"], error: Float64[Tensor, "dim dim"]
) -> ErrorSpectrum:
    """Returns the spectrum from the teacher's principal components and the covariance of the error.

    Args:
        teacher_variance: eigenvalues of the teacher's covariance, descending.
        basis: their eigenvectors, as columns.
        error: covariance of the error, of the same normalisation.

    Example:
        >>> variance, error = torch.tensor([4.0, 1.0]).double(), torch.tensor([[3.0, 0.0], [0.0, 1.0]]).double()
        >>> spectrum_along(variance, torch.eye(2).double(), error).cumulative_share.tolist()
        [0.75, 1.0]
    """
    variance = (basis * (error @ basis)).sum(dim=0).clamp_min(0)
    total = variance.cumsum(dim=0)
    return ErrorSpectrum(teacher_variance, variance, torch.where(total[-1] > 0, total / total[-1], 0))
