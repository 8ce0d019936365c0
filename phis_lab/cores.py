"""Threads beside other programs: how long they may spin, and how many there are. Import-light; call before torch."""

import math
import os
from pathlib import Path

SPINS = "1000"
"""Turns for which a thread of OpenMP waits for the others before it sleeps.

By its own count it spins for long enough to keep the cores from the very threads that it waits for, as soon as another
program is on them: the step of a small ViT on two threads then takes several times as long. `benchmarks/contended.py`
measures both.
"""
_CHOSEN = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def share_cores() -> None:
    """Choose how OpenMP waits and how many threads it has, unless the user has chosen; torch reads it when imported."""
    if not any(name in os.environ for name in _CHOSEN):
        os.environ["GOMP_SPINCOUNT"] = SPINS
    quota = cores_of_quota(_QUOTA)
    if "OMP_NUM_THREADS" not in os.environ and quota is not None and quota < cores_of_process():
        os.environ["OMP_NUM_THREADS"] = str(quota)


def cores_of_quota(file: Path) -> int | None:
    """Cores that a container may keep busy, at least one; None where it is not limited."""
    try:
        quota, period = file.read_text().split()
        return max(1, math.floor(int(quota) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):  # no cgroup, or "max"
        return None


def cores_of_process() -> int:
    """Cores that this process may be put on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores() -> int:
    """Cores that this process may keep busy: of those that it may be put on, as many as a container allows."""
    quota = cores_of_quota(_QUOTA)
    return cores_of_process() if quota is None else min(quota, cores_of_process())
