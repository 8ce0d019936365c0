"""Losses that compare summaries refuse teachers that have none, before anything trains."""

import pytest

from phis_lab.losses import MSE, AngleSummary, Loss


class OfEvery(MSE):
    wants_summary = "of every"


@pytest.mark.parametrize(
    ("loss", "dims", "fine"),
    [
        (MSE(), {"sam": None}, True),
        (AngleSummary(MSE()), {"sam": None, "clip": 8}, True),
        (AngleSummary(MSE()), {"sam": None, "ppocr": None}, False),
        (OfEvery(), {"sam": None, "clip": 8}, False),
        (OfEvery(), {"clip": 8}, True),
    ],
)
def test_summaries_that_a_loss_wants_must_be_there(loss: Loss, dims: dict[str, int | None], fine: bool) -> None:
    if fine:
        loss.check(dims)
        return
    with pytest.raises(ValueError, match=r"wants a summary of (some|every) teacher, and there is none of sam"):
        loss.check(dims)
