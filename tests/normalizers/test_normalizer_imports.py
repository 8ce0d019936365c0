"""The normalisers stand alone: torch is the only package they import."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SCRIPT = """
import sys
from importlib.abc import MetaPathFinder

class TorchOnly(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        root = name.partition(".")[0]
        if root not in {"torch", "torchgen", "phis_lab"} | OWN_TO_TORCH and root not in sys.stdlib_module_names:
            raise ModuleNotFoundError(f"{root} is not installed here", name=root)

{before}
import torch
OWN_TO_TORCH = {name.partition(".")[0] for name in sys.modules}
sys.meta_path.insert(0, TorchOnly())

from phis_lab.normalizers import PhiS
from phis_lab.linalg import Moments

rows = torch.randn(200, 12) + 3
phis = PhiS(12).fit(Moments(12).update(rows))
assert torch.allclose(phis(rows).var(0), torch.ones(12), atol=1e-4)
assert torch.allclose(phis.inverse(phis(rows)), rows, atol=1e-5)
for name in ("jaxtyping", "safetensors", "lightning", "hydra", "timm", "torchvision", "scipy", "sklearn"):
    assert name not in sys.modules, name
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    raise AssertionError(f"{name} was not blocked")
"""


@pytest.mark.parametrize("numpy", ["with", "without"])
def test_phis_fits_and_applies_with_torch_alone(numpy):
    before = "" if numpy == "with" else "sys.modules['numpy'] = None"
    script = SCRIPT.replace("{before}", before)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
