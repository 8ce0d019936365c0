"""`python -m phis_lab` is `phis-lab`."""

from phis_lab.cli import app

app(prog_name="phis-lab")
