"""Which packages of the bench and of its extras are installed, in which versions."""

import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from phis_lab.machine import Finding, note, ok, problem

OURS = "phis-lab"
SHOWN = ("torch", "lightning", "hydra-core", "timm", "numpy")
_OF_DEVELOPERS = {"dev", "bench"}


def packages() -> Iterator[Finding]:
    """Python, the packages of the bench, and the extras."""
    if (3, 11) <= sys.version_info[:2] < (3, 14):
        yield ok("Python", platform.python_version())
    else:
        yield problem("Python", platform.python_version(), "Use Python 3.11, 3.12 or 3.13: make PYTHON=python3.12")
    try:
        requirements, extras = requires(OURS) or [], metadata(OURS).get_all("Provides-Extra") or []
    except PackageNotFoundError:
        advice = "Run `make install` or pip install 'phis-lab[lab]', so that what it needs can be told."
        yield note("packages", "phis-lab is on the path and not installed", advice)
        return
    yield _bench(missing(requirements, "lab"))
    for extra in extras:
        if extra not in {"lab", *_OF_DEVELOPERS}:
            yield _extra(extra, missing(requirements, extra))


def missing(requirements: list[str], extra: str) -> list[str]:
    """What is not installed, or in another version than is wanted, of the library's own packages and of an extra's."""
    from packaging.requirements import Requirement  # noqa: PLC0415  of others that the bench needs

    lacking = []
    for text in requirements:
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra}):
            continue
        try:
            found = version(wanted.name)
        except PackageNotFoundError:
            lacking.append(wanted.name)
        else:
            if not wanted.specifier.contains(found, prereleases=True):
                lacking.append(f"{wanted.name}{wanted.specifier} (here is {found})")
    return lacking


def _bench(lacking: list[str]) -> Finding:
    if lacking:
        return problem("packages", f"missing: {', '.join(lacking)}", "pip install 'phis-lab[lab]'")
    return ok("packages", ", ".join(f"{name} {version(name)}" for name in (OURS, *SHOWN)))


def _extra(extra: str, lacking: list[str]) -> Finding:
    if lacking:
        return note(f"extra {extra}", f"missing: {', '.join(lacking)}", f"To have it: pip install 'phis-lab[{extra}]'")
    return ok(f"extra {extra}", "installed")
