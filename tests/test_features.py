"""What features can be asked for, whichever kinds they have."""

import pytest
import torch
from torch.testing import assert_close

from phis_lab.features import Features

SUMMARY, SPATIAL = torch.randn(2, 3), torch.randn(2, 4, 5, 6)


def test_the_kinds_that_there_are_come_summary_first():
    assert list(Features(SUMMARY, SPATIAL).kinds()) == ["summary", "spatial"]
    assert Features(None, SPATIAL).kinds() == {"spatial": SPATIAL}
    assert Features(None, None).kinds() == {}


def test_a_function_is_applied_to_what_there_is():
    doubled = Features(None, SPATIAL).map(lambda x: 2 * x)
    assert doubled.summary is None
    assert torch.equal(doubled.spatial, 2 * SPATIAL)
    half = Features(SUMMARY, SPATIAL).map(torch.Tensor.bfloat16)
    assert {tensor.dtype for tensor in half.float()} == {torch.float32}


def test_one_row_an_image_is_the_summary_the_mean_of_the_tokens_or_both():
    features, mean = Features(SUMMARY, SPATIAL), SPATIAL.flatten(1, 2).mean(1)
    assert torch.equal(features.pooled("summary"), SUMMARY)
    assert_close(features.pooled("spatial"), mean)
    assert_close(features.pooled("both"), torch.cat([SUMMARY, mean], 1))
    with pytest.raises(ValueError, match="tokens=both were asked for"):
        Features(None, SPATIAL).pooled("both")


def test_a_network_without_a_summary_is_told_by_the_mean_of_its_tokens():
    assert torch.equal(Features(SUMMARY, SPATIAL).per_image(), SUMMARY)
    assert_close(Features(None, SPATIAL).per_image(), SPATIAL.flatten(1, 2).mean(1))
