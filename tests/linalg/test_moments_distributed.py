from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from processes import run_ranks

from phis_lab.linalg import Moments

DIM = 6


def rows() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(100, DIM, dtype=torch.float64, generator=generator) + 50 * torch.arange(DIM)


def work(rank: int, folder: str, diagonal: bool, cut: int) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    moments = Moments(DIM, diagonal).update((rows()[:cut], rows()[cut:])[rank])
    moments.all_reduce().save(f"{folder}/{rank}.safetensors")
    dist.destroy_process_group()


@pytest.mark.ddp
@pytest.mark.parametrize(("diagonal", "cut"), [(False, 30), (True, 30), (False, 0)])
def test_two_processes_have_the_moments_of_one(tmp_path: Path, diagonal: bool, cut: int):
    run_ranks(work, str(tmp_path), diagonal, cut)
    expected = Moments(DIM, diagonal).update(rows())
    first, second = (Moments.load(tmp_path / f"{rank}.safetensors") for rank in range(2))
    assert first.count == second.count == 100
    torch.testing.assert_close(first.mean, expected.mean, rtol=1e-12, atol=0)
    torch.testing.assert_close(first.variance, expected.variance, rtol=1e-12, atol=0)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])
    if not diagonal:
        torch.testing.assert_close(first.covariance, expected.covariance, rtol=1e-12, atol=1e-12)
