"""Data parallelism for many arms in one process group."""

import torch.distributed as dist
from lightning.pytorch.strategies import DDPStrategy
from torch import nn


class PerArmDDP(DDPStrategy):
    """Lightning's DDP without its wrapper: every arm averages its own gradients in one all-reduce.

    torch's DistributedDataParallel expects one backward pass over all parameters of the module. Here each arm has its
    own, and a stopped arm has none, so the module stays unwrapped and the arms synchronise themselves.
    """

    def configure_ddp(self) -> None:
        """Start every process from the parameters of rank 0 instead of wrapping the module."""
        assert isinstance(self.model, nn.Module)
        for tensor in (*self.model.parameters(), *self.model.buffers()):
            dist.broadcast(tensor.data, src=0)
