"""Statistics of teachers as an artefact: moments for runs to read, the tables of PHI-S, and figures."""

from phis_lab.statistics.record import Statistics, TeacherStatistics, read_statistics
from phis_lab.statistics.survey import Survey, survey

__all__ = ["Statistics", "Survey", "TeacherStatistics", "read_statistics", "survey"]
