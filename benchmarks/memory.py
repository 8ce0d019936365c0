"""Peak memory against rows of the statistics and against arms of a sweep, each point in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.harness import Measurement, measured
from benchmarks.memory_use import PeakMemory
from phis_lab.linalg import Moments

ROOT = Path(__file__).resolve().parents[1]
DIM, BLOCK, BLOCKS, REPEATS = 768, 4096, (4, 16, 64), 3
ARMS, STEPS = (1, 4, 12), 3


def run() -> Iterator[Measurement]:
    """Rows cost nothing; an arm costs its parameters, gradients and optimiser state, and no activations."""
    yield _rows()
    yield _arms()


def _rows() -> Measurement:
    points = [(blocks * BLOCK, _probe("rows", blocks)["mb"]) for blocks in BLOCKS for _ in range(REPEATS)]
    peaks = {rows: [mb for r, mb in points if r == rows] for rows, _ in points}
    least, most = min(peaks), max(peaks)
    return measured(
        "memory",
        f"peak of `Moments` over {most:,} rows of {DIM} channels, relative to {least:,} rows",
        [b / a for a, b in zip(peaks[least], peaks[most], strict=True)],
        "1: constant",
        f"in blocks of {BLOCK:,}, each size in processes of its own; all rows would be {most * DIM * 4e-6:,.0f} MB",
        points,
    )


def _arms() -> Measurement:
    probes = {count: _probe("arms", count) for count in ARMS}
    peaks = [probes[count]["mb"] for count in ARMS]
    own = probes[max(ARMS)]["own_mb"]
    between = [(b - a) / (k - j) for j, k, a, b in zip(ARMS, ARMS[1:], peaks, peaks[1:], strict=False)]
    slope = float(np.polyfit(ARMS, peaks, 1)[0])
    return Measurement(
        "memory",
        f"one more arm, relative to its parameters, gradients and optimiser state ({own:.0f} MB)",
        slope / own,
        min(between) / own,
        max(between) / own,
        "at most 1: activations and gradients of one arm at a time",
        f"line through the peaks of {', '.join(map(str, ARMS))} arms of the pocket recipe; range between neighbours",
        [(float(count), peak) for count, peak in zip(ARMS, peaks, strict=True)],
    )


def _probe(kind: str, size: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.memory", kind, str(size)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)} failed:\n{done.stderr}"
    facts: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return facts


def _probe_rows(blocks: int) -> dict[str, float | None]:
    """MB above what is there with one block of rows in hand."""
    block = torch.randn(BLOCK, DIM)
    peak = PeakMemory()
    with peak.watched():
        moments = Moments(DIM)
        for _ in range(blocks):
            moments.update(block)
    assert moments.count == blocks * BLOCK
    return {"mb": peak.megabytes}


def _probe_arms(count: int) -> dict[str, float | None]:
    """MB above what was there before anything was built, and what an arm owns: four times its parameters, buffers."""
    import phis_lab._torchvision  # noqa: F401, PLC0415  before lightning
    from benchmarks.pocket import fit, pocket_group  # noqa: PLC0415  the other probe needs none of it

    peak = PeakMemory()
    with peak.watched():
        group = pocket_group([[f"seed={seed}", "data.seed=0"] for seed in range(count)], STEPS)
        fit(group.runs, group.data.train_dataloader, group.stages[0].main.train, group.estimation, STEPS)
    arm = group.runs[0].arm
    parameters = sum(p.numel() * p.element_size() for p in arm.student.parameters())
    buffers = sum(b.numel() * b.element_size() for b in arm.buffers())
    return {"mb": peak.megabytes, "own_mb": (4 * parameters + buffers) / 1e6}


if __name__ == "__main__":
    probe = {"rows": _probe_rows, "arms": _probe_arms}[sys.argv[1]]
    print(json.dumps(probe(int(sys.argv[2]))))
