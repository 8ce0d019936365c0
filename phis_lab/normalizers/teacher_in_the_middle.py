"""TinTeM's head on the teacher's side: a learned map into the student's space that keeps cosines."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from phis_lab import processes
from phis_lab.bounds import WholeOrAtLeastZero
from phis_lab.features import Features
from phis_lab.linalg import Moments
from phis_lab.linalg.vmf_sne import TEMPERATURES, vmf_sne
from phis_lab.normalizers.compression import Compression
from phis_lab.normalizers.spread import checked_seed
from phis_lab.precision import full_float32
from phis_lab.shapes import Float


class TeacherInTheMiddle(Compression):
    """y = W LayerNorm(x) + b with all of W, b and the norm learned from the teacher alone, along with the student.

    It is trained by `training_loss`, so that cosines between tokens survive the compression; the map becomes about
    orthogonal by that, without a constraint. The student follows `forward`, from which no gradient flows back: it
    cannot make the teacher easier to follow. The paper has one teacher; one map per teacher is our extension.

    There is nothing to fit and it can be used from the start. It has parameters, which belong into the optimiser of
    the student, checkpoints, gradient averages over processes and the arm's random streams. Making it draws from a
    generator of its own.

    Args:
        dim: channels of the teacher, of summary and patches alike.
        out_dim: width of the student.
        temperatures: of the divergence; None takes the paper's 0.01, 0.02, ..., 0.1.
        local_weight: of the divergence among the tokens of an image; 0 leaves it out.
        global_weight: of the divergence among the summaries of a batch; 0 leaves it out.
        seed: of the first W and b, which are drawn like those of `torch.nn.Linear`.

    Raises:
        ValueError: the student is wider than the teacher, a weight is negative, or both are 0.

    Source:
        Mannix, Hodgkinson and Bondell, TinTeM / CosPress (arXiv 2411.15239).
    """

    needs_covariance: ClassVar[bool] = False

    def __init__(
        self,
        dim: int,
        out_dim: int,
        temperatures: Sequence[float | int] | None = None,
        local_weight: WholeOrAtLeastZero = 1.0,
        global_weight: WholeOrAtLeastZero = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(dim, out_dim)
        if not (local_weight >= 0 and global_weight >= 0 and local_weight + global_weight > 0):
            raise ValueError(
                "local_weight and global_weight must not be negative, and one must be positive or nothing trains the "
                f"map, got {local_weight} and {global_weight}"
            )
        self.temperatures = TEMPERATURES if temperatures is None else tuple(temperatures)
        self.local_weight, self.global_weight = float(local_weight), float(global_weight)
        self.seed = checked_seed(seed)
        self.norm = nn.LayerNorm(dim)
        self.linear = nn.utils.skip_init(nn.Linear, dim, out_dim)
        self.reset_parameters()
        self.fitted = torch.ones_like(self.fitted)
        self.is_fitted = True

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Puts the map where it was at first."""
        generator = torch.Generator().manual_seed(self.seed)
        for parameter in (self.linear.weight, self.linear.bias):
            drawn = torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_((2 * drawn - 1) / self.dim**0.5)
        self.norm.reset_parameters()

    @property
    def weight(self) -> Float[Tensor, "out_dim dim"]:
        """The linear map of normalised features, with the gains of the LayerNorm: what orthogonality is asked of."""
        weight: Tensor = self.linear.weight * self.norm.weight
        return weight.detach()

    def forward(self, x: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows out_dim"]:
        """Gives the student's target, a constant."""
        with torch.no_grad():
            return self.map(x)

    def map(self, x: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows out_dim"]:
        """Gives the same with a gradient into the map's parameters."""
        x, _ = self.prepare(x)
        layers = (self.norm.weight, self.norm.bias, self.linear.weight, self.linear.bias)
        gain, offset, weight, bias = (parameter.to(x.dtype) for parameter in layers)
        with torch.autocast(x.device.type, enabled=False), full_float32():
            normed = functional.layer_norm(x, (self.dim,), gain, offset, self.norm.eps)
            return functional.linear(normed, weight, bias)

    def training_loss(self, features: Features) -> dict[str, Float[Tensor, ""]]:
        """The weighted rows "local" and "global", whose sum trains the map and nothing else.

        Local is among the tokens of each image, the summary being one of them, averaged over images. Global is among
        the summaries of all processes' images: each process maps them all, so that averaged gradients are those of
        one process with all images. Without a summary there is no global row, without patches no local one.

        Args:
            features: of the teacher, as the student is asked to match them.

        Raises:
            ValueError: no row is left, another number of channels, or one token or image alone.
        """
        kinds = {kind: self.prepare(tokens.detach())[0] for kind, tokens in features.kinds().items()}
        rows = {}
        if "spatial" in kinds and self.local_weight:
            tokens = torch.cat([rows.reshape(len(rows), -1, self.dim) for rows in kinds.values()], dim=1)
            rows["local"] = self.local_weight * self._divergence(tokens).mean()
        if "summary" in kinds and self.global_weight:
            rows["global"] = self.global_weight * self._divergence(processes.gather(kinds["summary"])[None]).squeeze(0)
        if not rows:
            raise ValueError(
                "nothing trains this map: the local term needs spatial features and the global term summaries, got "
                f"{' and '.join(kinds) or 'neither'} features, local_weight={self.local_weight}, "
                f"global_weight={self.global_weight}"
            )
        return rows

    def solve(self, moments: Moments) -> dict[str, Tensor]:
        """Takes nothing from moments: the map is learned."""
        del moments
        return {}

    def _divergence(self, tokens: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, " batch"]:
        return vmf_sne(tokens, self.map(tokens), self.temperatures)
