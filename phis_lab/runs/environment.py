"""Where a run's numbers come from: versions, device, commit."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

_PACKAGES = ("torch", "lightning", "timm", "numpy", "phis_lab")


class Environment(NamedTuple):
    """The two dictionaries of a `RunRecord` that describe the machine."""

    versions: dict[str, str]
    device: dict[str, str | int | bool]


def environment() -> Environment:
    """Versions of what computes, and the device: numbers agree to the last bit only where both agree."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return Environment(versions, _device())


def _device() -> dict[str, str | int | bool]:
    import torch  # noqa: PLC0415  reading records must not cost the import of torch

    name, cpu_bf16 = cpu()
    device: dict[str, str | int | bool] = {"cpu": name, "threads": torch.get_num_threads()}
    if not torch.cuda.is_available():
        return device | {"bf16": cpu_bf16}
    return device | {
        "gpu": torch.cuda.get_device_name(),
        "gpus": torch.cuda.device_count(),
        "bf16": torch.cuda.is_bf16_supported(),
    }


def cpu() -> tuple[str, bool]:
    """The model's name, and whether it multiplies bfloat16 in hardware (told by Linux only)."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = fields.get("flags", fields.get("Features", "")).split()
    name = fields.get("model name") or platform.processor() or platform.machine()
    return name, bool({"avx512_bf16", "amx_bf16", "bf16"} & set(flags))


def git_commit(folder: str | Path = Path(__file__).parent) -> str:
    """The commit that a folder's files stand at, `+dirty` when anything differs, `unknown` outside git.

    A new file that git does not ignore counts as a difference: the commit alone would not reproduce the run.
    """
    try:
        if not _git(folder, "ls-files", "."):
            return "unknown"
        return _git(folder, "rev-parse", "HEAD") + ("+dirty" if _git(folder, "status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(folder: str | Path, *arguments: str) -> str:
    command = ["git", "-C", os.fspath(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
