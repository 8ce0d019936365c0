"""Devices that were asked for and are not there, told before any weights are loaded."""

import torch

from phis_lab.engine import TrainerOptions
from phis_lab.strategies import DataParallel, Single


def refuse_devices(options: TrainerOptions, strategy: Single | DataParallel) -> None:
    """Raise ValueError where a machine has no GPU, or fewer than processes, or a backend that needs one."""
    try:
        device = options.device
    except ValueError as error:
        raise ValueError(f"trainer.{error}") from error
    if not isinstance(strategy, DataParallel):
        return
    if device == "cpu" and strategy.backend == "nccl":
        raise ValueError("strategy.backend=nccl talks between GPUs, and the run is on CPUs; choose gloo or null")
    there = torch.cuda.device_count() if device == "cuda" else strategy.devices
    if strategy.devices > there:
        raise ValueError(
            f"strategy.devices={strategy.devices}, and this machine shows {there} GPU(s), one for each process; "
            f"choose strategy.devices={there}, or trainer.accelerator=cpu"
        )
