"""Published results as data, and what follows from them."""

from phis_lab.reports.reference.paper_tables import TABLES, Column, Table, paper_row, rank_table
from phis_lab.reports.reference.recompute import raw_table, recompute

__all__ = ["TABLES", "Column", "Table", "paper_row", "rank_table", "raw_table", "recompute"]
