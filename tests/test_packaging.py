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
    assert wanted | {"hydra_plugins/phis_lab_launcher/__init__.py", "phis_lab/py.typed"} <= names
    assert not [name for name in names if name.startswith(("conf/", "tests/", "build/"))]


@pytest.mark.slow
def test_an_installed_package_trains_elsewhere(wheel: Path, tmp_path: Path) -> None:
    site, away = tmp_path / "site", tmp_path / "away"
    away.mkdir()
    with zipfile.ZipFile(wheel) as contents:
        contents.extractall(site)

    def phis_lab(*arguments: str) -> str:
        return run(sys.executable, "-m", "phis_lab", *arguments, at=away, PYTHONPATH=str(site))

    phis_lab("train", "normalizer=phis", "debug=smoke")
    assert len(list(away.glob("outputs/runs/phis-*/seed0/result.json"))) == 1
    assert "statistics.md" in phis_lab("stats", "teachers=tiny_set", "data=digits", "--images", "40", "--out", "st")
    assert "report.md" in phis_lab("report", "outputs", "--format", "md")
