"""Gradients are averaged over the processes, in buckets that leave while the backward pass still runs."""

import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from processes import free_port, run_ranks
from torch import Tensor, nn

from phis_lab.engine import gradients
from phis_lab.engine.gradients import averaged_gradients

WIDTH, LAYERS = 8, 5


class Network(nn.Module):
    """Layers of which one is used by the first process alone, one by nobody, and one is frozen."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList([nn.Linear(WIDTH, WIDTH) for _ in range(LAYERS)])
        self.exact = nn.Linear(WIDTH, WIDTH).double()
        self.layers[1].requires_grad_(False)

    def forward(self, x: Tensor, first: bool) -> Tensor:
        for number, layer in enumerate(self.layers):
            if number == 4 or (number == 2 and not first):
                continue
            x = layer(x).tanh()
        return self.exact(x.double())


def rows(rank: int) -> Tensor:
    return torch.randn(6, WIDTH, generator=torch.Generator().manual_seed(rank))


def backward_as(rank: int, world: int, port: int, folder: Path) -> None:
    gradients.BUCKET_BYTES = 600  # two layers in each bucket
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=world)
    network, sent = Network(), []
    wholes: list[int] = []  # gradients that were there when each bucket left
    reduce = dist.all_reduce

    def noted(flat: Tensor, *, async_op: bool) -> dist.Work:
        wholes.append(sum(p.grad is not None for p in network.layers.parameters()))
        sent.append(flat.numel())
        return reduce(flat, async_op=async_op)

    dist.all_reduce = noted
    for _ in range(2):
        network.zero_grad(set_to_none=True)
        with averaged_gradients(network.parameters()):
            network(rows(rank), first=rank == 0).square().mean().backward()
    found = {name: p.grad for name, p in network.named_parameters()}
    hooks = [p for p in network.parameters() if p._post_accumulate_grad_hooks]
    torch.save({"gradients": found, "sent": sent, "wholes": wholes, "hooks": hooks}, folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.ddp
@pytest.mark.parametrize("world", [2, 3])
def test_gradients_are_means_over_the_processes(world: int, tmp_path: Path) -> None:
    run_ranks(backward_as, world, free_port(), tmp_path, world=world)
    said = [torch.load(tmp_path / f"{rank}.pt") for rank in range(world)]
    network = Network()
    for rank in range(world):
        (network(rows(rank), first=rank == 0).square().mean() / world).backward()
    for of_rank in said:
        for name, parameter in network.named_parameters():
            if parameter.grad is None:  # frozen, or used by nobody
                assert of_rank["gradients"][name] is None
                continue
            torch.testing.assert_close(of_rank["gradients"][name], parameter.grad, rtol=1e-5, atol=1e-7)
        assert of_rank["sent"] == said[0]["sent"]
        assert of_rank["hooks"] == []
    buckets = len(said[0]["sent"]) // 2
    assert buckets == 3
    assert said[0]["wholes"][0] == 0  # the last layer's gradient left before any of the others was computed
    for first, second in ((rank["gradients"], said[0]["gradients"]) for rank in said):
        for name, gradient in first.items():
            assert gradient is None or torch.equal(gradient, second[name]), name


def test_a_single_process_leaves_gradients_alone() -> None:
    network = Network()
    with averaged_gradients(network.parameters()):
        network(rows(0), first=True).sum().backward()
    assert network.layers[4].weight.grad is None
    assert network.layers[0].weight._post_accumulate_grad_hooks is None
