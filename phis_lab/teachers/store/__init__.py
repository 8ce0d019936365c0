"""Teacher features that are kept: in this process's memory, or in files that runs share."""

from phis_lab.teachers.store.encoding import StoreDtype
from phis_lab.teachers.store.images import FixedImages
from phis_lab.teachers.store.memory import MemoryStore, bytes_per_image
from phis_lab.teachers.store.plan import gigabytes
from phis_lab.teachers.store.report import TableReport
from phis_lab.teachers.store.store import FeatureStore

__all__ = [
    "FeatureStore",
    "FixedImages",
    "MemoryStore",
    "StoreDtype",
    "TableReport",
    "bytes_per_image",
    "gigabytes",
]
