"""Files of code outside installed packages, found without importing them."""

import ast
import sysconfig
from collections.abc import Iterator
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, resolve_name
from pathlib import Path

_OURS = {"phis_lab", "hydra_plugins"}
_PACKAGES = {"site-packages", "dist-packages"}


def own_files(target: str) -> dict[str, Path]:
    """The files of a user's own code that a dotted path leads to, and those of his own that these import.

    Code of phis_lab itself and of installed packages is told by the versions and the commit in a record, and is left
    out. Imports are read from the text of the files: what a function imports by name at run time is not seen.

    Args:
        target: of a class or a function, as in `_target_`.

    Returns:
        File by the name of its module.
    """
    found: dict[str, Path] = {}
    waiting = [target]
    while waiting:
        for module, file in _along(waiting.pop()):
            if module not in found:
                found[module] = file
                waiting += _imported(module, file)
    return found


def _along(path: str) -> Iterator[tuple[str, Path]]:
    """The modules of a user's own on a dotted path, from the package on, as far as there are files."""
    top, *rest = path.split(".")
    spec = _own_spec(top)
    if spec is None or spec.origin is None:
        return
    file, module = Path(spec.origin), top
    yield module, file
    for part in rest:
        if file.name != "__init__.py":
            return
        places = (file.parent / part / "__init__.py", file.parent / f"{part}.py")
        inner = next((place for place in places if place.is_file()), None)
        if inner is None:
            return
        file, module = inner, f"{module}.{part}"
        yield module, file


@cache
def _own_spec(top: str) -> ModuleSpec | None:
    """Where a package or module of a user's own lies; None for others, and where there is none."""
    try:
        spec = None if top in _OURS else find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return None
    file = Path(spec.origin).resolve()
    standard = sysconfig.get_paths()["stdlib"], sysconfig.get_paths()["platstdlib"]
    if _PACKAGES & set(file.parts) or any(file.is_relative_to(Path(place).resolve()) for place in standard):
        return None
    return spec


def _imported(module: str, file: Path) -> Iterator[str]:
    """Dotted paths that a file imports."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            try:
                start = resolve_name(base, package) if node.level else base
            except ImportError:
                continue
            yield from (f"{start}.{name.name}" for name in node.names)
