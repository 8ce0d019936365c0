"""Shared test set-up."""

import torch

import phis_lab._torchvision  # noqa: F401  before anything imports torchvision

torch.set_num_threads(1)  # test processes run side by side; threads that wait for each other's cores take minutes
