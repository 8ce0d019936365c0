"""How often something goes wrong in these tests, and the table of how often it was survived."""

import os
import subprocess
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COUNTS = ROOT / "docs" / "reliability-counts.md"
TIMES = int(os.environ.get("FAULTS", "1"))
"""How many times the numbers of the fast part."""
SEED = int(os.environ.get("FAULTS_SEED", "0"))
_tried: Counter[tuple[str, str]] = Counter()
_survived: Counter[tuple[str, str]] = Counter()


def tried(event: str, where: str) -> None:
    """Count a try, before it is made."""
    _tried[event, where] += 1


def survived(event: str, where: str) -> None:
    """Count a try of which everything that is promised held."""
    _survived[event, where] += 1


def table() -> list[str]:
    """Lines of Markdown; none where nothing was tried."""
    rows = [f"| {event} | {where} | {n} | {_survived[event, where]} |" for (event, where), n in _tried.items()]
    return ["| event | where | tries | survived |", "|---|---|---|---|", *rows] if rows else []


def write_table() -> None:
    """Keep the table beside the promises, with the command and the commit that it is of."""
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    heading = (
        f"Written by `make faults FAULTS={TIMES} FAULTS_SEED={SEED}` on {datetime.now(UTC).date()}, at commit "
        f"{found.stdout.strip() or 'unknown'}. What is promised is in [reliability.md](reliability.md)."
    )
    text = "\n".join(["# How often the promises were tried", "", heading, "", *table(), ""])
    COUNTS.write_text(text, encoding="utf-8")
