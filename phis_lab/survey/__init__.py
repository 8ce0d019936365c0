"""Statistics of teachers as an artefact: moments for runs to read, the tables of PHI-S, and figures."""

from phis_lab.survey.statistics import Statistics, TeacherStatistics, read_statistics
from phis_lab.survey.stats import Survey, survey

__all__ = ["Statistics", "Survey", "TeacherStatistics", "read_statistics", "survey"]
