"""`results.json` and the tables in RESULTS.md that are made from it."""

import json
from collections.abc import Iterator
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.harness import Comparison, Measurement, table_line
from benchmarks.machine import Rates

FOLDER = Path(__file__).parent
PEERS = ("scikit-learn", "scipy", "faiss-cpu", "torchdistill", "lightly-train", "hydra-core")
KINDS: dict[str, type[Comparison] | type[Measurement]] = {"comparison": Comparison, "measurement": Measurement}

INTRODUCTION = """# Benchmarks

Made by `make bench`, or for some of them by `python -m benchmarks NAME`. Ours and the peer ran in turns on the same
threads, at least seven pairs, the first of each pair alternating, after a check that both compute the same. The ratio
is that of times, the median over pairs; below 1 ours is faster. The range goes from the least to the greatest. Peak
memory is what one call took above what was there before it. Ratios are the results; the seconds are in `results.json`.
"""


def as_data(row: Comparison | Measurement) -> dict[str, object]:
    """A row for `results.json`."""
    return {"kind": type(row).__name__.lower()} | row.facts()


def load(folder: Path = FOLDER) -> dict[str, Any]:
    """What was measured before, by benchmark."""
    path = folder / "results.json"
    return json.loads(path.read_text()) if path.exists() else {}


def save(name: str, result: dict[str, Any], folder: Path = FOLDER) -> None:
    """Replace the results of one benchmark and write both files; those of the others are kept."""
    results = dict(sorted((load(folder) | {name: result}).items()))
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / "RESULTS.md").write_text(markdown(results))


def markdown(results: dict[str, Any]) -> str:
    """RESULTS.md: one table against peers, one of growth and memory, and where each number comes from."""
    parts = [INTRODUCTION]
    for title, kind in (("Ours against peers", Comparison), ("Shares, memory and growth", Measurement)):
        rows = [row for result in results.values() for row in _rows(result) if isinstance(row, kind)]
        if rows:
            parts += [f"## {title}\n", *_table(kind.HEADER, rows)]
    failed = [f"- `{name}`: {result['error']}" for name, result in results.items() if result["error"]]
    if failed:
        parts += ["## Failed\n", *failed, ""]
    parts += ["## Where and when\n", *_provenance(results)]
    return "\n".join(parts) + "\n"


def versions() -> dict[str, str]:
    """Versions of the peers that are installed."""
    found = {}
    for package in PEERS:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _rows(result: dict[str, Any]) -> Iterator[Comparison | Measurement]:
    for facts in result["rows"]:
        kind = KINDS[facts["kind"]]
        yield kind(**{field.name: facts[field.name] for field in fields(kind)})


def _table(header: tuple[str, ...], rows: list[Comparison | Measurement]) -> list[str]:
    return [table_line(*header), f"|{'---|' * len(header)}", *(row.row() for row in rows), ""]


def _provenance(results: dict[str, Any]) -> list[str]:
    """One line for all benchmarks that share machine, versions and commit."""
    names: dict[str, list[str]] = {}
    for name, result in results.items():
        device, packages = result["device"], ", ".join(f"{key} {text}" for key, text in result["versions"].items())
        low = "with" if device["bf16"] else "without"
        place = f"{device['cpu']} {low} bfloat16, {device['threads']} threads"
        line = f"commit {result['commit']}, {result['date']}; {place}; {packages}; {Rates(**result['machine'])}."
        names.setdefault(line, []).append(f"`{name}`")
    return [f"- {', '.join(group)}: {line}" for line, group in names.items()]
