"""Every example is run as its own header says."""

import re
import shlex
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from phis_lab.commands.train import main
from phis_lab.runs import RunRecord, read_records

EXAMPLES = Path(__file__).parents[1] / "examples"
FOLDERS = sorted(folder for folder in EXAMPLES.iterdir() if folder.is_dir() and folder.name.startswith("own_"))
SMALL = [
    "debug=smoke",
    "logger=none",
    "trainer.max_steps=6",
    "online.steps=4",
    "online.warmup_steps=2",
    "online.refresh_every=1",
    "evaluation.every=null",
    "student.image_size=32",
    "augmentation.image_size=32",
]


def command(folder: Path) -> list[str]:
    """The arguments of `run.py` in the one header of a folder's option files that has them."""
    headers = [line for file in folder.glob("*/*.yaml") for line in file.read_text().splitlines() if "Run:" in line]
    [found] = [re.fullmatch(r"# Run:  PYTHONPATH=(\S+) python run\.py (.*)", line) for line in headers]
    assert found is not None
    assert found[1] == f"examples/{folder.name}"
    return shlex.split(found[2])


def run(folder: Path, outputs: Path, monkeypatch: pytest.MonkeyPatch) -> RunRecord:
    monkeypatch.chdir(EXAMPLES.parent)
    monkeypatch.syspath_prepend(str(folder))
    main([*command(folder), *SMALL, f"paths.outputs={outputs}"])
    [record] = read_records(outputs)
    return record


def recorded(record: RunRecord) -> dict[str, object]:
    """What of a record only the example's own part can have given."""
    return {
        "own_normalizer": record.choices["normalizer"] == "median_scale",
        "own_teacher": "gabor" in record.teacher_metrics and "summary" in record.teacher_metrics["gabor"],
        "own_loss": record.choices["loss"] == "charbonnier",
        "own_data": record.data.name == "shapes",
        "own_evaluation": "centroids/accuracy" in record.metrics,
    }


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_an_own_part_trains(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = run(folder, tmp_path, monkeypatch)
    assert record.status == "complete"
    assert recorded(record)[folder.name]


def test_the_own_loop_matches_its_teacher_and_needs_nothing_of_the_bench() -> None:
    code = (
        "import sys; sys.path.insert(0, 'examples'); import own_loop; fidelity = own_loop.main();"
        "assert fidelity > 3, fidelity;"
        "bench = {'hydra', 'lightning', 'timm', 'torchvision'} & set(sys.modules); assert not bench, bench"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=EXAMPLES.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "fidelity in the teacher's own space" in done.stdout


def example(name: str) -> ModuleType:
    spec = spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_saved_normaliser_is_enough_for_a_loop_of_torch_alone() -> None:
    assert example("normaliser_alone").main() < 0.5


def test_timms_feature_distillation_matches_normalised_features() -> None:
    first, last = example("timm_distillation").main()
    assert 1 < first < 4  # the teacher's features have variance 1
    assert last < first / 5


@pytest.mark.parametrize("file", sorted(EXAMPLES.rglob("*.py")), ids=lambda file: file.stem)
def test_an_example_is_short(file: Path) -> None:
    assert len(file.read_text().splitlines()) < 60
