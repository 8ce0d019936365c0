"""An arm's random numbers depend on its own draws alone."""

import torch

from phis_lab.distill import RandomStream


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


def test_a_saved_state_goes_on() -> None:
    stream = RandomStream(3)
    with stream.active():
        torch.rand(2)
    state = stream.state_dict()
    with stream.active():
        expected = torch.rand(2)
    other = RandomStream(4)
    other.load_state_dict(state)
    with other.active():
        assert torch.equal(torch.rand(2), expected)
