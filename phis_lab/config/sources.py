"""What a run is made of besides its configuration: a user's own code, files that options name, and its data."""

import ast
import hashlib
import os
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phis_lab.config.resolvers import content_of
from phis_lab.runs.record import Source
from phis_lab.whole_files import sha256_of

if TYPE_CHECKING:
    from phis_lab.data import DataSource
    from phis_lab.engine import Stage

TRAINING, TEST = "the training images", "the test images"
EVALUATION_TRAINING, EVALUATION_TEST = "evaluation.data.train", "evaluation.data.test"
_FOLDERS_OF_FILES = {"weights", "moments", "path"}
_SUFFIXES = {".safetensors", ".pth", ".pt", ".bin", ".onnx"}
_COUNTED_FILES = 10_000

_OURS = {"phis_lab", "hydra_plugins"}
_PACKAGES = {"site-packages", "dist-packages"}


def sources_of(config: Mapping[str, Any], known: Mapping[str, Source] | None = None) -> dict[str, Source]:
    """Own code and files of a resolved configuration, by what a message calls them; nothing is imported.

    Args:
        config: as plain dicts and lists.
        known: as an earlier process found them; a file that kept its size and its time is not read again.
    """
    found: dict[str, Source] = {}
    for option, value in _texts(content_of(config), ""):
        if option.endswith("_target_"):
            code = {f"the code of {module}": file for module, file in own_files(value).items()}
            found |= {name: Source(sha256=_sha256(file, _stamp(file))) for name, file in code.items()}
        elif not option.startswith(("data.", "evaluation.data.")):
            for name, file in _files(option, value).items():
                stamp, before = _stamp(file), (known or {}).get(name)
                kept = before is not None and before.stamp == stamp
                found[name] = before if kept and before else Source(sha256=_sha256(file, stamp), stamp=stamp)
    return found


def data_stamp(data: Mapping[str, Any]) -> str:
    """Names, sizes and times of the files that a data set's options name; empty where there are none, or too many.

    Equal stamps tell that the images are those of before without reading them. Others tell nothing yet.
    """
    places = [Path(value).expanduser() for option, value in _texts(dict(data), "") if _is_place(option, value)]
    files = [file for place in places for file in _below(place, _COUNTED_FILES + 1)]
    if not files or len(files) > _COUNTED_FILES:
        return ""
    return hashlib.sha256("\n".join(f"{file} {_stamp(file)}" for file in sorted(files)).encode()).hexdigest()


def built_sources(
    config: Mapping[str, Any],
    data: "DataSource",
    stages: Iterable["Stage"],
    evaluation_data: "DataSource | None" = None,
) -> dict[str, Source]:
    """Everything that a run is made of, now that its images and its teachers are known.

    Args:
        config: resolved.
        data: its images.
        stages: with their teachers.
        evaluation_data: those that only its evaluation sees, where it has any.
    """
    pools = [partition.train.pool for stage in stages for partition in stage.partitions.values()]
    weights = {
        f"teachers.{name}.weights": Source(sha256=teacher.weights.sha256)
        for pool in pools
        for name, teacher in pool.teachers.items()
    }
    of_images = _images(data, config["data"], TRAINING, TEST)
    if evaluation_data is not None:
        of_images |= _images(evaluation_data, config["evaluation"]["data"], EVALUATION_TRAINING, EVALUATION_TEST)
    return weights | sources_of(config) | of_images


def _images(data: "DataSource", options: Mapping[str, Any], training: str, test: str) -> dict[str, Source]:
    """Both halves of a data set by the names that they are given."""
    stamp = data_stamp(options)
    halves = {training: data.train, test: data.test}
    return {name: Source(sha256=half.fingerprint, stamp=stamp) for name, half in halves.items()}


def changed_since(config: Mapping[str, Any], recorded: Mapping[str, Source]) -> list[str]:
    """What of a finished run is no longer what it was made of; only what changed its size or time is read again.

    Args:
        config: resolved.
        recorded: in the run's record.
    """
    now = sources_of(config, recorded)
    of_evaluation = (config.get("evaluation") or {}).get("data")
    for node, options, names in (
        ("data", config["data"], (TRAINING, TEST)),
        ("evaluation.data", of_evaluation, (EVALUATION_TRAINING, EVALUATION_TEST)),
    ):
        before = recorded.get(names[0])
        if before is not None and before.stamp and options and data_stamp(options) not in ("", before.stamp):
            from phis_lab.config.build import build  # noqa: PLC0415  torch, only where files of a data set changed

            now |= _images(build(options, node), options, *names)
    return [name for name, source in recorded.items() if name in now and now[name].sha256 != source.sha256]


def _texts(node: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every option whose value is a text, by its dotted name."""
    if isinstance(node, str):
        yield path, node
    children = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        yield from _texts(child, f"{path}.{key}" if path else str(key))


def _files(option: str, value: str) -> dict[str, Path]:
    """The files that an option names: one, or those of a folder that weights or moments are read from."""
    if not _is_place(option, value):
        return {}
    place = Path(value).expanduser()
    if place.is_file():
        return {option: place}
    if place.is_dir() and option.rpartition(".")[2] in _FOLDERS_OF_FILES:
        return {f"{option}/{file.name}": file for file in sorted(place.iterdir()) if file.suffix in _SUFFIXES}
    return {}


def _is_place(option: str, value: str) -> bool:
    """Whether a text can be meant as the place of a file; a word such as "student" is not, whatever lies there."""
    named = option.rpartition(".")[2] in (*_FOLDERS_OF_FILES, "root")
    if "\n" in value or "\0" in value or not (named or os.sep in value or Path(value).suffix):
        return False
    try:
        return Path(value).expanduser().exists()
    except (OSError, RuntimeError):  # too long for a name, or the home of nobody
        return False


def _below(place: Path, most: int) -> list[Path]:
    if place.is_file():
        return [place]
    found: list[Path] = []
    for folder, _, names in os.walk(place, followlinks=True):
        found += [Path(folder, name) for name in names]
        if len(found) >= most:
            break
    return found


def _stamp(file: Path) -> str:
    try:
        status = file.stat()
    except OSError:
        return "gone"
    return f"{status.st_size} {status.st_mtime_ns}"


@lru_cache(maxsize=1024)
def _sha256(file: Path, stamp: str) -> str:
    del stamp  # of a file that changed another one is read
    return sha256_of(file)


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
