"""The figures of the PHI-S paper, from synthetic Gaussians and from finished runs."""

from phis_lab.figures.files import Drawn, draw

__all__ = ["Drawn", "draw"]
