"""One arm beside all teachers, and what its maps keep of them where it compresses them."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from phis_lab.engine.arm import Arm
from phis_lab.evals.score import Score
from phis_lab.features import Features, Kind, match_grid
from phis_lab.linalg import Moments
from phis_lab.metrics import CrossMoments, TeacherMatching, rank_of, spectrum_along
from phis_lab.metrics.cka import LEAST_ROWS
from phis_lab.metrics.preservation import cosine_preservation, orthogonality
from phis_lab.normalizers import Compression
from phis_lab.runs import TeacherMetrics

MOST_KEPT, LEAST_KEPT = 1000, 3
Key = tuple[str, Kind]
TokenGrid = tuple[Kind, tuple[int, ...]]
"""Kind of the student's tokens, and their grid; summaries have none."""


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
                if sum(map(len, kept)) < MOST_KEPT:
                    kept.append(target.per_image())

    def compute(self) -> dict[str, Score]:
        """Numbers by `map/<teacher>/<name>`; none for an arm whose maps are no compressions."""
        found: dict[str, Score] = {}
        for teacher, parts in self._summaries.items():
            if sum(map(len, parts)) >= LEAST_KEPT:
                map_, rows = self.arm.space(teacher).spatial, torch.cat(parts)[:MOST_KEPT]
                assert isinstance(map_, Compression)
                seen = rows - map_.shift.to(rows)  # angles, seen from the point that the map sends to the origin
                values = orthogonality(map_.weight) | cosine_preservation(seen, map_(rows))  # type: ignore[arg-type]
                described = {name: Score(float(x), unit="", higher_is_better=None) for name, x in values.items()}
                found |= {f"map/{teacher}/{name}": score for name, score in described.items()}
        return found


class MatchingScores(NamedTuple):
    """What one arm's comparison with all teachers came to."""

    teachers: TeacherMetrics
    student: dict[str, Score]
    """`effective_rank/spatial` and `effective_rank/summary` of the student's tokens: 1 to their channels; and of an arm
    that compresses its teachers `map/<teacher>/<name>`, see `orthogonality` and `cosine_preservation`."""

    def joined(self, other: "MatchingScores") -> "MatchingScores":
        """With other teachers, matched on other images; the student's own numbers stay, where there are any."""
        return MatchingScores(self.teachers | other.teachers, self.student or other.student)


class TargetMoments:
    """Mean and covariance of all teachers' features on one grid, kept once for all arms that are compared with them."""

    def __init__(self) -> None:
        self._moments: dict[Key, Moments] = {}

    def update(self, targets: Mapping[str, Features]) -> None:
        """Adds a batch."""
        for teacher, features in targets.items():
            for kind, target in features.kinds().items():
                self._moments.setdefault((teacher, kind), Moments(target.shape[-1])).update(target)

    def __getitem__(self, key: Key) -> Moments:
        """Moments of a teacher's features of one kind."""
        return self._moments[key]


class ArmMatching:
    """Streaming comparison of one arm with all teachers, each in its own space.

    Per teacher and kind of feature it gives what `TeacherMatching` describes, and with `shared` also

    - `cka`, `cka_unbiased`: `linear_cka` of the backbone's tokens with the teacher's features: patch tokens (on the
      grid of the features) with spatial ones, class tokens with summaries. No head and no normaliser come between.
    - `unexplained_first_half`, `unexplained_last_tenth`, of spatial features: the error's variance over the teacher's,
      along the leading principal components that hold half of the teacher's variance, and along the trailing ones that
      hold the last tenth. 0 is perfect, 1 what predicting the mean scores. See `ErrorSpectrum.unexplained_between`.

    An arm that compresses its teachers is compared with them in its own space: what `TeacherMatching` gives is then
    called `mse_mapped` and so on, for it is no match for the others'.

    These, and the student's effective ranks, are left out for fewer than four rows. All processes are expected to see
    the same images; so every one of them has the numbers of all images.

    Args:
        arm: of whom the predictions are, in evaluation mode.
        shared: moments of the very targets that `update` is given; None for `TeacherMatching` alone, which takes no
            products of all channels.
    """

    def __init__(self, arm: Arm, shared: TargetMoments | None = None) -> None:
        self.arm, self.shared = arm, shared
        self._matching: dict[Key, TeacherMatching] = {}
        self._errors: dict[str, Moments] = {}
        self._tokens: dict[TokenGrid, Moments] = {}
        self._cross: dict[Key, tuple[TokenGrid, CrossMoments]] = {}
        self._maps = KeptByMaps(arm)

    def update(self, tokens: Features, predictions: Mapping[str, Features], targets: Mapping[str, Features]) -> None:
        """Adds a batch.

        Args:
            tokens: of the student's backbone.
            predictions: in the normalised space, on the grids of the targets.
            targets: of every teacher; a kind that the student does not predict is not compared.

        Raises:
            ValueError: grid or channels of a prediction and its target differ, or features hold NaN or inf.
        """
        placed: dict[TokenGrid, Tensor] = {
            (kind, tuple(rows.shape[1:-1])): rows for kind, rows in tokens.kinds().items()
        }
        for teacher, target in targets.items():
            answer, goal = self.arm.space(teacher).comparable(predictions[teacher], target)
            answers, raw = answer.kinds(), target.kinds()
            for kind, wanted in goal.kinds().items():
                if kind in answers:
                    normalized = predictions[teacher].spatial if goal is target else None
                    self._match((teacher, kind), answers[kind], wanted, normalized)
                    if self.shared is not None:
                        self._compare((teacher, kind), answers[kind], raw[kind], placed)
        if self.shared is not None:
            self._maps.update(targets)
            for where, rows in placed.items():
                self._tokens.setdefault(where, Moments(rows.shape[-1])).update(rows)

    def _match(self, key: Key, answer: Tensor, target: Tensor, normalized: Tensor | None) -> None:
        teacher, kind = key
        if key not in self._matching:
            self._matching[key] = TeacherMatching(target.shape[-1], sync_on_compute=False).to(target.device)
        metric = self._matching[key]
        if kind == "spatial" and normalized is not None:
            metric.update(answer, target, normalized, self.arm.space(teacher).targets(Features(None, target)).spatial)
        else:
            metric.update(answer, target)

    def _compare(self, key: Key, answer: Tensor, target: Tensor, placed: dict[TokenGrid, Tensor]) -> None:
        teacher, kind = key
        if kind == "spatial" and self.arm.space(teacher).is_invertible:
            self._errors.setdefault(teacher, Moments(target.shape[-1])).update(answer - target)
        where = kind, tuple(target.shape[1:-1])
        if where not in placed:
            tokens = next((rows for (other, _), rows in placed.items() if other == kind), None)
            if tokens is None:
                return
            placed[where] = match_grid(tokens, (target.shape[1], target.shape[2]))
        rows = placed[where]
        if key not in self._cross:
            self._cross[key] = where, CrossMoments(rows.shape[-1], target.shape[-1], target.device)
        self._cross[key][1].update(rows, target)

    def compute(self) -> MatchingScores:
        """Returns the numbers over everything seen.

        Raises:
            ValueError: the shared moments are of other targets.
        """
        teachers: TeacherMetrics = {}
        for key, metric in self._matching.items():
            matched = metric.compute()
            if not self.arm.space(key[0]).is_invertible:
                matched = {f"{name}_mapped": value for name, value in matched.items()}
            values = matched | self._alignment(key) | self._spectrum(key)
            teachers.setdefault(key[0], {})[key[1]] = {name: float(value) for name, value in values.items()}
        return MatchingScores(teachers, self._ranks() | self._maps.compute())

    def _alignment(self, key: Key) -> dict[str, Tensor]:
        if self.shared is None or key not in self._cross:
            return {}
        where, cross = self._cross[key]
        tokens = self._tokens[where]
        return cross.cka(tokens, self.shared[key]) if tokens.count >= LEAST_ROWS else {}

    def _spectrum(self, key: Key) -> dict[str, Tensor]:
        teacher, kind = key
        if self.shared is None or kind == "summary" or teacher not in self._errors:
            return {}
        if self._errors[teacher].count < LEAST_ROWS:
            return {}
        spectrum = spectrum_along(*self.shared[key].eigh(), self._errors[teacher].covariance)
        bounds = {"unexplained_first_half": (0.0, 0.5), "unexplained_last_tenth": (0.9, 1.0)}
        return {name: spectrum.unexplained_between(*shares) for name, shares in bounds.items()}

    def _ranks(self) -> dict[str, Score]:
        """Of the tokens as the backbone gives them: a kind's first grid; the others are resampled."""
        native: dict[Kind, Moments] = {}
        for (kind, _), moments in self._tokens.items():
            native.setdefault(kind, moments)
        return {
            f"effective_rank/{kind}": Score(float(rank_of(moments)), unit="rank", higher_is_better=None)
            for kind, moments in native.items()
            if moments.count >= LEAST_ROWS
        }
