"""The tables of statistics, one per topic, with the paper's numbers of its own teachers beside ours."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from phis_lab.reports.reference import TABLES
from phis_lab.reports.sheets import MISSING, Cell, Sheet
from phis_lab.spoken import spoken
from phis_lab.survey.statistics import Statistics, TeacherStatistics

_RANK_TABLE = "table6"
_ROWS = {
    ("dfn_clip", 1280): ("DFN CLIP", "DFN CLIP (-H)"),
    ("siglip", 1152): ("SigLIP", "SigLIP (-L)"),
    ("dinov2_g", 1536): ("DINOv2", "DINOv2-g-reg"),
    ("sam_h", 1280): ("SAM", "SAM (-H)"),
}
"""Name and channels of a teacher -> its row in tables 7 to 9 of PHI-S, and the one in table 6."""
_RANDOM = "random initialisation"
Row = tuple[str, ...]


def paper_numbers(table: str, teacher: TeacherStatistics) -> tuple[str, tuple[float, ...]] | None:
    """Name and numbers of a teacher's row in a table of PHI-S; None where it is not one of the paper's.

    A teacher is the paper's where its name and its number of channels are, unless its weights are random.

    Args:
        table: key of the table, such as "table7".
        teacher: ours.
    """
    known = _ROWS.get((teacher.provenance["teacher"], len(teacher.spectrum.eigenvalues)))
    if known is None or teacher.source.startswith(_RANDOM):
        return None
    name, in_rank_table = known
    row = TABLES[table].rows[in_rank_table if table == _RANK_TABLE else name]
    return name, tuple(value for value in row if value is not None)


class Topic(NamedTuple):
    """One table: what its columns are, and how they are filled.

    `paper` is the key of the published table that has the same first columns.
    """

    title: str
    caption: str
    columns: Row
    texts: Callable[[TeacherStatistics], Row]
    paper: str | None = None


def sheets(statistics: Statistics) -> list[Sheet]:
    """Every table of the report."""
    teachers = list(statistics.teachers.values())
    return [_sheet(topic, teachers) for topic in TOPICS]


def number(value: float) -> str:
    """Four significant digits, or three and an exponent."""
    return spoken(value)


def _sheet(topic: Topic, teachers: Sequence[TeacherStatistics]) -> Sheet:
    rows = [row for teacher in teachers for row in _rows(topic, teacher)]
    published = len(rows) > len(teachers)
    note = " Rows of the paper: ImageNet images, the teacher's own grid and image size." if published else ""
    cells = tuple(tuple(map(Cell, row)) for row in rows)
    return Sheet(topic.title, topic.caption + note, ("teacher", "px", "grid", *topic.columns), cells)


def _rows(topic: Topic, teacher: TeacherStatistics) -> Iterator[Row]:
    """Ours, and the paper's below it where it has this teacher."""
    facts = teacher.provenance
    yield facts["teacher"], facts["image_size"], teacher.grid, *topic.texts(teacher)
    found = paper_numbers(topic.paper, teacher) if topic.paper else None
    if found is not None:
        name, numbers = found
        missing = [MISSING] * (len(topic.columns) - len(numbers))
        yield f"{name}, paper", MISSING, MISSING, *map(number, numbers), *missing


def _channels(of: TeacherStatistics) -> Row:
    found = of.channels
    ranges = found.lowest_mean, found.highest_mean, found.lowest_std, found.highest_std
    return tuple(map(number, (*ranges, found.global_mean, found.global_std)))


def _scales(of: TeacherStatistics) -> Row:
    return number(of.scales.alpha_global), number(of.scales.alpha_phis), f"{of.scales.from_means:.1%}"


def _ranks(of: TeacherStatistics) -> Row:
    channels, rank = len(of.spectrum.eigenvalues), of.spectrum.effective_rank
    leading = map(str, of.spectrum.components.values())
    return str(channels), f"{rank:.2f}", f"{rank / channels:.3f}", *leading


def _alignment(of: TeacherStatistics) -> Row:
    found = of.rotation
    matched = (f"{value:.4f}" for value in (found.mean, found.lowest, found.highest))
    return *matched, str(found.large), f"{found.random_mean:.4f}", found.kind.replace("_", " ")


def _tokens(of: TeacherStatistics) -> Row:
    norms, dead = of.norms, len(of.channels.dead)
    largest = norms.largest / norms.median if norms.median else float("inf")
    return (
        f"{dead} of {len(of.spectrum.eigenvalues)}",
        *map(number, (norms.median, norms.deviation, norms.threshold)),
        f"{norms.outliers:.3%}",
        f"{largest:.2f}",
    )


def _origin(of: TeacherStatistics) -> Row:
    facts = of.provenance
    hashes = facts["sha256"][:12], facts["data"][:12]
    return f"{of.images:,}", f"{of.tokens:,}", facts["precision"], facts["layer"], *hashes


TOPICS = (
    Topic(
        "Channels (PHI-S, table 7)",
        "Lowest and highest mean and standard deviation of a channel; mean and deviation of all values together.",
        ("lowest mean", "highest mean", "lowest std", "highest std", "global mean", "global std"),
        _channels,
        "table7",
    ),
    Topic(
        "Scales (PHI-S, table 8)",
        "What global standardisation and PHI-S multiply by. The share of the means is the part of the global variance "
        "that only comes from channel means that differ; without it both scales would be the same.",
        ("alpha global", "alpha PHI-S", "share of means"),
        _scales,
        "table8",
    ),
    Topic(
        "Effective rank (PHI-S, table 6)",
        "RankMe: exp of the entropy of the singular values of all tokens, not centred. Components: how many principal "
        "components hold so much of the variance.",
        ("channels", "RankMe", "RankMe / channels", "components for 90%", "components for 99%"),
        _ranks,
        "table6",
    ),
    Topic(
        "Likeness of the PHI-S rotation to a permutation (PHI-S, table 9)",
        "Sizes of the entries of HU^T that the best matching of rows and columns takes, with the largest sum. A "
        "permutation has ones: it would mix no channels. The paper's means are near sqrt(2 / (pi C)), the mean of all "
        "entries of a random rotation; a best matching finds larger ones, in a random rotation too (`mean if random`).",
        ("mean", "lowest", "highest", "over 0.75", "mean if random", "rotation"),
        _alignment,
        "table9",
    ),
    Topic(
        "Dead channels and outlier tokens",
        "A channel is dead where its deviation is below a millionth of the root mean variance. An outlier's norm is "
        "above the median by 5 deviations (1.4826 median absolute deviations) and at least twice the median.",
        ("dead channels", "median norm", "deviation", "outlier from", "outliers", "largest / median"),
        _tokens,
    ),
    Topic(
        "Where the numbers come from",
        "Training images, each in its first view, as the first epoch of a run renders them. Tokens are counted on "
        "`grid`: where a run compares them with a student's, or with --own-grid the teacher's own.",
        ("images", "tokens", "precision", "layer", "weights sha256", "images sha256"),
        _origin,
    ),
)
