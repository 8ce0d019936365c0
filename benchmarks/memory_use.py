"""Peak memory of one call, from the kernel's own high-water mark."""

import ctypes
import gc
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_PROCESS = Path("/proc/self")
_RESET_HIGH_WATER_MARK = "5"
_WATCHER = """import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


class PeakMemory:
    """Most resident memory that any watched block took above what was resident when it began.

    Attributes:
        megabytes: the peak in MB (10^6 bytes); None where the system does not tell (anything but Linux).
    """

    def __init__(self) -> None:
        self.megabytes: float | None = None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Measure a block; a greater peak replaces the one before."""
        before = _reset()
        yield
        if before is not None:
            grown = max(0.0, (_resident("VmHWM") - before) / 1e6)
            self.megabytes = grown if self.megabytes is None else max(self.megabytes, grown)


def _reset() -> float | None:
    """Bytes resident now, once the high-water mark was brought down to them."""
    try:
        (_PROCESS / "clear_refs").write_text(_RESET_HIGH_WATER_MARK)
        return _resident("VmRSS")
    except OSError:
        return None


def _resident(key: str) -> float:
    for line in (_PROCESS / "status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return 1024.0 * int(line.split()[1])
    raise OSError(f"/proc/self/status has no {key}")


def peak_of_process(command: Sequence[str], folder: str) -> float | None:
    """Most memory that a command ever had, in MB.

    A small process starts it: a child counts what its parent had when it began.
    """
    if sys.platform != "linux":
        return None
    watcher = [sys.executable, "-S", "-c", _WATCHER, *command]
    said = subprocess.run(watcher, cwd=folder, check=True, capture_output=True, text=True).stdout
    return 1024 * int(said) / 1e6


def release_freed_memory() -> None:
    """Give freed memory back to the system, so that the next block has to ask for its own; glibc only."""
    gc.collect()
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "malloc_trim"):
        library.malloc_trim(0)
