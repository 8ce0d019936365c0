"""Gradients of one arm, averaged over the processes while its backward pass runs."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors

from phis_lab.processes import world_size

BUCKET_BYTES = 25 * 2**20
"""Of one all-reduce, as in torch's DistributedDataParallel."""


@contextmanager
def averaged_gradients(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Replace each gradient of the backward pass within by its mean over the processes.

    Gradients travel in buckets: the last layers' go while those of earlier layers are still computed. A parameter that
    gets no gradient counts as zero, so that every process sends the same buckets in the same order. One that gets none
    in any process is left without, as by one process, for an optimiser would decay it.

    Args:
        parameters: in the order of the forward pass; none of them has a gradient yet.
    """
    if world_size() == 1:
        yield
        return
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    exchange = _Exchange(_buckets(trained[::-1]))
    hooks = [parameter.register_post_accumulate_grad_hook(exchange.arrived) for parameter in trained]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    exchange.finish()


class _Exchange:
    """The buckets of one backward pass; each is sent once it is full and those before it are on their way."""

    def __init__(self, buckets: Sequence[Sequence[nn.Parameter]]) -> None:
        self._buckets = buckets
        self._bucket_of = {parameter: number for number, bucket in enumerate(buckets) for parameter in bucket}
        self._missing = [len(bucket) for bucket in buckets]
        self._sent: list[tuple[Tensor, dist.Work]] = []
        self._without: dict[nn.Parameter, Tensor] = {}
        """Parameters that get no gradient here, and how many processes have one, once that is known."""

    def arrived(self, parameter: Tensor) -> None:
        """Count a parameter whose gradient is complete."""
        self._missing[self._bucket_of[parameter]] -= 1  # type: ignore[index]
        while len(self._sent) < len(self._buckets) and self._missing[len(self._sent)] == 0:
            self._send()

    def _send(self) -> None:
        bucket = self._buckets[len(self._sent)]
        without = [number for number, parameter in enumerate(bucket) if parameter.grad is None]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in bucket]
        have = gradients[0].new_ones(len(bucket))
        for number in without:
            have[number] = 0
        flat = _flatten_dense_tensors([*gradients, have])
        *gradients, have = _unflatten_dense_tensors(flat, [*gradients, have])
        for parameter, gradient in zip(bucket, gradients, strict=True):
            parameter.grad = gradient
        self._without |= {bucket[number]: have[number] for number in without}
        work = dist.all_reduce(flat, async_op=True)
        assert work is not None
        self._sent.append((flat, work))

    def finish(self) -> None:
        """Send what is left, and wait for the means."""
        while len(self._sent) < len(self._buckets):
            self._send()
        for flat, work in self._sent:
            work.wait()
            flat.div_(world_size())
        if self._without:  # else no process has to ask a device, which would wait
            for parameter, shares in zip(self._without, torch.stack([*self._without.values()]).tolist(), strict=True):
                if not shares:
                    parameter.grad = None


def _buckets(parameters: Iterable[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Neighbours that fit into BUCKET_BYTES together, of one kind of number each."""
    buckets: list[list[nn.Parameter]] = []
    size = 0
    for parameter in parameters:
        nbytes = parameter.numel() * parameter.element_size()
        if not buckets or size + nbytes > BUCKET_BYTES or buckets[-1][0].dtype != parameter.dtype:
            buckets.append([])
            size = 0
        buckets[-1].append(parameter)
        size += nbytes
    return buckets
