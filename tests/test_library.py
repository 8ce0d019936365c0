"""What `pip install phis-lab` alone gives: the library, with its own dependencies and nothing of the bench."""

import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from textwrap import dedent

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
BENCH = ("hydra", "omegaconf", "lightning", "timm", "torchvision", "pydantic", "pandas", "typer", "scipy")
ABSENT = f"import importlib.util as u; assert not [name for name in {BENCH} if u.find_spec(name)]\n"


def brought_by(requirements: list[str]) -> set[str]:
    """Names of what a list of requirements installs, that of their own included."""
    found: set[str] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        wanted = waiting.pop()
        if wanted.name in found or (wanted.marker is not None and not wanted.marker.evaluate({"extra": ""})):
            continue
        try:
            waiting += [Requirement(text) for text in distribution(wanted.name).requires or ()]
        except PackageNotFoundError:  # such as a CUDA library beside a CPU build of torch
            continue
        found.add(wanted.name)
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of links to this package and to what its dependencies bring."""
    folder = tmp_path_factory.mktemp("site")
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    for name in brought_by(declared):
        files = distribution(name).files or ()
        for top in {file.parts[0] for file in files if file.parts[0] not in ("..", "__pycache__")}:
            link = folder / top
            if not link.exists():
                link.symlink_to(Path(str(distribution(name).locate_file(top))))
    (folder / "phis_lab").symlink_to(ROOT / "phis_lab")
    return folder


def python(alone: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code in an interpreter that sees the standard library and that folder."""
    start = f"import sys; sys.path.append({str(alone)!r})\n{ABSENT}"
    command = [sys.executable, "-I", "-S", "-c", start + dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_library_works_with_its_own_dependencies(alone: Path) -> None:
    done = python(
        alone,
        """
        import torch
        from phis_lab import (
            Features, Moments, PhiS, Teacher, TeacherPool, effective_rank, hadamard_matrix, knn_predict, linear_cka,
            linear_probe, nearest_neighbours, teacher_matching,
        )
        from phis_lab import losses, metrics, normalizers
        from phis_lab.evals import KNN, LinearProbe

        x = torch.randn(64, 8)
        moments = Moments(8)
        moments.update(x)
        method = PhiS(8).fit(moments)
        assert torch.allclose(method.inverse(method(x)), x, atol=1e-4)
        labels = torch.arange(64) % 2
        assert knn_predict(x, labels, x, k=1).eq(labels).all()
        assert 0 <= linear_probe(x, labels, x, labels).accuracy <= 1
        assert losses.mse(x, x).shape == (64,)
        assert effective_rank(x) > 1 and hadamard_matrix(12).shape == (12, 12)
        """,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", [[], ["train"], ["report", "outputs"]])
def test_a_command_without_the_bench_says_what_to_install(alone: Path, arguments: list[str]) -> None:
    done = python(alone, f"sys.argv[1:] = {arguments}\nfrom phis_lab.__main__ import main\nmain()")
    assert done.returncode == 1
    assert "missing: pip install 'phis-lab[lab]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["load_student", "report", "read_records"])
def test_a_name_of_the_bench_says_what_to_install(alone: Path, name: str) -> None:
    done = python(alone, f"from phis_lab import {name}")
    assert f"phis_lab.{name} needs the bench, of which " in done.stderr
    assert "missing: pip install 'phis-lab[lab]'" in done.stderr
