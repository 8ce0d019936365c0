"""`python -m benchmarks [NAME ...]`: run benchmarks and write benchmarks/RESULTS.md and results.json."""

import importlib
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import phis_lab._torchvision  # noqa: F401
from phis_lab.tracking import environment, git_commit

FOLDER = Path(__file__).parent
NAMES = sorted(file.stem for file in FOLDER.glob("*.py") if file.stem not in ("__init__", "__main__", "harness"))
HEADER = "| benchmark | ours | peer | ratio of times | range | target | correctness |\n|---|---|---|---|---|---|---|"


def main(names: list[str]) -> None:
    """Run the named benchmarks, or all; rows of the others are kept."""
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        sys.exit(f"there is no benchmark {', '.join(unknown)}; there are: {', '.join(NAMES)}")
    warnings.filterwarnings("ignore")
    path = FOLDER / "results.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    facts = environment()
    for name in names or NAMES:
        rows = []
        for comparison in importlib.import_module(f"benchmarks.{name}").run():
            print(comparison.row(), flush=True)
            rows.append(comparison.facts() | {"row": comparison.row()})
        results[name] = {
            "rows": rows,
            "commit": git_commit(),
            "versions": facts.versions,
            "device": facts.device,
        }
    path.write_text(json.dumps(results, indent=1) + "\n")
    (FOLDER / "RESULTS.md").write_text(_markdown(results))


def _markdown(results: dict[str, Any]) -> str:
    lines = [
        "# Benchmarks",
        "",
        "Made by `make bench`. Ours and the peer ran in turns on the same threads; below 1 ours is faster.",
        "",
        HEADER,
    ]
    for result in results.values():
        lines += [row["row"] for row in result["rows"]]
    lines.append("")
    for name, result in results.items():
        device = result["device"]
        where = f"torch {result['versions']['torch']}, {device['cpu']}, {device['threads']} threads"
        lines.append(f"`{name}`: commit {result['commit']}, {where}.")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])
