"""Shared test set-up."""

import phis_lab._torchvision  # noqa: F401  before anything imports torchvision
