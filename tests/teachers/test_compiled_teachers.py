"""Teachers through torch.compile give the same features to rounding, and are known by it.

In a process of its own: the shape checks of the test run cannot be traced.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
SCRIPT = """
import json
import torch
from phis_lab.teachers import TeacherPool
from phis_lab.teachers.timm import TimmTeacher

small = {"embed_dim": 32, "depth": 2, "num_heads": 2}
options = dict(model="vit_small_patch14_reg4_dinov2.lvd142m", image_size=56, weights=None, summary="class_token")
teacher = TimmTeacher("dino", architecture=small, **options)
images = torch.rand(20, 3, 48, 48, generator=torch.Generator().manual_seed(0))
eager, compiled = (TeacherPool({"dino": teacher}, compiled=how) for how in (False, True))
features = [pool(images)["dino"] for pool in (eager, compiled)]
print(json.dumps({
    "off": max(float((a - b).abs().max()) for a, b in zip(*features)),
    "scale": float(features[0].spatial.abs().max()),
    "graphs": torch._dynamo.utils.counters["stats"]["unique_graphs"],
    "breaks": sum(torch._dynamo.utils.counters["graph_break"].values()),
    "known": [pool.describe()["dino"].get("compiled") for pool in (eager, compiled, compiled.alone("dino"))],
}))
"""


@pytest.mark.slow
def test_a_compiled_teacher_gives_the_features_of_an_eager_one_in_one_graph() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT],
        cwd=TESTS,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )

    found = json.loads(done.stdout.splitlines()[-1])
    assert 0 < found["off"] < 1e-4 * found["scale"]
    assert (found["graphs"], found["breaks"]) == (1, 0)
    assert found["known"] == [None, "yes", "yes"]
