"""The engine: arms, their shared teacher pass, statistics, evaluations and checkpoints."""

import phis_lab._torchvision  # noqa: F401  before lightning
from phis_lab.engine.arm import Arm, ArmFailedError, StepResult
from phis_lab.engine.arm_checkpoint import load_checkpoint, save_checkpoint
from phis_lab.engine.arm_step import OptimizerRecipe
from phis_lab.engine.callbacks.interrupt import StopRequest
from phis_lab.engine.callbacks.keeper import Keeper
from phis_lab.engine.callbacks.status import ProgressLine
from phis_lab.engine.distiller import Distiller
from phis_lab.engine.estimation.base import Estimation
from phis_lab.engine.estimation.online import OnlineEstimation
from phis_lab.engine.estimation.running import RunningEstimation
from phis_lab.engine.estimation.saved_moments import OfflineEstimation
from phis_lab.engine.evaluation import Evaluation, Scores
from phis_lab.engine.provider import FeatureProvider
from phis_lab.engine.run import Run, Start
from phis_lab.engine.session import Group, train_group
from phis_lab.engine.stages import Partition, Stage
from phis_lab.engine.trainer_options import TrainerOptions
from phis_lab.engine.views import View

__all__ = [
    "Arm",
    "ArmFailedError",
    "Distiller",
    "Estimation",
    "Evaluation",
    "FeatureProvider",
    "Group",
    "Keeper",
    "OfflineEstimation",
    "OnlineEstimation",
    "OptimizerRecipe",
    "Partition",
    "ProgressLine",
    "Run",
    "RunningEstimation",
    "Scores",
    "Stage",
    "Start",
    "StepResult",
    "StopRequest",
    "TrainerOptions",
    "View",
    "load_checkpoint",
    "save_checkpoint",
    "train_group",
]
