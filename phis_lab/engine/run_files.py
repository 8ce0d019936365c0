"""What a finished run gives to views that keep files: the statistics of its teachers and its normalisers."""

from typing import get_args

from phis_lab.engine.distiller import Distiller
from phis_lab.engine.estimation.saved_moments import OfflineEstimation
from phis_lab.engine.run import Run
from phis_lab.engine.stages import places
from phis_lab.features import Kind


def keep_files(run: Run, module: Distiller) -> None:
    """Let the views keep the files of a run, where any of them keeps files.

    `Moments.load` and `FeatureMap.load` read them. A run that went on after its statistics were frozen has these no
    more, and gives its normalisers alone.
    """
    if not run.loggers.has_gallery or module.stage is None:
        return
    estimation, where = module.estimation_of(run), places(module.stage, run.arm.grid_at).items()
    if all(estimation.used().get(place) for place in where):
        moments = estimation.gathered(where)
        files = {f"{teacher}.safetensors": of_teacher.save for teacher, of_teacher in moments.items()}
        run.loggers.keep("statistics", files, made_here=not isinstance(estimation, OfflineEstimation))
    maps = {(name, kind): run.arm.space(name).map_of(kind) for name in run.arm.spaces for kind in get_args(Kind)}
    fitted = {where: made for where, made in maps.items() if made is not None and made.is_fitted}
    run.loggers.keep("normalizers", {f"{name}.{kind}.safetensors": made.save for (name, kind), made in fitted.items()})
