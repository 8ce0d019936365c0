"""The statistics of teachers as data, and the file that keeps them."""

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from phis_lab.whole_files import DamagedFileError, broken_seal, read_json, sealed, write_text

FILE_NAME = "statistics.json"


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Histogram(_Frozen):
    """Density in equal bins between two bounds."""

    low: float
    high: float
    density: tuple[float, ...]


class Channels(_Frozen):
    """Channel by channel and over all of them (PHI-S, table 7).

    `extreme` names the channels with the lowest and highest mean and the smallest and largest variance; `dead` lists
    those whose deviation is below a millionth of the root mean variance.
    """

    lowest_mean: float
    highest_mean: float
    lowest_std: float
    highest_std: float
    global_mean: float
    global_std: float
    extreme: dict[str, int]
    dead: tuple[int, ...]


class Scales(_Frozen):
    """What global standardisation and PHI-S multiply by (PHI-S, table 8).

    `from_means` is the share of the global variance that only comes from channel means that differ.
    """

    alpha_global: float
    alpha_phis: float
    from_means: float


class Spectrum(_Frozen):
    """Eigenvalues of the covariance, descending, and what they say.

    `effective_rank` is RankMe's, of the tokens as they are, not centred (PHI-S, table 6); `components` says how many
    leading eigenvalues hold 90 % and 99 % of the variance.
    """

    eigenvalues: tuple[float, ...]
    effective_rank: float
    components: dict[str, int]


class Rotation(_Frozen):
    """Which rotation PHI-S takes, and its likeness to a permutation (PHI-S, table 9), as in `Alignment`."""

    kind: Literal["hadamard", "equal_diagonal"]
    mean: float
    lowest: float
    highest: float
    large: int
    random_mean: float


class Norms(_Frozen):
    """Token norms; `outliers` is the share above `threshold`, `distribution` a density over log10 of the norm."""

    median: float
    deviation: float
    threshold: float
    outliers: float
    largest: float
    distribution: Histogram


class TeacherStatistics(_Frozen):
    """Everything about one teacher's spatial features at one image size on one grid.

    `grid` is where tokens were counted. The grid in the provenance is the student's, by which a run finds the moments;
    it is another one where a run compares on the finer grid of both (`teachers.match=larger`). `activations` are the
    histograms of PHI-S, figure 2, of `sampled` random tokens.
    """

    provenance: dict[str, str]
    source: str
    grid: str
    images: int
    tokens: int
    channels: Channels
    scales: Scales
    spectrum: Spectrum
    rotation: Rotation
    norms: Norms
    activations: dict[str, Histogram]
    sampled: int


class Statistics(_Frozen):
    """All statistics of a folder, by the stem of the file of their moments."""

    version: Literal[1] = 1
    teachers: dict[str, TeacherStatistics] = {}

    def joined(self, newer: "Statistics") -> "Statistics":
        """With what is newer added, or in the place of the same; all of one teacher side by side."""
        every = {**self.teachers, **newer.teachers}
        names = list(dict.fromkeys(of.provenance["teacher"] for of in every.values()))
        return Statistics(
            teachers=dict(sorted(every.items(), key=lambda item: names.index(item[1].provenance["teacher"])))
        )


def write_statistics(folder: Path, statistics: Statistics) -> Path:
    """Writes them with a digest, whole or not at all."""
    content = json.loads(statistics.model_dump_json())
    return write_text(folder / FILE_NAME, json.dumps(sealed(content), indent=1, ensure_ascii=False) + "\n")


def read_statistics(folder: Path) -> Statistics:
    """What an earlier command left in a folder; nothing where there is none.

    Raises:
        ValueError: the file is damaged or of another version.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return Statistics()
    try:
        content = read_json(path)
        is_damaged = isinstance(content, dict) and broken_seal(content)
        found = Statistics.model_validate(content)
        if is_damaged:
            raise DamagedFileError("its content is not what was written, by its sha256")
    except (DamagedFileError, ValidationError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        why = f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}" if first else str(error)
        raise ValueError(
            f"{path} is damaged, or of another version of phis_lab ({why}); remove it, or choose another folder"
        ) from error
    return found
