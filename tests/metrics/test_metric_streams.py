"""What all metrics that stream matrices have in common: reset, the batch's own value, several processes."""

import pytest
import torch
import torch.distributed as dist
from processes import run_ranks
from torch.testing import assert_close

from phis_lab.metrics import EffectiveRank, LinearCKA, PrincipalComponentError

DIM = 4
METRICS = {
    "effective_rank": lambda: EffectiveRank(DIM),
    "error_spectrum": lambda: PrincipalComponentError(DIM),
    "linear_cka": lambda: LinearCKA(DIM, DIM),
}
every_metric = pytest.mark.parametrize("make", METRICS.values(), ids=METRICS.keys())


def batch(rows, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, DIM, generator=generator) * torch.logspace(1, -1, DIM) + 100
    return x + torch.randn(rows, DIM, generator=generator), x


def inputs(metric, pair):
    return pair[:1] if isinstance(metric, EffectiveRank) else pair


def value(make, *pairs):
    metric = make()
    for pair in pairs:
        metric.update(*inputs(metric, pair))
    return metric.compute()


def assert_same(values, expected):
    assert_close(values, expected, rtol=1e-8, atol=1e-10)


@every_metric
def test_reset_forgets_and_forward_returns_the_batch_alone(make):
    first, second = batch(7, 1), batch(9, 2)
    metric = make()
    metric.update(*inputs(metric, first))
    assert_same(metric(*inputs(metric, second)), value(make, second))
    assert_same(metric.compute(), value(make, first, second))
    metric.reset()
    metric.update(*inputs(metric, second))
    assert_same(metric.compute(), value(make, second))


@every_metric
def test_the_order_of_batches_does_not_matter(make):
    parts = [batch(rows, rows) for rows in (5, 8, 13)]
    assert_same(value(make, *parts), value(make, *parts[::-1]))


def values_of_rank(rank: int, folder: str) -> None:
    """One rank's uneven share of the rows; every metric must see all of them."""
    torch.set_num_threads(1)
    shares = batch(5, 1), batch(11, 2)
    expected = {name: value(make, *shares) for name, make in METRICS.items()}
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    for name, make in METRICS.items():
        assert_same(value(make, shares[rank]), expected[name])
    dist.destroy_process_group()


@pytest.mark.ddp
def test_two_processes_give_the_value_of_all_rows(tmp_path):
    run_ranks(values_of_rank, str(tmp_path))
