"""torch.compile changes rounding and nothing else.

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
from small_arms import make_arm, patch_pool
from phis_lab.engine import Arm, View
from phis_lab.linalg import Moments
from phis_lab.features import Features

pool = patch_pool()
images = torch.rand(32, 3, 16, 16, generator=torch.Generator().manual_seed(0))
features = {name: Features(f.summary, f.spatial[:, ::2, ::2]) for name, f in pool(images).items()}

half = {name: Features(f.summary[:16], f.spatial[:16]) for name, f in features.items()}

def fitted(**options) -> Arm:
    arm = make_arm(pool, **options)
    for name, feature in features.items():
        arm.space(name).fit(Moments(feature.spatial.shape[-1]).update(feature.spatial))
    return arm

def losses(arm: Arm, beside: Arm | None = None) -> list[float]:
    found = []
    for step in range(3):
        if beside is not None:
            beside.step({"all": View(images[:16], half)}, step, 3)
        found.append(float(arm.step({"all": View(images, features)}, step, 3).loss))
    return found

eager, compiled = fitted(), fitted(compiled=True)
print(json.dumps({
    "keys": list(eager.state_dict()) == list(compiled.state_dict()),
    "eager": losses(eager),
    "alone": losses(compiled),
    "beside": losses(fitted(compiled=True), fitted(compiled=True, seed=1)),
}))
"""


@pytest.mark.slow
def test_a_compiled_student_takes_the_steps_of_an_eager_one_and_is_alone_in_its_bits() -> None:
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
    assert found["keys"]
    assert found["alone"] == pytest.approx(found["eager"], rel=1e-4)
    assert found["alone"] == found["beside"]
