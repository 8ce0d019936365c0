"""Each process takes its share of every batch and holds its share of every student."""

from datetime import timedelta
from typing import Any

import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh

from phis_lab.strategies.data_parallel import DataParallel, PerArmDDP


class PerArmFSDP(PerArmDDP):
    """As data parallelism, but every arm divides its own student; optimisers are built over the shares."""

    def configure_ddp(self) -> None:
        """Start from the parameters of rank 0, and divide them."""
        super().configure_ddp()
        mesh = init_device_mesh(self.root_device.type, (dist.get_world_size(),))
        model: Any = self.model
        model.shard(mesh)


class FullyShardedData(DataParallel):
    """Data parallelism in which parameters, gradients and optimiser state of every student are divided (FSDP2).

    Teachers are whole in every process. A process gathers the parameters of one block at a time.

    Args:
        devices: processes per machine.
        nodes: machines.
        backend: of the process group; None is nccl on GPUs and gloo on CPUs.
        timeout_s: seconds after which a silent process counts as lost.

    Source:
        Zhao et al. 2023 (arXiv 2304.11277); torch.distributed.fsdp.fully_shard.
    """

    def trainer_arguments(self) -> dict[str, Any]:
        """What the Trainer has to know."""
        strategy = PerArmFSDP(process_group_backend=self.backend, timeout=timedelta(seconds=self.timeout_s))
        return {"strategy": strategy, "devices": self.devices, "num_nodes": self.nodes}
