"""What two processes have in common, and what each draws for itself."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from processes import free_port, run_ranks
from small_arms import make_arm, patch_pool

from phis_lab.engine import ArmFailedError
from phis_lab.linalg import Moments
from phis_lab.normalizers import PhiS
from phis_lab.seeds import RandomStream
from phis_lab.students.positions import CroppedPositions


def moments_of(rank: int) -> dict[str, Moments]:
    """Statistics that differ between the processes, as eigenvectors may that two processes solve for."""
    generator = torch.Generator().manual_seed(rank)
    dims = {name: teacher.spatial_dim for name, teacher in patch_pool().teachers.items()}
    return {name: Moments(dim).update(torch.randn(200, dim, generator=generator)) for name, dim in dims.items()}


def fit_and_draw(rank: int, port: int, folder: Path) -> None:
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    arm = make_arm(patch_pool(), PhiS)
    arm.fit(moments_of(rank), step=3)
    mapped = arm.space("loud").spatial(torch.ones(1, 20))
    empty = {name: Moments(moments.dim) for name, moments in moments_of(0).items()}
    try:
        arm.fit(empty if rank == 0 else moments_of(rank), step=4)
        failure = "none"
    except ArmFailedError as error:
        failure = str(error)
    positions = CroppedPositions(torch.randn(8, 8, 2, generator=torch.Generator().manual_seed(0)), 8)
    with RandomStream(0).at("all", 5):
        crops = positions((4, 4), 16).detach()
    torch.save({"mapped": mapped, "failure": failure, "crops": crops}, folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.ddp
def test_processes_share_maps_and_failures_and_draw_crops_of_their_own(tmp_path: Path) -> None:
    run_ranks(fit_and_draw, free_port(), tmp_path)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    alone = make_arm(patch_pool(), PhiS)
    alone.fit(moments_of(0), step=3)
    assert torch.equal(first["mapped"], alone.space("loud").spatial(torch.ones(1, 20)))
    assert torch.equal(second["mapped"], first["mapped"])
    assert "teacher 'quiet', spatial features, step 4" in first["failure"]
    assert second["failure"] == first["failure"]
    crops = torch.cat([first["crops"], second["crops"]]).flatten(1)
    assert len(crops.unique(dim=0)) == 32
