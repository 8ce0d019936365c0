"""Reads files of weights without running any code of theirs, and says what a file is that holds none."""

import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

_ZIP = b"PK\x03\x04"
_AGAIN = "download it again"
_OTHERS = {
    b"version https://git-lfs": (
        "is a pointer of git LFS and not the file itself",
        "run `git lfs pull` in its repository, or download the file",
    ),
    b"<": ("is a web page or another text, and no weights", "download the file itself"),
    b"\x1f\x8b": ("is a compressed archive", "unpack it and name the file inside"),
    b"\x89HDF": ("is a file of HDF5, as Keras writes it", "convert its weights to safetensors"),
}


def read_checkpoint(file: Path) -> dict[str, Any]:
    """Returns what a file of PyTorch or safetensors holds: tensors by name, or dictionaries of them.

    The format is known by the file's content, whatever its suffix; tensors of PyTorch's present format stay on the
    disk until they are used.

    Raises:
        ValueError: the file cannot be read, with what it is and what to do.
    """
    refuse_foreign(file)
    try:
        if _is_safetensors(file):
            return dict(load_file(file))
        content = _load(file)
    except Exception as error:  # a damaged file fails in as many ways as there are bytes
        what, advice = _explain(file, error)
        raise ValueError(f"{file} {what}; {advice}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file} holds a {type(content).__name__} and not tensors by name; save a state_dict()")
    return content


def _load(file: Path) -> Any:
    if zipfile.is_zipfile(file) and file.suffix != ".safetensors":
        return torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    with file.open("rb") as stream:  # by its name alone, PyTorch would take a file for one of safetensors
        return torch.load(stream, map_location="cpu", weights_only=True)


def refuse_foreign(file: Path) -> None:
    """Raises ValueError if the first bytes of a file show that it holds no weights: pointers, web pages, archives."""
    try:
        with file.open("rb") as stream:
            start = stream.read(512)
    except OSError as error:
        raise ValueError(f"{file} cannot be opened: {error.strerror}") from error
    if not start:
        raise ValueError(f"{file} is empty; {_AGAIN}")
    for mark, (what, advice) in _OTHERS.items():
        if start.lstrip().startswith(mark):
            raise ValueError(f"{file} {what}; {advice}")


def _is_safetensors(file: Path) -> bool:
    with file.open("rb") as stream:
        start = stream.read(9)
    return len(start) == 9 and start[8:] == b"{" and not start.startswith((_ZIP, b"\x80"))


def _explain(file: Path, error: Exception) -> tuple[str, str]:
    """What is wrong with a file that could not be read, and a safe way out."""
    with file.open("rb") as stream:
        is_zip = stream.read(4) == _ZIP
    if _is_safetensors(file) or (is_zip and not zipfile.is_zipfile(file)) or isinstance(error, EOFError):
        return "is cut off or damaged", _AGAIN
    if is_zip:
        members = zipfile.ZipFile(file).namelist()
        if any(name.endswith("constants.pkl") for name in members):
            return (
                "is a TorchScript archive",
                "save its parameters by themselves: torch.save(torch.jit.load(FILE).state_dict(), 'weights.pth')",
            )
        if any(name.endswith(".npy") for name in members):
            return "is an archive of NumPy, as JAX writes it", "convert its weights to safetensors"
    if objects := _python_objects(file):
        return (
            f"holds Python objects besides tensors ({', '.join(objects[:3])}), and reading these could run code",
            "save its state_dict alone, best as safetensors, where you trust it",
        )
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return f"is no file of PyTorch or safetensors, or it is damaged ({reason.split('. ')[0]})", _AGAIN


def _python_objects(file: Path) -> list[str]:
    """Names of the classes and functions that reading the file would call; none of them is called."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(str(file)))
    except Exception:  # only files of PyTorch's present format are understood
        return []
