"""UNIC's projectors: the ladder over all blocks, and the basic one."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from phis_lab.students import LadderHead, MLPHead


def blocks_of(depth, width=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 3, width, generator=generator) for _ in range(depth)]


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_ladder_of_a_vit_base_has_the_published_number_of_parameters():
    with torch.device("meta"):
        assert parameters(LadderHead(768, 768, depth=12)) == 17_715_456


def test_it_is_the_sum_of_an_mlp_per_block():
    head, tokens = LadderHead(6, 5, hidden=4, last_hidden=7, depth=3), blocks_of(3)
    expected = torch.zeros(2, 3, 5)
    for projector, block in zip(head.projectors.values(), tokens, strict=True):
        expected += nn.Sequential(projector.input, nn.GELU(), projector.output)(block)
    assert_close(head(tokens), expected)


@given(width=st.integers(1, 9), depth=st.integers(1, 6))
def test_earlier_blocks_are_as_wide_as_the_student_and_the_last_four_times(width, depth):
    head = LadderHead(width, 5, depth=depth)
    hidden = [projector.input.out_features for projector in head.projectors.values()]
    assert hidden == [width] * (depth - 1) + [4 * width]


def test_only_the_chosen_blocks_and_the_last_are_read():
    head, tokens = LadderHead(6, 5, blocks=[4, 2], depth=6), blocks_of(6)
    assert list(head.projectors) == ["2", "4", "6"]
    expected = head(tokens)
    for unread in (0, 2, 4):
        tokens[unread] = tokens[unread] * float("nan")
    assert_close(head(tokens), expected)


def test_without_earlier_blocks_it_is_the_basic_projector():
    head, tokens = LadderHead(6, 5, blocks=[], depth=4), blocks_of(4)
    basic = MLPHead(6, 5, hidden_ratio=4, norm=False)
    basic.load_state_dict(head.projectors["4"].state_dict())
    assert_close(head(tokens), basic(tokens[-1]))


def test_class_tokens_and_grids_go_through_alike():
    head, tokens = LadderHead(6, 5, depth=3), blocks_of(3)
    assert_close(head([block[:, 0] for block in tokens]), head(tokens)[:, 0])
    assert_close(head([block[:, None] for block in tokens]), head(tokens)[:, None])


def test_weights_begin_at_a_deviation_of_0_02_and_biases_at_zero():
    head = LadderHead(100, 100, depth=2)
    for projector in head.projectors.values():
        for layer in (projector.input, projector.output):
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05)
            assert not layer.bias.any()


def test_the_gradient_reaches_every_parameter():
    head = LadderHead(6, 5, depth=4)
    head(blocks_of(4)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in head.parameters())


def test_the_ladder_asks_for_the_tokens_of_every_block():
    assert LadderHead.needs_blocks
    assert not hasattr(MLPHead, "needs_blocks")


@pytest.mark.parametrize("blocks", [[0], [12], [3, 40], [-1], [2, 2]])
def test_blocks_out_of_range_or_named_twice_are_refused_with_the_depth(blocks):
    with pytest.raises(ValueError, match=r"depth 12.*1 to 11, got"):
        LadderHead(6, 5, blocks=blocks, depth=12)


def test_tokens_of_another_depth_are_refused():
    with pytest.raises(ValueError, match="for a student of 3 blocks, got 2"):
        LadderHead(6, 5, depth=3)(blocks_of(2))


def test_the_basic_projector_is_linear_gelu_linear():
    head, x = MLPHead(6, 4, norm=False, hidden_ratio=4), torch.randn(2, 3, 6)
    assert head.output.in_features == 24
    assert_close(head(x), nn.Sequential(head.input, nn.GELU(), head.output)(x))


@pytest.mark.parametrize(("ratio", "width"), [(4, 24), (0.5, 3), (0.01, 1)])
def test_the_hidden_width_may_be_a_multiple_of_the_students(ratio, width):
    assert MLPHead(6, 4, hidden_ratio=ratio, widest=9).output.in_features == width


def test_two_ways_to_say_the_hidden_width_are_refused():
    with pytest.raises(ValueError, match="both set one width"):
        MLPHead(6, 4, hidden=5, hidden_ratio=4.0)
