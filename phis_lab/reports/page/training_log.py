"""The error of each teacher in every step that a run logged, for runs that keep no evaluations or have not ended."""

import csv
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

LOG = "metrics.csv"
_BEGIN, _END = "train/", "/teacher_mse"
_LONGEST = 64 * 2**20
_POINTS = 200
COLUMNS = ["method", "seed", "teacher", "step", "value"]


def training_errors(runs: Iterable[tuple[str, int, Path]]) -> pd.DataFrame:
    """The logged mean squared errors in the teachers' own spaces, of about 200 steps of every run.

    Args:
        runs: method, seed and folder of each; one that kept no log, or a damaged one, has no rows.

    Returns:
        Columns method, seed, teacher, step, value.
    """
    rows = [
        (method, seed, name.removeprefix(_BEGIN).removesuffix(_END), step, value)
        for method, seed, folder in runs
        for logged in [_logged(folder / LOG)]
        for step, numbers in logged[:: max(1, len(logged) // _POINTS)]
        for name, value in numbers.items()
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _logged(path: Path) -> list[tuple[int, dict[str, float]]]:
    try:
        if not path.is_file() or path.stat().st_size > _LONGEST:
            return []
        whole = path.read_text(encoding="utf-8", errors="replace").rpartition("\n")[0]
        found = [(row.get("step"), _errors(row)) for row in csv.DictReader(whole.splitlines())]
    except (OSError, csv.Error):
        return []
    return [(int(step), errors) for step, errors in found if errors and step and step.isdecimal()]


def _errors(row: Mapping[str | None, str | list[str] | None]) -> dict[str, float]:
    """What a row says of each teacher's error; what is no positive number has no place on a logarithmic axis."""
    found = {}
    for name, text in row.items():
        if name and name.startswith(_BEGIN) and name.endswith(_END) and isinstance(text, str):
            try:
                value = float(text)
            except ValueError:
                continue
            if 0 < value < math.inf:
                found[name] = value
    return found
