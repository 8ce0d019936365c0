"""A report as one self-contained page for readers who were not there."""

from phis_lab.reports.page.contents import Chapter, Picture, Table
from phis_lab.reports.page.document import PAGE, write_page

__all__ = ["PAGE", "Chapter", "Picture", "Table", "write_page"]
