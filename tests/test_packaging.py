"""What a wheel holds, and that it trains in a folder of its own."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run(*command: str, at: Path, **variables: str) -> str:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "120"} | variables
    done = subprocess.run(command, cwd=at, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built from the source distribution as an index has it, without network."""
    folder = tmp_path_factory.mktemp("built")
    script = (
        "import os, sys, tarfile; from setuptools import build_meta as builder; to = sys.argv[1]\n"
        "name = builder.build_sdist(to)\n"
        "tarfile.open(os.path.join(to, name)).extractall(to, filter='data')\n"
        "os.chdir(os.path.join(to, name.removesuffix('.tar.gz')))\n"
        "builder.build_wheel(to)\n"
    )
    source = folder / "source"
    source.mkdir()
    for name in ("conf", "phis_lab", "hydra_plugins"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "run.py"):
        shutil.copy(ROOT / name, source)
    run(sys.executable, "-W", "ignore", "-c", script, str(folder), at=source)
    return next(folder.glob("*.whl"))


def test_a_wheel_holds_the_configuration_and_the_launcher(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {f"phis_lab/{file.relative_to(ROOT)}" for file in (ROOT / "conf").rglob("*.yaml")}
    wanted |= {f"phis_lab/reports/page/page.{kind}" for kind in ("css", "html.j2", "js")}
    assert wanted | {"hydra_plugins/phis_lab_launcher/__init__.py", "phis_lab/py.typed"} <= names
    assert not [name for name in names if name.startswith(("conf/", "tests/", "build/"))]


COMMANDS = """
import glob, sys

from phis_lab.__main__ import main

short = "debug=smoke trainer.max_steps=8 online.steps=4 online.warmup_steps=2 evaluation.every=null".split()
stored = "data.train_images=100 augmentation.views=1 teachers.store=store logger=none".split()
arguments = {
    "train": [*short, "normalizer=phis"],
    "stats": ["debug=smoke", "--images", "40", "--out", "st"],
    "cache": [*short, *stored],
    "evaluate": ["outputs/runs/*/seed0", "evaluation=paper_knn"],
    "export": ["outputs/runs/*/seed0", "--out", "student"],
    "report": ["outputs", "--format", "md", "--html"],
}
for command in arguments:
    given = [(glob.glob(word) or [word])[0] if "*" in word else word for word in arguments[command]]
    sys.argv = ["phis-lab", command, *given]
    try:
        main()
    except SystemExit as left:
        if left.code:
            raise
from phis_lab import load_student
assert load_student("student").backbone.width
import phis_lab
print("from", phis_lab.__file__)
"""


def test_an_installed_package_does_everything_elsewhere(wheel: Path, tmp_path: Path) -> None:
    site, away = tmp_path / "site", tmp_path / "away"
    away.mkdir()
    with zipfile.ZipFile(wheel) as contents:
        contents.extractall(site)
    told = run(sys.executable, "-c", COMMANDS, at=away, PYTHONPATH=str(site))
    assert f"from {site}" in told
    assert len(list(away.glob("outputs/runs/phis-*/seed0/result.json"))) == 1
    written = ["st/statistics.md", "outputs/report.md", "outputs/report.html"]
    written += ["student/student.safetensors", "student/student.json"]
    assert all((away / name).is_file() for name in written), told
    assert any((away / "store").iterdir())
