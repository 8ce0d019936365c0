"""What all maps of teacher features share: fitting, precision and state."""

import inspect
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

import torch
from torch import Tensor, nn

from phis_lab.features import Features
from phis_lab.guards import require_tensors, whole
from phis_lab.linalg import Moments, precise_linear, split_linear
from phis_lab.normalizers.spread import check_moments
from phis_lab.precision import Products
from phis_lab.shapes import Float
from phis_lab.whole_files import load_sealed, save_sealed

_M = TypeVar("_M", bound="FeatureMap")


def write_normalizer(normalizer: nn.Module, path: str | PathLike[str]) -> None:
    """Writes the state, the class' name and each constructor argument, kept as attributes of the same names."""
    method = type(normalizer)
    options = {name: getattr(normalizer, name) for name in inspect.signature(method).parameters}
    metadata = {"normalizer": method.__name__, "options": json.dumps(options)}
    save_sealed(Path(path), normalizer.state_dict(), metadata)


def read_normalizer(path: str | PathLike[str], family: type[_M]) -> _M:
    """Builds the class that a file names, out of a family of classes, and restores its state.

    Raises:
        ValueError: the file is damaged, holds no normaliser, or one of another class.
    """
    state, metadata = load_sealed(Path(path))
    methods = {method.__name__: method for method in _derived(family) if not inspect.isabstract(method)}
    name = metadata.get("normalizer")
    if name not in methods:
        raise ValueError(f"{path} must hold one of {sorted(methods)}, got {name}")
    try:
        normalizer = methods[name](**json.loads(metadata["options"]))
        normalizer.load_state_dict(state)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:  # RecursionError too
        raise ValueError(f"{path} holds no {name} of this version of phis_lab: {error}") from error
    return normalizer


def _derived(family: type[_M]) -> list[type[_M]]:
    """A class and all that derive from it."""
    return [family, *(method for child in family.__subclasses__() for method in _derived(child))]


class NotFittedError(ValueError, RuntimeError):
    """A map was used before `fit`."""


class FeatureMap(nn.Module, ABC):
    """A map of a teacher's features to what the student is asked to match.

    `Normalizer` is the kind that is invertible and affine, and solved from moments; `Compression` maps into the
    student's width. A map may also train itself (`training_loss`) or run along with the batches (`schedule`).

    Statistics are float64 buffers whatever the module's dtype. float16, bfloat16 and float32 inputs are
    computed in float32 and come out as float32; float64 inputs, or any input after `.double()`, are
    computed in float64.

    Args:
        dim: channels of the teacher, the last axis of every input.
        out_dim: channels of the output; as many unless said otherwise.
    """

    needs_covariance: ClassVar[bool] = True
    """Whether `fit` needs full moments; if not, `Moments(dim, diagonal=True)` will do, and no more is gathered."""

    summary_map: ClassVar[Literal["none", "own", "same"]] = "none"
    """What maps a teacher's summary: nothing, as in PHI-S, an instance of its own, or the map of the patches."""

    products: Products = "float32"
    """How `forward` multiplies float32 features by a matrix, where it does; `inverse` is always exact."""

    fitted: Tensor
    shift: Tensor

    def __init__(self, dim: int, out_dim: int | None = None) -> None:
        super().__init__()
        if whole("dim", dim) < 1:
            raise ValueError(f"dim must be a positive number of channels, got {dim}")
        self.dim, self.out_dim = dim, dim if out_dim is None else out_dim
        self.is_fitted = False
        self._precision = torch.zeros(())
        self._casts: dict[torch.dtype, tuple[Tensor, ...]] = {}
        self._content: str | None = None
        self.register_buffer("fitted", torch.tensor(False))
        self.register_buffer("shift", torch.zeros(dim, dtype=torch.float64))
        self.register_load_state_dict_post_hook(_restart)  # type: ignore[no-untyped-call]

    @abstractmethod
    def solve(self, moments: Moments) -> dict[str, Tensor]:
        """Solves the statistics, by the name of their buffer, from moments that `fit` has checked."""

    @abstractmethod
    def forward(self, x: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows out_dim"]:
        """Maps teacher features."""

    @torch.inference_mode(False)
    @torch.no_grad()
    def fit(self: _M, moments: Moments) -> _M:
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

    def product(
        self, x: Float[Tensor, "*rows dim"], weight: Float[Tensor, "out_dim dim"], bias: Tensor, shift: Tensor
    ) -> Float[Tensor, "*rows out_dim"]:
        """W (x - shift) + b, computed as `products` says."""
        return (split_linear if self.products == "bfloat16x3" else precise_linear)(x, weight, bias, shift)

    def training_loss(self, features: Features) -> dict[str, Float[Tensor, ""]]:
        """Rows of the loss by which a learned map trains itself on a teacher's features; others have none."""
        del features
        return {}

    def schedule(self, progress: float) -> None:
        """Tells how much of a stage is done, from 0 to 1, before each training step; a fixed map does not change."""

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the fitted map, its class and its options as safetensors."""
        self.require_fitted()
        write_normalizer(self, path)

    @classmethod
    def load(cls: type[_M], path: str | PathLike[str]) -> _M:
        """Reads what `save` wrote, as the class that wrote it: this one or one derived from it."""
        return read_normalizer(path, cls)

    def require_fitted(self) -> None:
        """Raises `NotFittedError` before `fit`."""
        if not self.is_fitted:
            raise NotFittedError(f"{type(self).__name__} has no statistics yet; call fit(moments) first")

    def extra_repr(self) -> str:
        """Shows the size in `print`."""
        return f"dim={self.dim}"

    def cast(self, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """The tensors that the map computes with, at a precision; those that are derived from its statistics."""
        del dtype
        return ()

    def content(self) -> str | None:
        """Equal for maps that give the same bits for the same features; None where that is not known beforehand."""
        return None

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

    def _apply(self: _M, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> _M:
        """Moves the module as torch asks, but leaves the statistics in float64."""
        exact = dict(self._buffers)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, value in exact.items():
            moved = getattr(self, name)
            if value is not None and moved.dtype != value.dtype:
                setattr(self, name, value.to(moved.device))
        self._precision = fn(self._precision)
        _forget(self)
        return self


def _restart(feature_map: FeatureMap, _: object = None) -> None:
    """Forgets what was derived from earlier statistics."""
    feature_map.is_fitted = bool(feature_map.fitted)
    _forget(feature_map)


def _forget(feature_map: FeatureMap) -> None:
    feature_map._casts.clear()
    feature_map._content = None
