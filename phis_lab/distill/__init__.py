"""The engine: arms, their shared teacher pass, statistics, evaluations and checkpoints."""

import phis_lab._torchvision  # noqa: F401  before lightning
from phis_lab.distill.arm import Arm, ArmFailedError, StepResult
from phis_lab.distill.checkpoint import load_checkpoint, save_checkpoint
from phis_lab.distill.estimation import Estimation
from phis_lab.distill.evaluation import Evaluation, Scores
from phis_lab.distill.interrupt import StopRequest
from phis_lab.distill.keeper import ArmRun, Keeper
from phis_lab.distill.module import Distiller, Start
from phis_lab.distill.offline import OfflineEstimation
from phis_lab.distill.online import OnlineEstimation
from phis_lab.distill.optimizer import OptimizerRecipe
from phis_lab.distill.options import TrainerOptions
from phis_lab.distill.pairs import View
from phis_lab.distill.progress import ProgressLine
from phis_lab.distill.provider import FeatureProvider
from phis_lab.distill.running import RunningEstimation
from phis_lab.distill.session import Group, train_group
from phis_lab.distill.stages import Share, Stage

__all__ = [
    "Arm",
    "ArmFailedError",
    "ArmRun",
    "Distiller",
    "Estimation",
    "Evaluation",
    "FeatureProvider",
    "Group",
    "Keeper",
    "OfflineEstimation",
    "OnlineEstimation",
    "OptimizerRecipe",
    "ProgressLine",
    "RunningEstimation",
    "Scores",
    "Share",
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
