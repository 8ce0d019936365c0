"""Steps of a student while other programs keep the cores busy: as our commands wait for threads, and as OpenMP does."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.harness import Comparison, Seconds, in_turns
from phis_lab.cores import share_cores

PAIRS = 5
STEPS = """
import time
import phis_lab._torchvision, timm, torch
torch.set_num_threads({threads})
torch.manual_seed(0)
model = timm.create_model("vit_tiny_patch16_224", img_size=64, depth=6)
images = torch.randn(32, 3, 64, 64)
optimizer = torch.optim.AdamW(model.parameters())
def step():
    optimizer.zero_grad()
    model(images).square().mean().backward()
    optimizer.step()
for _ in range(2):
    step()
start = time.perf_counter()
for _ in range({steps}):
    step()
print(time.perf_counter() - start)
"""


def run() -> Iterator[Comparison]:
    """On a quiet machine, and with a busy process per core; one thread per core."""
    threads = max(2, os.cpu_count() or 1)
    for busy, where, target in ((0, "quiet", "at most 1.1"), (threads, f"{threads} busy processes", "below 1")):
        with busy_processes(busy):
            yield in_turns(
                Comparison(
                    "contended",
                    f"steps of a small ViT, {threads} threads, {where}, as `run.py` waits",
                    "as OpenMP waits",
                    target,
                    "the same steps",
                ),
                lambda: steps(threads, chosen=True),
                lambda: steps(threads, chosen=False),
                pairs=PAIRS,
            )


def steps(threads: int, chosen: bool, count: int = 20) -> Seconds:
    """Time of steps in a process of its own, its start left out."""
    before = dict(os.environ)
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        os.environ.pop(name, None)
    try:
        if chosen:
            share_cores()
        command = [sys.executable, "-c", STEPS.format(threads=threads, steps=count)]
        return Seconds(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Programs that compute without a pause."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: sum(range(1000))"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()
