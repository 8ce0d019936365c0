"""Fast paths of a CPU, each beside the plain version of torch that it equals and that runs everywhere else."""

from phis_lab.linalg.cpu.linear_map import precise_linear
from phis_lab.linalg.cpu.matrices import (
    add_gram,
    float64_gram,
    float64_product,
    mirrored,
    mkl_is_narrow,
    numpy,
    numpy_gram,
    one_torch_thread,
    symmetric_eigh,
)

__all__ = [
    "add_gram",
    "float64_gram",
    "float64_product",
    "mirrored",
    "mkl_is_narrow",
    "numpy",
    "numpy_gram",
    "one_torch_thread",
    "precise_linear",
    "symmetric_eigh",
]
