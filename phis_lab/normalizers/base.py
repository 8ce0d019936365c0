"""What all normalisers share: fitting, precision, state, folding; `elementwise` and `matrix` hold the maps."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from os import PathLike
from typing import ClassVar, TypeVar

import torch
from torch import Tensor, nn

from phis_lab.guards import require_tensors, whole
from phis_lab.linalg import Moments
from phis_lab.normalizers.spread import check_moments
from phis_lab.normalizers.storage import read_normalizer, write_normalizer
from phis_lab.shapes import Float

_N = TypeVar("_N", bound="Normalizer")


class NotFittedError(ValueError, RuntimeError):
    """A normaliser was used before `fit`."""


class Normalizer(nn.Module, ABC):
    """An invertible affine map y = W (x - shift) whose W and shift are solved from a teacher's moments.

    A student trained on y still predicts the teacher: `inverse` maps its output back, and `fold_into` moves
    that map into the last linear layer, so it costs nothing at inference (PHI-S, eq. 39-50).

    Statistics are float64 buffers whatever the module's dtype. float16, bfloat16 and float32 inputs are
    computed in float32 and come out as float32; float64 inputs, or any input after `.double()`, are
    computed in float64.

    Args:
        dim: channels of the teacher, the last axis of every input.
    """

    needs_covariance: ClassVar[bool] = False
    """Whether `fit` needs full moments; if not, `Moments(dim, diagonal=True)` will do."""

    normalizes_summary: ClassVar[bool] = False
    """Whether a teacher's summary gets an instance of its own, or stays as it is as in PHI-S."""

    invertible: ClassVar[bool] = True
    """Whether predictions can be mapped back to the teacher's space; if not, they are compared in the student's."""

    shares_summary: ClassVar[bool] = False
    """Whether the map of the spatial features maps the summary too."""

    fitted: Tensor
    shift: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        if whole("dim", dim) < 1:
            raise ValueError(f"dim must be a positive number of channels, got {dim}")
        self.dim = self.out_dim = dim
        self.is_fitted = False
        self._precision = torch.zeros(())
        self._casts: dict[torch.dtype, tuple[Tensor, ...]] = {}
        self.register_buffer("fitted", torch.tensor(False))
        self.register_buffer("shift", torch.zeros(dim, dtype=torch.float64))
        self.register_load_state_dict_post_hook(_restart)  # type: ignore[no-untyped-call]

    @abstractmethod
    def solve(self, moments: Moments) -> dict[str, Tensor]:
        """Solves the statistics, by the name of their buffer, from moments that `fit` has checked."""

    @abstractmethod
    def unscale(self, y: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """The inverse without its shift, in float64."""

    @abstractmethod
    def forward(self, x: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """Normalises teacher features."""

    @abstractmethod
    def inverse(self, y: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """Maps predictions of normalised features back to the teacher's own space."""

    @abstractmethod
    def affine(self) -> tuple[Float[Tensor, "dim dim"], Float[Tensor, "dim"]]:
        """(W, shift) of y = W (x - shift), in the module's precision."""

    @torch.inference_mode(False)
    @torch.no_grad()
    def fit(self: _N, moments: Moments) -> _N:
        """Solves the map; the same moments always give the same bits.

        Raises:
            ValueError: the moments have another number of channels, too few samples, NaN or inf, or only
                variances where a covariance is needed; or all features are constant.
        """
        check_moments(moments, self.dim, type(self).__name__, self.needs_covariance)
        for name, value in self.solve(moments).items():
            setattr(self, name, value.to(self.fitted.device).clone(memory_format=torch.contiguous_format))
        self.fitted = torch.ones_like(self.fitted)
        _restart(self)
        return self

    def training_loss(
        self, summary: Float[Tensor, "batch _"] | None, spatial: Float[Tensor, "batch *grid _"] | None
    ) -> dict[str, Float[Tensor, ""]]:
        """Rows of the loss by which a learned map trains itself on a teacher's features; others have none."""
        del summary, spatial
        return {}

    def schedule(self, progress: float) -> None:
        """Tells how much of the run is done, from 0 to 1, before each training step; a fixed map does not change."""

    @torch.inference_mode(False)
    @torch.no_grad()
    def fold_into(self, linear: nn.Linear) -> nn.Linear:
        """A new layer whose output is inverse(linear(z)), with a bias whether or not `linear` has one.

        It is trainable if `linear` is, and making it draws no random numbers.

        Args:
            linear: the last layer of a head. Its outputs may be several replicas of the channels, one after
                the other, as in heads that upsample; each replica is mapped by itself.

        Raises:
            ValueError: the number of outputs is not a multiple of `dim`.

        Source:
            PHI-S, A.6: W = Theta W', b = Theta b' + mu.
        """
        self.require_fitted()
        if not isinstance(linear, nn.Linear):
            raise TypeError(f"a normaliser folds into a torch.nn.Linear, got {type(linear).__name__}")
        outputs, inputs = linear.weight.shape
        if outputs % self.dim:
            raise ValueError(f"the layer must have {self.dim} outputs, or several times as many, got {outputs}")
        device = self.shift.device
        weight = linear.weight.to(device, torch.float64).reshape(-1, self.dim, inputs).mT
        bias = weight.new_zeros(outputs) if linear.bias is None else linear.bias.to(weight)
        folded: nn.Linear = nn.utils.skip_init(
            nn.Linear, inputs, outputs, device=linear.weight.device, dtype=linear.weight.dtype
        )
        folded.weight.copy_(self.unscale(weight).mT.reshape(outputs, inputs))
        folded.bias.copy_((self.unscale(bias.reshape(-1, self.dim)) + self.shift).flatten())
        folded.requires_grad_(linear.weight.requires_grad)
        return folded

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the fitted map, its class and its options as safetensors."""
        self.require_fitted()
        write_normalizer(self, path)

    @classmethod
    def load(cls: type[_N], path: str | PathLike[str]) -> _N:
        """Reads what `save` wrote, as the class that wrote it: this one or one derived from it."""
        return read_normalizer(path, cls)

    def require_fitted(self) -> None:
        """Raises `NotFittedError` before `fit`."""
        if not self.is_fitted:
            raise NotFittedError(f"{type(self).__name__} has no statistics yet; call fit(moments) first")

    def extra_repr(self) -> str:
        """Shows the size in `print`."""
        return f"dim={self.dim}"

    @abstractmethod
    def cast(self, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """The tensors that `forward` and `inverse` compute with, at a precision."""

    def prepare(self, features: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Checks an input and gives it at the precision of the computation, with the tensors of `cast`."""
        self.require_fitted()
        require_tensors(features=features)
        if features.shape[-1:] != (self.dim,):
            shape = tuple(features.shape)
            raise ValueError(
                f"expected {self.dim} channels in the last axis, got {shape[-1] if shape else 0} in shape {shape}"
            )
        dtype = torch.promote_types(features.dtype, self.dtype)
        if dtype not in self._casts:
            with torch.inference_mode(False), torch.no_grad():
                self._casts[dtype] = self.cast(dtype)
        return features.to(dtype), self._casts[dtype]

    @property
    def dtype(self) -> torch.dtype:
        """float64 after `.double()`, else float32."""
        return torch.promote_types(self._precision.dtype, torch.float32)

    def _apply(self: _N, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> _N:
        """Moves the module as torch asks, but leaves the statistics in float64."""
        exact = dict(self._buffers)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, value in exact.items():
            moved = getattr(self, name)
            if value is not None and moved.dtype != value.dtype:
                setattr(self, name, value.to(moved.device))
        self._precision = fn(self._precision)
        self._casts.clear()
        return self


def _restart(normalizer: Normalizer, _: object = None) -> None:
    """Forgets what was derived from earlier statistics."""
    normalizer.is_fitted = bool(normalizer.fitted)
    normalizer._casts.clear()
