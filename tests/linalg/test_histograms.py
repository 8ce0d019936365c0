import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from phis_lab.linalg.histograms import BLOCK_ROWS, Histograms


def rows(count=1000, channels=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, channels, generator=generator, dtype=torch.float64) * torch.tensor([0.1, 1.0, 30.0])


def fixed(bins=20):
    return Histograms(torch.tensor([-0.2, -1.0, 0.0]).double(), torch.tensor([0.2, 2.0, 40.0]).double(), bins)


def test_counts_and_edges_are_numpys():
    x = rows(3 * BLOCK_ROWS + 5)
    found = fixed().update(x)
    for channel in range(3):
        low, high = float(found.low[channel]), float(found.high[channel])
        counts, edges = np.histogram(x[:, channel].numpy(), bins=20, range=(low, high))
        assert found.counts[channel].tolist() == counts.tolist()
        np.testing.assert_allclose(found.edges()[channel].numpy(), edges, atol=1e-12)
        assert int(found.below[channel]) == int((x[:, channel] < low).sum())
        assert int(found.above[channel]) == int((x[:, channel] > high).sum())


def test_values_on_the_bounds_are_inside_and_infinities_outside():
    bounds = Histograms(torch.zeros(1).double(), torch.ones(1).double(), 4)
    bounds.update(torch.tensor([[0.0], [0.25], [1.0], [torch.inf], [-torch.inf]]))
    assert bounds.counts.tolist() == [[1, 1, 0, 1]]
    assert (bounds.below.tolist(), bounds.above.tolist()) == ([1], [1])


@given(split=st.lists(st.integers(0, 1000), max_size=4).map(sorted))
def test_batches_change_nothing(split):
    whole, parts = fixed().update(rows()), fixed()
    for part in rows().tensor_split(split):
        parts.update(part)
    assert torch.equal(whole.counts, parts.counts)
    assert torch.equal(whole.below + whole.above, parts.below + parts.above)


def test_the_density_integrates_to_the_share_inside_the_bounds():
    x = rows()
    found = Histograms.around(x.mean(dim=0), x.std(dim=0), deviations=1.0).update(x)
    inside = ((x - x.mean(dim=0)).abs() <= x.std(dim=0)).double().mean(dim=0)
    areas = (found.density() * found.edges().diff(dim=1)).sum(dim=1)
    torch.testing.assert_close(areas, inside)


def test_a_constant_channel_has_all_its_values_in_the_middle():
    found = Histograms.around(torch.tensor([7.0]).double(), torch.zeros(1).double(), bins=11)
    found.update(torch.full((5, 1), 7.0))
    assert found.counts[0].argmax() == 5
    assert int(found.counts.sum()) == 5


def test_low_precision_features_of_any_shape_are_counted():
    found = fixed().update(rows(60).bfloat16().reshape(3, 4, 5, 3))
    assert int(found.counts.sum() + found.below.sum() + found.above.sum()) == 180


def test_bad_input_is_refused():
    zeros, ones = torch.zeros(2).double(), torch.ones(2).double()
    with pytest.raises(ValueError, match="above its lower one"):
        Histograms(ones, ones)
    with pytest.raises(ValueError, match="above its lower one"):
        Histograms(zeros, ones * torch.nan)
    with pytest.raises(ValueError, match=r"2 channels, got 3 in shape \(5, 3\)"):
        Histograms(zeros, ones).update(torch.zeros(5, 3))
    with pytest.raises(ValueError, match="NaN"):
        Histograms(zeros, ones).update(torch.tensor([[0.5, torch.nan]]))
