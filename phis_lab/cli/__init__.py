"""`phis-lab`: what one does before runs and after they ended. Each command imports what it needs when called."""

from phis_lab.cli import training, around, results, exporting  # isort: skip  the order is that of --help
from phis_lab.cli.program import app

__all__ = ["app", "around", "exporting", "results", "training"]
