"""The figures of the PHI-S paper, from synthetic Gaussians and from finished runs."""

from phis_lab.figures.drawing import Drawn, draw

__all__ = ["Drawn", "draw"]
