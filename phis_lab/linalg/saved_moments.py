"""Moments in safetensors files: sums as tensors, provenance and the version of the format as metadata."""

from collections.abc import Mapping
from os import PathLike

from torch import Tensor

FORMAT = "moments_format"
VERSION = "1"
_TENSORS = {"count", "mean", "scatter"}


def write_moments(state: Mapping[str, Tensor], provenance: Mapping[str, str], path: str | PathLike[str]) -> None:
    """Writes a state of `Moments`."""
    from safetensors.torch import save_file  # noqa: PLC0415  torch alone must do for all the rest

    save_file(dict(state), path, metadata={**provenance, FORMAT: VERSION})


def read_moments(path: str | PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """State and provenance of what `write_moments` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is cut off or of another kind, or its format is of another version.
    """
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415

    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = dict(file.metadata() or {})
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"there are no saved moments at {path}; `phis-lab stats` with the same options writes them"
        ) from error
    except SafetensorError as error:
        raise ValueError(
            f"{path} is cut off, or no file of saved moments ({error}); write it anew with `phis-lab stats`"
        ) from error
    found = metadata.pop(FORMAT, "0")
    if set(state) != _TENSORS:
        raise ValueError(f"{path} holds no moments but the tensors {sorted(state)}; moments are {sorted(_TENSORS)}")
    if found != VERSION:
        raise ValueError(
            f"{path} holds moments in format {found}, this version of phis_lab reads format {VERSION}; write them "
            "anew with `phis-lab stats`"
        )
    return state, metadata
