"""Published results as data, and what follows from them."""

from phis_lab.reports.reference.methods import paper_row, rank_table
from phis_lab.reports.reference.recompute import raw_table, recompute
from phis_lab.reports.reference.tables import TABLES, Column, Table

__all__ = ["TABLES", "Column", "Table", "paper_row", "rank_table", "raw_table", "recompute"]
