"""Runs benchmarks one after the other; one that fails does not cost the others their rows."""

import sys
import time
import traceback
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import phis_lab._torchvision  # noqa: F401  before any peer imports torchvision
from benchmarks.harness import MissingPeerError
from benchmarks.machine import rates
from benchmarks.report import FOLDER, as_data, save, versions
from phis_lab.runs import environment, git_commit


def run_all(names: Sequence[str], folder: Path = FOLDER, package: str = "benchmarks") -> dict[str, str]:
    """Run the named benchmarks and save each as soon as it ends.

    Args:
        names: modules with a `run()` that yields rows.
        folder: where `results.json` and RESULTS.md are kept.
        package: where the modules lie.

    Returns:
        The reason of each that failed.
    """
    warnings.filterwarnings("ignore")
    print(f"Measuring the machine ...\n{rates()}", flush=True)
    facts = environment()
    where = {
        "commit": git_commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "versions": facts.versions | versions(),
        "device": facts.device,
        "machine": rates()._asdict(),
    }
    failures = {}
    for number, name in enumerate(names, start=1):
        print(f"\n[{number}/{len(names)}] {name} ...", flush=True)
        result = _run(f"{package}.{name}")
        print(f"{name}: {result['wall_seconds']:.0f} s", flush=True)
        save(name, result | where, folder)
        if result["error"]:
            failures[name] = result["error"]
    return failures


def _run(module: str) -> dict[str, Any]:
    """The rows of one benchmark, printed as they come, and the reason where it ended early."""
    rows: list[dict[str, object]] = []
    error = None
    started = time.perf_counter()
    try:
        for row in import_module(module).run():
            print(row.row(), flush=True)
            rows.append(as_data(row))
    except MissingPeerError as missing:
        error = str(missing)
    except Exception as reason:
        traceback.print_exc()
        error = f"{type(reason).__name__}: {reason}"
    if error is not None:
        print(f"failed: {error}", file=sys.stderr, flush=True)
    return {"rows": rows, "error": error, "wall_seconds": time.perf_counter() - started}
