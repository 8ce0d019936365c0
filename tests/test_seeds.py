"""An arm's random numbers depend on its own draws alone."""

import pytest
import torch

from phis_lab import processes
from phis_lab.seeds import RandomStream


def test_draws_are_the_same_whoever_draws_between() -> None:
    alone, beside = RandomStream(5), RandomStream(5)
    expected = []
    for _ in range(3):
        with alone.active():
            expected.append(torch.rand(2))
    other = RandomStream(9)
    drawn = []
    for _ in range(3):
        torch.rand(7)
        with other.active():
            torch.rand(3)
        with beside.active():
            drawn.append(torch.rand(2))
    assert torch.equal(torch.stack(drawn), torch.stack(expected))


def test_the_global_stream_is_left_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(4)
    torch.manual_seed(1)
    with RandomStream(2).active():
        torch.rand(9)
    assert torch.equal(torch.rand(4), expected)


def drawn_at(stage: str, step: int, seed: int = 3) -> torch.Tensor:
    with RandomStream(seed).at(stage, step):
        return torch.rand(4)


def test_a_step_draws_the_same_numbers_whatever_was_drawn_before() -> None:
    stream = RandomStream(3)
    with stream.active():
        torch.rand(9)
    with stream.at("all", 6):
        torch.rand(2)
    with stream.at("all", 7):
        assert torch.equal(torch.rand(4), drawn_at("all", 7))


def test_steps_stages_seeds_and_processes_draw_different_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = [drawn_at("all", 0), drawn_at("all", 1), drawn_at("second", 0), drawn_at("all", 0, seed=4)]
    monkeypatch.setattr(processes, "rank", lambda: 1)
    draws.append(drawn_at("all", 0))
    assert len({tuple(draw.tolist()) for draw in draws}) == len(draws)


def test_the_initialisation_is_the_same_in_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    with RandomStream(3).active():
        expected = torch.rand(4)
    monkeypatch.setattr(processes, "rank", lambda: 1)
    with RandomStream(3).active():
        assert torch.equal(torch.rand(4), expected)
