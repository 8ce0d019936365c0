"""Streaming mean and covariance of features, exact under splitting, merging and several processes."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from os import PathLike
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from phis_lab.guards import require_tensors, whole
from phis_lab.linalg.cpu import mirrored, one_torch_thread, symmetric_eigh
from phis_lab.linalg.rotations import positive_diagonal
from phis_lab.linalg.sums import Sums, combine, is_bulk, no_rows, over_processes, sums_of
from phis_lab.shapes import Bool, Float, Float64
from phis_lab.whole_files import DamagedFileError, load_sealed, save_sealed

FORMAT = "moments_format"
VERSION = "2"
_TENSORS = {"count", "mean", "scatter"}


class Moments:
    """Count, mean and covariance of rows that arrive in batches, in float64 and in constant memory.

    However the rows are split into updates, merged instances or processes, the moments are those of all
    rows at once (Chan et al. 1979), to the rounding of float64; only an update with 8192 or more float32 rows
    on a CPU multiplies them in float32, right to about 1e-7 of the variances. They live on the device of the
    first rows.

    Args:
        dim: channels of a row.
        diagonal: keep variances only, which scalar and per-channel normalisers need; no dim x dim matrix is
            made.
        provenance: where the rows come from (teacher, weights, layer, resolution, data fingerprint); saved
            with them.

    Example:
        >>> moments = Moments(2).update(torch.tensor([[1.0, 2.0], [3.0, 6.0]]))
        >>> moments.count, moments.mean.tolist()
        (2, [2.0, 4.0])
        >>> moments.covariance.tolist()
        [[2.0, 4.0], [4.0, 8.0]]
    """

    def __init__(self, dim: int, diagonal: bool = False, provenance: Mapping[str, str] | None = None) -> None:
        self.dim = whole("dim", dim)
        if self.dim < 1:
            raise ValueError(f"dim must be a positive number of channels, got {dim}")
        self.diagonal = diagonal
        self.provenance = dict(provenance or {})
        self._sums = no_rows(self.dim, diagonal)
        self._eigen: tuple[Tensor, Tensor] | None = None

    @property
    def count(self) -> int:
        """Rows seen so far."""
        return self._sums.count

    @property
    def device(self) -> torch.device:
        """Where they live."""
        return self._sums.mean.device

    @property
    def mean(self) -> Float64[Tensor, "dim"]:
        """Mean of each channel."""
        self._require(1)
        return self._sums.mean

    @property
    def variance(self) -> Float64[Tensor, "dim"]:
        """Unbiased variance of each channel."""
        self._require(2)
        scatter = self._sums.scatter if self.diagonal else self._sums.scatter.diagonal()
        return scatter.clamp_min(0) / (self.count - 1)

    @property
    def covariance(self) -> Float64[Tensor, "dim dim"]:
        """Unbiased covariance.

        Raises:
            ValueError: only variances were kept, or fewer than two rows were seen.
        """
        if self.diagonal:
            raise ValueError("Moments(diagonal=True) keeps variances only; use Moments(dim) for the covariance")
        self._require(2)
        return mirrored(self._sums.scatter).div_(self.count - 1)

    @torch.inference_mode(False)
    def update(self, x: Float[Tensor, "*rows dim"], mask: Bool[Tensor, "..."] | None = None) -> "Moments":
        """Takes in rows; a refused batch leaves the moments as they were.

        Args:
            x: features with the channels last, on any device. Precisions below float32 are taken as float32.
            mask: which rows count, in the shape of x without its channels; all of them by default.

        Raises:
            TypeError: x is no tensor of real numbers.
            ValueError: another number of channels, a mask of another shape, or rows with NaN or inf.
        """
        require_tensors(x=x)
        if x.shape[-1:] != (self.dim,):
            raise ValueError(
                f"these moments have {self.dim} channels, got {x.shape[-1] if x.ndim else 0} in shape {tuple(x.shape)}"
            )
        if mask is not None and (not isinstance(mask, Tensor) or mask.shape != x.shape[:-1]):
            got = tuple(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
            raise ValueError(f"mask must be a tensor of shape {tuple(x.shape[:-1])}, got {got}")
        rows = x.detach().reshape(-1, self.dim)
        index = None if mask is None else mask.reshape(-1).nonzero().squeeze(1)
        count = len(rows if index is None else index)
        if count:
            with one_torch_thread() if is_bulk(rows, count, self.diagonal) else nullcontext():
                sums = sums_of(rows, index, self.diagonal)
                self._set(combine(sums.to(self.device) if self.count else sums, self._sums))
        return self

    def merge(self, other: "Moments") -> "Moments":
        """Takes in all rows that another instance has seen.

        Raises:
            ValueError: the other has another number of channels or another `diagonal`.
        """
        if not isinstance(other, Moments):
            raise TypeError(f"moments take in other moments, got {type(other).__name__}; rows go into update")
        if (other.dim, other.diagonal) != (self.dim, self.diagonal):
            raise ValueError(
                f"moments of dim={self.dim}, diagonal={self.diagonal} cannot take in "
                f"dim={other.dim}, diagonal={other.diagonal}"
            )
        first, second = (self._sums, other._sums) if self.count else (other._sums, self._sums)
        self._set(combine(replace(first, scatter=first.scatter.clone()), second))
        return self

    def to(self, device: torch.device) -> "Moments":
        """Moves the moments, as loaded ones that go on counting on a GPU have to be."""
        if self.device != device:
            self._set(self._sums.to(device))
        return self

    @torch.inference_mode(False)
    def all_reduce(self, group: dist.ProcessGroup | None = None) -> "Moments":
        """Gives every process of the group the moments of all their rows; call it once, at the end.

        A second call would count the rows of every process as many times as there are processes.
        """
        self._set(over_processes(self._sums, group))
        return self

    def eigh(self) -> tuple[Float64[Tensor, "dim"], Float64[Tensor, "dim dim"]]:
        """Eigenvalues, descending and not below zero, and the basis whose columns belong to them.

        Solved on the CPU in float64 and remembered until the next update. Signs make the basis' diagonal
        positive (PHI-S, caption of figure 4), so the same moments always give the same basis.
        """
        if self._eigen is None:
            values, vectors = symmetric_eigh(self.covariance)
            basis = positive_diagonal(vectors.flip(1).T).T
            self._eigen = values.flip(0).clamp_min(0).to(self.device), basis.to(self.device)
        return self._eigen

    def state_dict(self) -> dict[str, Tensor]:
        """Everything but the provenance, as tensors."""
        scatter = self._sums.scatter if self.diagonal else mirrored(self._sums.scatter)
        return {"count": torch.tensor(self.count), "mean": self._sums.mean, "scatter": scatter}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Replaces the moments by those of a state.

        Raises:
            ValueError: the state belongs to another dim or another `diagonal`, or is not one of moments.
        """
        sums = {"mean": self._sums.mean, "scatter": self._sums.scatter}
        expected = {"count": (), **{name: tuple(value.shape) for name, value in sums.items()}}
        received = {name: tuple(value.shape) for name, value in state.items()}
        if received != expected:
            raise ValueError(f"a state of these moments has the shapes {expected}, got {received}")
        self._set(Sums(int(state["count"]), state["mean"].double(), state["scatter"].double()))

    def save(self, path: str | PathLike[str]) -> None:
        """Writes a safetensors file whose metadata is the provenance, and the version of the format."""
        write_moments(self.state_dict(), self.provenance, path)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "Moments":
        """Reads what `save` wrote, provenance included.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is cut off, of another kind, or of another version of the format.
        """
        state, provenance = read_moments(path)
        try:
            moments = cls(state["mean"].numel(), state["scatter"].ndim == 1, provenance)
            moments.load_state_dict(state)
        except ValueError as error:
            raise ValueError(f"{path} holds no moments: {error}") from error
        return moments

    def _set(self, sums: Sums) -> None:
        self._sums = sums
        self._eigen = None

    def _require(self, rows: int) -> None:
        if self.count < rows:
            raise ValueError(f"too few samples: at least {rows} rows are needed, got {self.count}")


def write_moments(state: Mapping[str, Tensor], provenance: Mapping[str, str], path: str | PathLike[str]) -> None:
    """Writes a state of `Moments`, whole or not at all."""
    save_sealed(Path(path), state, {**provenance, FORMAT: VERSION})


def read_moments(path: str | PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """State and provenance of what `write_moments` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is cut off, damaged or of another kind, or its format is of another version.
    """
    try:
        state, metadata = load_sealed(Path(path))
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"there are no saved moments at {path}; `phis-lab stats` with the same options writes them"
        ) from error
    except DamagedFileError as error:
        raise ValueError(f"{error}; write the moments anew with `phis-lab stats`") from error
    found = metadata.pop(FORMAT, "0")
    if set(state) != _TENSORS:
        raise ValueError(f"{path} holds no moments but the tensors {sorted(state)}; moments are {sorted(_TENSORS)}")
    if found != VERSION:
        raise ValueError(
            f"{path} holds moments in format {found}, this version of phis_lab reads format {VERSION}; write them "
            "anew with `phis-lab stats`"
        )
    return state, metadata
