"""Figure 3: each method's error in the teachers' own spaces while it trains."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from phis_lab.reports.figures import error_curves
from phis_lab.reports.style import Look


def teacher_errors(history: pd.DataFrame, looks: Mapping[str, Look]) -> Figure:
    """MSE in the teacher's space against the step, one panel per teacher with a scale of its own (PHI-S, fig. 3).

    Args:
        history: columns method, seed, teacher, step, value.
        looks: how each method is drawn, in the order of the legend.
    """
    return error_curves(history, looks, "MSE in the teacher's space (log)")[0]
