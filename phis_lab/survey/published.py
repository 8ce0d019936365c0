"""The paper's numbers of its own teachers."""

from phis_lab.reports.reference import TABLES
from phis_lab.survey.record import TeacherStatistics

_RANK_TABLE = "table6"
_ROWS = {
    ("dfn_clip", 1280): ("DFN CLIP", "DFN CLIP (-H)"),
    ("siglip", 1152): ("SigLIP", "SigLIP (-L)"),
    ("dinov2_g", 1536): ("DINOv2", "DINOv2-g-reg"),
    ("sam_h", 1280): ("SAM", "SAM (-H)"),
}
"""Name and channels of a teacher -> its row in tables 7 to 9 of PHI-S, and the one in table 6."""
_RANDOM = "random initialisation"


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
