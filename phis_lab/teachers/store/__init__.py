"""Teacher features that are kept: in this process's memory, or in files that runs share."""

from phis_lab.teachers.store.encoding import StoreDtype
from phis_lab.teachers.store.memory import MemoryStore, bytes_per_image
from phis_lab.teachers.store.plan import FixedImages, gigabytes
from phis_lab.teachers.store.store import FeatureStore
from phis_lab.teachers.store.table import TableReport

__all__ = [
    "FeatureStore",
    "FixedImages",
    "MemoryStore",
    "StoreDtype",
    "TableReport",
    "bytes_per_image",
    "gigabytes",
]
