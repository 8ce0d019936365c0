"""Targets that several arms of a step are asked to match, mapped once."""

from collections import Counter
from collections.abc import Iterable

from phis_lab.engine.arm import Arm
from phis_lab.features import Features
from phis_lab.normalizers import TeacherSpace


class SharedTargets:
    """One step's targets of those arms whose maps of a teacher are equal to the last bit.

    Arms that differ in their seed, loss, balancer, head or optimiser have equal maps: their statistics are the same.
    A target is kept until the last of its arms has taken it.

    Args:
        arms: that take this step, with the maps that they have in it.
    """

    def __init__(self, arms: Iterable[Arm]) -> None:
        self._left = Counter(
            (teacher, content)
            for arm in arms
            for teacher in arm.student.teachers
            if (content := arm.space(teacher).content()) is not None
        )
        self._kept: dict[tuple[str, str], dict[tuple[object, ...], Features]] = {}

    def of(self, space: TeacherSpace, features: Features) -> Features:
        """What a space makes of features that live as long as the step."""
        content = space.content()
        if content is None:
            return space.targets(features)
        where = space.teacher, content
        kept = self._kept.get(where, {})
        key = tuple((kind, x.data_ptr(), x.shape, x.stride()) for kind, x in features.kinds().items())
        target = kept[key] if key in kept else space.targets(features)
        self._left[where] -= 1
        if self._left[where] > 0:
            self._kept[where] = {**kept, key: target}
        else:
            self._kept.pop(where, None)
        return target
