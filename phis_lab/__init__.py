"""Label-free multi-teacher distillation: normalisers, engine, comparison.

The names below are loaded when they are first asked for, so `import phis_lab` imports neither torch nor Hydra.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phis_lab.config.exported import load_exported as load_student
    from phis_lab.config.pretrained import PretrainedStudent
    from phis_lab.evals import knn_predict, nearest_neighbours, teacher_matching
    from phis_lab.evals.probes.linear import linear_probe
    from phis_lab.features import Features
    from phis_lab.linalg import Moments, hadamard_matrix
    from phis_lab.metrics import linear_cka
    from phis_lab.metrics.effective_rank import effective_rank
    from phis_lab.normalizers import Normalizer, PhiS
    from phis_lab.reports import report
    from phis_lab.runs import RunRecord, read_record, read_records
    from phis_lab.students import ImageEncoder
    from phis_lab.teachers import Teacher, TeacherPool

    __version__: str

__all__ = [
    "Features",
    "ImageEncoder",
    "Moments",
    "Normalizer",
    "PhiS",
    "PretrainedStudent",
    "RunRecord",
    "Teacher",
    "TeacherPool",
    "__version__",
    "effective_rank",
    "hadamard_matrix",
    "knn_predict",
    "linear_cka",
    "linear_probe",
    "load_student",
    "nearest_neighbours",
    "read_record",
    "read_records",
    "report",
    "teacher_matching",
]

_ROOMS = {
    "linalg": ("Moments", "hadamard_matrix"),
    "normalizers": ("Normalizer", "PhiS"),
    "metrics": ("effective_rank", "linear_cka"),
    "features": ("Features",),
    "students": ("ImageEncoder",),
    "teachers": ("Teacher", "TeacherPool"),
    "evals": ("knn_predict", "linear_probe", "nearest_neighbours", "teacher_matching"),
    "runs": ("RunRecord", "read_record", "read_records"),
    "reports": ("report",),
}
_PLACES = {name: (room, name) for room, names in _ROOMS.items() for name in names}
_PLACES["load_student"] = "config.exported", "load_exported"
_PLACES["PretrainedStudent"] = "config.pretrained", "PretrainedStudent"


def __getattr__(name: str) -> Any:
    if name == "__version__":
        found: Any = _version()
    elif name in _PLACES:
        room, own = _PLACES[name]
        try:
            found = getattr(import_module(f"{__name__}.{room}"), own)
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(missing_bench(f"phis_lab.{name}", error), name=error.name) from error
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    globals()[name] = found
    return found


def missing_bench(what: str, error: ModuleNotFoundError) -> str:
    """What to install where the library alone is installed, or what the bench needs is gone."""
    return f"{what} needs the bench, of which {error.name} is missing: pip install 'phis-lab[lab]'"


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415  slow, and seldom asked for

    try:
        return version("phis-lab")
    except PackageNotFoundError:
        return "not installed"
