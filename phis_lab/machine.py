"""What this machine has to offer a run: its cores, memory and disks, each with what to do where that is too little."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple

from phis_lab.cores import cores
from phis_lab.folders import missing_folders
from phis_lab.runs.environment import cpu

NEEDED_MEMORY, ENOUGH_MEMORY = 1.5e9, 4e9
NEEDED_DISK, ENOUGH_DISK = 0.2e9, 2e9
NEEDED_SHARED = 0.25e9
_LIMIT, _USED = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
_MEMINFO = Path("/proc/meminfo")
_SHARED = Path("/dev/shm")


class Finding(NamedTuple):
    """One line of an examination.

    Attributes:
        status: `problem` stops the demo; a `note` is worth knowing.
        name: of what was examined.
        found: what there is.
        advice: what to do; empty where nothing is to be done.
    """

    status: Literal["ok", "note", "problem"]
    name: str
    found: str
    advice: str = ""


def ok(name: str, found: str) -> Finding:
    """What is as it should be."""
    return Finding("ok", name, found)


def note(name: str, found: str, advice: str) -> Finding:
    """What the demo can do without."""
    return Finding("note", name, found, advice)


def problem(name: str, found: str, advice: str) -> Finding:
    """What the demo cannot do without."""
    return Finding("problem", name, found, advice)


def machine() -> Iterator[Finding]:
    """The CPU, the cores that are free, and the memory."""
    name, bf16 = cpu()
    yield ok("CPU", f"{name}, {'with' if bf16 else 'without'} bfloat16 in hardware")
    yield _free_cores(cores(), os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0)
    if (free := free_memory()) is not None:
        yield _memory(free)
    if _SHARED.is_dir() and (size := shutil.disk_usage(_SHARED).total) < NEEDED_SHARED:
        advice = "Keep data.workers=0, or give the container more (docker run --shm-size=1g)."
        yield note("shared memory", f"{size / 1e6:,.0f} MB, which workers that load data soon fill", advice)


def _free_cores(count: int, load: float) -> Finding:
    threads = os.environ.get("OMP_NUM_THREADS")
    said = f"{count} for this process, of {os.cpu_count()}" + (f"; OMP_NUM_THREADS={threads}" if threads else "")
    free = max(0.0, (os.cpu_count() or count) - load)
    if free >= count - 0.5:
        return ok("cores", said)
    advice = "Runs are slower beside other programs; see `top` for which these are."
    return note("cores", f"{said}; about {min(free, count):.1f} of them are free", advice)


def _memory(free: float) -> Finding:
    found = f"{free / 1e9:.1f} GB are free"
    if free < NEEDED_MEMORY:
        return problem("memory", found, "The demo needs 1.5 GB; close other programs, or allow the container more.")
    if free < ENOUGH_MEMORY:
        return note("memory", found, "Enough for the demo; many arms at once, or teachers of the hub, need more.")
    return ok("memory", found)


def free_memory() -> int | None:
    """Bytes that a process can still take, of the machine's and of its container's; None where that is not told."""
    try:
        lines = _MEMINFO.read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None
    try:
        return min(free, max(0, int(_LIMIT.read_text()) - int(_USED.read_text())))
    except (OSError, ValueError):  # no container, or one without a limit
        return free


def disk(name: str, folder: Path, otherwise: str) -> Finding:
    """What is free where a folder is or will be, and whether it can be written.

    Args:
        name: of what goes there.
        folder: need not exist.
        otherwise: how to choose another, as the end of a sentence.
    """
    missing = missing_folders(folder)
    there = missing[-1].parent if missing else folder.absolute()
    free = shutil.disk_usage(there).free
    found = f"{free / 1e9:,.1f} GB are free in {folder}"
    try:
        with TemporaryDirectory(dir=there):
            pass
    except OSError as error:
        return problem(name, f"nothing can be written in {there} ({error.strerror})", f"Mend that, or {otherwise}.")
    if free < NEEDED_DISK:
        return problem(name, found, f"Free some space, or {otherwise}.")
    if free < ENOUGH_DISK:
        return note(name, found, f"Enough for the demo; for more, {otherwise}.")
    return ok(name, found)
