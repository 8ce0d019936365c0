"""Statistics of teachers as an artefact: moments for runs to read, the tables of PHI-S, and figures."""

from phis_lab.survey.record import Statistics, TeacherStatistics, read_statistics
from phis_lab.survey.survey import Survey, survey

__all__ = ["Statistics", "Survey", "TeacherStatistics", "read_statistics", "survey"]
