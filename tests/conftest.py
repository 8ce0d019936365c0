"""Shared test set-up."""

import torch
from hypothesis import settings

import phis_lab._torchvision  # noqa: F401  before anything imports torchvision

torch.set_num_threads(1)  # test processes run side by side; threads that wait for each other's cores take minutes

settings.register_profile("laws", deadline=None, derandomize=True, max_examples=25)
settings.load_profile("laws")  # a fixed set of cases, none judged by its time
