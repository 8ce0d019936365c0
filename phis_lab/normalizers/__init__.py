"""What a teacher's features become before a student is asked to match them; torch is the only requirement."""

from phis_lab.normalizers.batch_standardize import BatchStandardize
from phis_lab.normalizers.center_scale import CenterScale
from phis_lab.normalizers.compression import Compression, LinearCompression
from phis_lab.normalizers.elementwise import ElementwiseNormalizer
from phis_lab.normalizers.ema_standardize import EMAStandardize
from phis_lab.normalizers.feature_map import FeatureMap, NotFittedError
from phis_lab.normalizers.global_standardize import GlobalStandardize
from phis_lab.normalizers.hadamard_whiten import HadamardWhiten
from phis_lab.normalizers.identity import Identity
from phis_lab.normalizers.imported import affine_from_buffers as affine_from_buffers
from phis_lab.normalizers.imported import affine_from_state_dict as affine_from_state_dict
from phis_lab.normalizers.matrix import MatrixNormalizer
from phis_lab.normalizers.normalizer import Normalizer
from phis_lab.normalizers.partial_whiten import PartialWhiten
from phis_lab.normalizers.pca_scale import PCAScale
from phis_lab.normalizers.pca_truncation import PCATruncation
from phis_lab.normalizers.pca_whiten import PCAWhiten
from phis_lab.normalizers.phis import PhiS
from phis_lab.normalizers.random_projection import RandomProjection
from phis_lab.normalizers.random_rotation_scale import RandomRotationScale
from phis_lab.normalizers.running_standardize import RunningStandardize
from phis_lab.normalizers.space import NotInvertibleError, TeacherSpace
from phis_lab.normalizers.standardize import Standardize
from phis_lab.normalizers.teacher_in_the_middle import TeacherInTheMiddle
from phis_lab.normalizers.zca_whiten import ZCAWhiten

__all__ = [
    "BatchStandardize",
    "CenterScale",
    "Compression",
    "EMAStandardize",
    "ElementwiseNormalizer",
    "FeatureMap",
    "GlobalStandardize",
    "HadamardWhiten",
    "Identity",
    "LinearCompression",
    "MatrixNormalizer",
    "Normalizer",
    "NotFittedError",
    "NotInvertibleError",
    "PCAScale",
    "PCATruncation",
    "PCAWhiten",
    "PartialWhiten",
    "PhiS",
    "RandomProjection",
    "RandomRotationScale",
    "RunningStandardize",
    "Standardize",
    "TeacherInTheMiddle",
    "TeacherSpace",
    "ZCAWhiten",
]
