"""Linear CKA: how alike two representations are up to rotation and scale, plain and unbiased, in one stream."""

import torch
from torch import Tensor

from phis_lab.guards import require_tensors
from phis_lab.linalg import Moments
from phis_lab.shapes import Float, Float64

LEAST_ROWS = 4
BLOCK_ROWS = 512


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

    Example:
        >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0], [3.0, 5.0]])
        >>> {name: round(value.item(), 6) for name, value in linear_cka(x, 3 * x).items()}
        {'cka': 1.0, 'cka_unbiased': 1.0}
    """
    require_tensors(x=x, y=y)
    cross = CrossMoments(x.shape[-1], y.shape[-1], x.device)
    cross.update(x, y)
    return cross.cka(*(Moments(side.shape[-1]).update(side.double()) for side in (x, y)))


class CrossMoments:
    """What linear CKA needs of two representations beyond the `Moments` of each, in one stream.

    Those are the dear part: kept apart, a teacher's serve for every student and a student's for every teacher. All
    sums here are float64, of x - c_x and y - c_y about fixed rows c, the means of the first batch; `cka` then moves
    them to the mean of all rows, from which the fixed rows are not far: nothing cancels.

    Args:
        dim_x: channels of the one side.
        dim_y: channels of the other.
        device: where the rows are.
    """

    def __init__(self, dim_x: int, dim_y: int, device: torch.device) -> None:
        self.dims = [dim_x, dim_y]
        self._count = 0
        self._fixed: Tensor | None = None
        zeros = torch.zeros(dim_x + 4, dim_x + dim_y, dtype=torch.float64, device=device)
        self._products, self._third, self._fourth = zeros[:dim_x, dim_x:], zeros[dim_x:-2], zeros[-2:, :2]

    def update(self, x: Float[Tensor, "*rows dim_x"], y: Float[Tensor, "*rows dim_y"]) -> None:
        """Adds rows, seen by both sides; add them to the `Moments` of each as well.

        Raises:
            ValueError: the rows differ, or the channels are not as announced.
        """
        require_tensors(x=x, y=y)
        if x.shape[:-1] != y.shape[:-1] or [x.shape[-1], y.shape[-1]] != self.dims:
            shapes = f"{tuple(x.shape)} and {tuple(y.shape)}"
            raise ValueError(f"x and y must be the same rows, of {self.dims} channels, got the shapes {shapes}")
        rows = [side.detach().reshape(-1, side.shape[-1]).split(BLOCK_ROWS) for side in (x, y)]
        for block in zip(*rows, strict=True):
            self._add(torch.cat([side.double() for side in block], dim=1))

    def _add(self, z: Float64[Tensor, "rows dim"]) -> None:
        if self._fixed is None:
            self._fixed = z.mean(dim=0)
        self._count += len(z)
        z = z - self._fixed
        x, y = z.split(self.dims, dim=1)
        norms = torch.stack([x.square().sum(dim=1), y.square().sum(dim=1)])
        self._products.addmm_(x.T, y)
        self._third.addmm_(norms, z)
        self._fourth.addmm_(norms, norms.T)

    def cka(self, x: Moments, y: Moments) -> dict[str, Float64[Tensor, ""]]:
        """Returns what `linear_cka` does of all rows, from the moments of both sides.

        With a = mean - c and n rows, the squared norm of a centred row of side i is |z|^2 - 2 z.a_i + |a_i|^2;
        q_ij is the sum of the product of two such, multiplied out.

        Raises:
            ValueError: the moments are of other rows, or of fewer than four.
        """
        n = x.count
        if self._fixed is None:
            raise ValueError("CKA has seen nothing: no rows were added")
        if not n == y.count == self._count:
            raise ValueError(
                f"CKA needs moments of the same rows, got {n} and {y.count} rows, and {self._count} added here"
            )
        if n < LEAST_ROWS:
            raise ValueError(f"linear CKA needs at least {LEAST_ROWS} rows, got {n}")
        a = (torch.cat([x.mean, y.mean]) - self._fixed).split(self.dims)
        cross = self._products - n * torch.outer(*a)
        scatters = [[x.covariance * (n - 1), cross], [cross.T, y.covariance * (n - 1)]]
        norms = torch.stack([torch.stack([each.square().sum() for each in row]) for row in scatters])
        traces = torch.stack([scatters[0][0].trace(), scatters[1][1].trace()])
        squares = torch.stack([each.square().sum() for each in a])
        along = torch.stack([torch.stack([a[i] @ scatters[i][j] @ a[j] for j in (0, 1)]) for i in (0, 1)])
        third = torch.stack([side @ step for side, step in zip(self._third.split(self.dims, dim=1), a, strict=True)], 1)
        outer = torch.outer(squares, squares)
        spread = torch.outer(squares, traces)
        products = self._fourth - 2 * (third + third.T) + 4 * along + spread + spread.T + 3 * n * outer
        return _cka_of(torch.tensor(n, dtype=torch.float64), norms, traces, products)


def _cka_of(
    count: Float64[Tensor, ""],
    norms: Float64[Tensor, "2 2"],
    traces: Float64[Tensor, "2"],
    products: Float64[Tensor, "2 2"],
) -> dict[str, Float64[Tensor, ""]]:
    """Returns the values that `linear_cka` describes, from |S_ij|_F^2, t_i and q_ij of the sides i and j."""
    unbiased = norms - products * count / (count - 2) + torch.outer(traces, traces) / ((count - 1) * (count - 2))
    return {"cka": _normalized(norms), "cka_unbiased": _normalized(unbiased)}


def _normalized(hsic: Float64[Tensor, "2 2"]) -> Float64[Tensor, ""]:
    return hsic[0, 1] / (hsic[0, 0].sqrt() * hsic[1, 1].sqrt())
