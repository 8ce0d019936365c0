"""`python -m benchmarks [NAME ...]`: run benchmarks and write benchmarks/RESULTS.md and results.json."""

import os
import sys
from pathlib import Path

SLOWING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
NAMES = sorted(file.stem for file in Path(__file__).parent.glob("*.py") if "\ndef run(" in file.read_text())


def main(names: list[str]) -> None:
    """Run the named benchmarks, or all."""
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        sys.exit(f"there is no benchmark {', '.join(unknown)}; there are: {', '.join(NAMES)}")
    _restart_without_slowing_variables()
    from benchmarks.runner import run_all  # noqa: PLC0415  imports numpy, which reads those variables

    failures = run_all(names or NAMES)
    if failures:
        lines = "\n".join(f"  {name}: {error}" for name, error in failures.items())
        sys.exit(f"\n{len(failures)} of {len(names or NAMES)} benchmarks failed; rows before that are kept:\n{lines}")


def _restart_without_slowing_variables() -> None:
    """Start again without the variables that make numpy and faiss choose slower kernels: peers run at their best."""
    found = [name for name in SLOWING if name in os.environ]
    if found:
        print(f"{', '.join(found)} would slow numpy and faiss: starting again without.", flush=True)
        clean = {name: value for name, value in os.environ.items() if name not in SLOWING}
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks", *sys.argv[1:]], clean)


if __name__ == "__main__":
    main(sys.argv[1:])
