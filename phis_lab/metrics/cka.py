"""Linear CKA: how alike two representations are up to rotation and scale, plain and unbiased, in one stream."""

from functools import partial

import torch
from torch import Tensor
from torchmetrics import Metric

from phis_lab.metrics.cka_moments import cka_moments, merge_cka_moments, statistics
from phis_lab.shapes import Float, Float64

LEAST_ROWS = 4


def linear_cka(x: Float[Tensor, "*rows dim_x"], y: Float[Tensor, "*rows dim_y"]) -> dict[str, Float64[Tensor, ""]]:
    """Linear centred kernel alignment of two representations of the same rows.

    With HSIC of the linear kernels, CKA = HSIC(x, y) / sqrt(HSIC(x, x) HSIC(y, y)), blind to rotations and scales
    of either side. In terms of centred scatter matrices S_xy = sum x y^T, with t = tr S and
    q_xy = sum |x|^2 |y|^2:

    - `cka`: HSIC = |S_xy|_F^2, the plain one. Biased: unrelated rows get more than 0, nearly 1 if they are few beside
      the channels.
    - `cka_unbiased`: HSIC = |S_xy|_F^2 - q_xy n / (n - 2) + t_x t_y / ((n - 1)(n - 2)), n (n - 3) times the
      unbiased estimate of Song et al. It is about 0 for unrelated rows, may be a little negative, and is the one to
      take for summaries, of which there are few.

    NaN if a side is constant, or if its unbiased HSIC with itself is negative.

    Args:
        x: rows are samples: images, or tokens.
        y: the same samples in the same order.

    Raises:
        ValueError: the rows differ, are fewer than four, or hold NaN or inf.

    Source:
        Kornblith et al., "Similarity of neural network representations revisited", ICML 2019; Song et al., "Feature
        selection via dependence maximization", JMLR 2012, eq. 5.
    """
    return cka_values(cka_moments(x, y), x.shape[-1])


def cka_values(moments: Float64[Tensor, "rows dim"], dim_x: int) -> dict[str, Float64[Tensor, ""]]:
    """Returns the values that `linear_cka` describes, from the moments of all rows.

    Raises:
        ValueError: there are fewer than four rows.
    """
    return cka_of(*statistics(moments, dim_x))


def cka_of(
    count: Float64[Tensor, ""],
    norms: Float64[Tensor, "2 2"],
    traces: Float64[Tensor, "2"],
    products: Float64[Tensor, "2 2"],
) -> dict[str, Float64[Tensor, ""]]:
    """Returns the values that `linear_cka` describes, from |S_ij|_F^2, t_i and q_ij of the sides i and j.

    Raises:
        ValueError: there are fewer than four rows.
    """
    if count < LEAST_ROWS:
        raise ValueError(f"linear CKA needs at least {LEAST_ROWS} rows, got {int(count)}")
    unbiased = norms - products * count / (count - 2) + torch.outer(traces, traces) / ((count - 1) * (count - 2))
    return {"cka": _normalized(norms), "cka_unbiased": _normalized(unbiased)}


def _normalized(hsic: Float64[Tensor, "2 2"]) -> Float64[Tensor, ""]:
    return hsic[0, 1] / (hsic[0, 0].sqrt() * hsic[1, 1].sqrt())


class LinearCKA(Metric):
    """Streaming `linear_cka`, both of its values: exact over batches and over ranks, in any order.

    Unlike an average of minibatches' CKA it does not depend on how the rows were split.

    Args:
        dim_x: channels of the one side.
        dim_y: channels of the other.
    """

    full_state_update = False
    moments: Tensor

    def __init__(self, dim_x: int, dim_y: int) -> None:
        super().__init__()
        self.dim_x, self.dim_y = dim_x, dim_y
        empty = cka_moments(torch.zeros(0, dim_x), torch.zeros(0, dim_y))
        self.add_state("moments", empty, dist_reduce_fx=partial(merge_cka_moments, dim_x=dim_x))

    def update(self, x: Float[Tensor, "*rows dim_x"], y: Float[Tensor, "*rows dim_y"]) -> None:
        """Adds samples, seen by both sides.

        Raises:
            ValueError: the rows differ, the channels are not as announced, or a row holds NaN or inf.
        """
        if (x.shape[-1], y.shape[-1]) != (self.dim_x, self.dim_y):
            shapes = f"{tuple(x.shape)} and {tuple(y.shape)}"
            raise ValueError(f"this metric is of {self.dim_x} and {self.dim_y} channels, got the shapes {shapes}")
        self.moments = merge_cka_moments(torch.stack([self.moments, cka_moments(x, y)]), self.dim_x)

    def compute(self) -> dict[str, Float64[Tensor, ""]]:
        """Returns `cka` and `cka_unbiased` over everything seen by all ranks.

        Raises:
            ValueError: fewer than four rows were seen.
        """
        return cka_values(self.moments, self.dim_x)
