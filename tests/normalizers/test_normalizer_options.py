"""Each method has an option file that names its class and its options with their defaults."""

import inspect
from functools import partial
from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from phis_lab import normalizers
from phis_lab.normalizers import Compression, Normalizer

FOLDER = Path(__file__).parents[2] / "conf" / "normalizer"
CONCRETE = {
    name: member
    for name, member in vars(normalizers).items()
    if inspect.isclass(member) and issubclass(member, Normalizer) and not inspect.isabstract(member)
}


@pytest.mark.parametrize("name", CONCRETE)
def test_a_method_has_one_option_file_with_its_defaults(name):
    files = [f for f in FOLDER.glob("*.yaml") if OmegaConf.load(f)._target_ == f"phis_lab.normalizers.{name}"]
    assert len(files) == 1
    build = instantiate(OmegaConf.load(files[0]))
    assert isinstance(build, partial)
    defaults = {
        key: parameter.default
        for key, parameter in inspect.signature(CONCRETE[name]).parameters.items()
        if key not in ("dim", "out_dim")
    }
    assert build.keywords == defaults
    into = {"out_dim": 4} if issubclass(CONCRETE[name], Compression) else {}
    assert isinstance(build(dim=8, **into), CONCRETE[name])
