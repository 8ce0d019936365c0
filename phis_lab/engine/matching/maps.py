"""What the maps of an arm that compresses its teachers keep of them."""

from collections.abc import Mapping

import torch
from torch import Tensor

from phis_lab.engine.arm import Arm
from phis_lab.evals.score import Score
from phis_lab.features import Features
from phis_lab.metrics.preservation import cosine_preservation, orthogonality
from phis_lab.normalizers import Compression

MOST_ROWS, LEAST_ROWS = 1000, 3


class KeptByMaps:
    """Streaming collection of summaries, for `orthogonality` and `cosine_preservation` of every compressing map.

    Args:
        arm: whose maps they are.
    """

    def __init__(self, arm: Arm) -> None:
        self.arm = arm
        self._summaries: dict[str, list[Tensor]] = {}

    def update(self, targets: Mapping[str, Features]) -> None:
        """Adds a batch of teacher features, up to a thousand images; patches stand in where there is no summary."""
        for teacher, target in targets.items():
            if isinstance(self.arm.space(teacher).spatial, Compression):
                kept = self._summaries.setdefault(teacher, [])
                if sum(map(len, kept)) < MOST_ROWS:
                    kept.append(target.per_image())

    def compute(self) -> dict[str, Score]:
        """Numbers by `map/<teacher>/<name>`; none for an arm whose maps are no compressions."""
        found: dict[str, Score] = {}
        for teacher, parts in self._summaries.items():
            if sum(map(len, parts)) >= LEAST_ROWS:
                map_, rows = self.arm.space(teacher).spatial, torch.cat(parts)[:MOST_ROWS]
                assert isinstance(map_, Compression)
                seen = rows - map_.shift.to(rows)  # angles, seen from the point that the map sends to the origin
                values = orthogonality(map_.weight) | cosine_preservation(seen, map_(rows))  # type: ignore[arg-type]
                described = {name: Score(float(x), unit="", higher_is_better=None) for name, x in values.items()}
                found |= {f"map/{teacher}/{name}": score for name, score in described.items()}
        return found
