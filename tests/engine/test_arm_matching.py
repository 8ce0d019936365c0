"""What arms are compared with teachers by, against numpy on all tokens at once."""

from typing import Any

import numpy as np
import pytest
import torch
from small_arms import make_arm

from phis_lab.engine import OptimizerRecipe
from phis_lab.engine.arm import Arm
from phis_lab.engine.matching.arm_matching import ArmMatching, KeptByMaps, MatchingScores, TargetMoments
from phis_lab.engine.matching.group_matching import GroupMatching
from phis_lab.features import Features, match_grid
from phis_lab.linalg import Moments
from phis_lab.losses import MSE, Uniform
from phis_lab.metrics.preservation import cosine_preservation
from phis_lab.normalizers import Identity, RandomProjection, TeacherSpace
from phis_lab.seeds import RandomStream
from phis_lab.students import IdentityHead, Student, ViT
from phis_lab.teachers import TeacherPool

IMAGES = 24
CHEAP = {"mse", "fidelity", "fidelity_global", "cosine", "error_variance_range"}
SPECTRUM = {"unexplained_first_half", "unexplained_last_tenth"}


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(IMAGES, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def targets(pool: TeacherPool, images: torch.Tensor, grid: tuple[int, int] = (2, 2)) -> dict[str, Features]:
    return {name: f._replace(spatial=match_grid(f.spatial, grid)) for name, f in pool(images).items()}


def fitted(pool: TeacherPool, images: torch.Tensor, **changes: Any) -> Arm:
    arm = make_arm(pool, **changes).eval()
    moments = {name: Moments(f.spatial.shape[-1]).update(f.spatial) for name, f in targets(pool, images).items()}
    arm.fit(moments, 0)
    return arm


def scores(
    pool: TeacherPool, images: torch.Tensor, arms: dict[str, Arm], full: bool = True, grid: tuple[int, int] = (2, 2)
) -> dict[str, MatchingScores]:
    matching = GroupMatching(arms, pool.teachers, full=full)
    for batch in images.split(7):
        matching.update(batch, {(2, 2): targets(pool, batch, grid)})
    return matching.compute()


def rows(features: torch.Tensor) -> np.ndarray:
    return features.detach().double().numpy().reshape(-1, features.shape[-1])


def cka(x: np.ndarray, y: np.ndarray) -> float:
    """By kernels of all rows and the centring matrix."""
    centring = np.eye(len(x)) - 1 / len(x)
    k, m = (centring @ side @ side.T @ centring for side in (x, y))
    return float((k * m).sum() / np.linalg.norm(k) / np.linalg.norm(m))


def cka_unbiased(x: np.ndarray, y: np.ndarray) -> float:
    """By Song et al. 2012, equation 5."""

    def hsic(k: np.ndarray, m: np.ndarray) -> float:
        n, k, m = len(k), k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
        ends = k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (k.sum(0) @ m.sum(0))
        return float((np.trace(k @ m) + ends) / (n * (n - 3)))

    k, m = x @ x.T, y @ y.T
    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


def unexplained(pred: np.ndarray, target: np.ndarray, start: float, stop: float) -> float:
    """Errors projected on principal components, summed between two partitions of the variance by interpolation."""
    variances, basis = np.linalg.eigh(np.cov(target.T))
    variances, basis = variances[::-1], basis[:, ::-1]
    errors = ((pred - target) @ basis).var(axis=0, ddof=1)
    partitions = np.append(0, np.cumsum(variances) / variances.sum())
    between = np.diff(np.interp([start, stop], partitions, np.append(0, np.cumsum(errors))))
    return float(between[0] / (stop - start) / variances.sum())


def rank(tokens: np.ndarray) -> float:
    """RankMe, equations 1 and 2."""
    values = np.linalg.svd(tokens, compute_uv=False)
    partitions = values / values.sum()
    return float(np.exp(-(partitions * np.log(partitions + 1e-300)).sum()))


def test_every_number_is_that_of_all_tokens_at_once(pool: TeacherPool, images: torch.Tensor) -> None:
    arm = fitted(pool, images)
    found = scores(pool, images, {"phis": arm})["phis"]
    with torch.no_grad():
        tokens, predictions = arm.predict(images)
        for teacher, target in targets(pool, images).items():
            answer = arm.space(teacher).restored(predictions[teacher])
            normalized = rows(predictions[teacher].spatial - arm.space(teacher).spatial(target.spatial))
            for kind in ("spatial", "summary"):
                said, wanted, seen = (rows(getattr(features, kind)) for features in (answer, target, tokens))
                expected = {
                    "mse": ((said - wanted) ** 2).mean(),
                    "fidelity": wanted.var(axis=0).mean() / ((said - wanted) ** 2).mean(),
                    "fidelity_global": wanted.var() / ((said - wanted) ** 2).mean(),
                    "error_variance_range": np.ptp((said - wanted).var(axis=0)),
                    "cka": cka(seen, wanted),
                    "cka_unbiased": cka_unbiased(seen, wanted),
                }
                if kind == "spatial":
                    expected |= {
                        "error_variance_range_normalized": np.ptp(normalized.var(axis=0)),
                        "unexplained_first_half": unexplained(said, wanted, 0, 0.5),
                        "unexplained_last_tenth": unexplained(said, wanted, 0.9, 1),
                    }
                values = found.teachers[teacher][kind]
                assert values.keys() == expected.keys() | {"cosine"}
                assert {name: values[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    expected = {f"effective_rank/{kind}": rank(rows(getattr(tokens, kind))) for kind in ("spatial", "summary")}
    assert found.student == pytest.approx(expected, rel=1e-5)


def test_arms_that_share_the_targets_have_the_numbers_of_their_own(pool: TeacherPool, images: torch.Tensor) -> None:
    arms = {"phis": fitted(pool, images), "identity": fitted(pool, images, normalizer=Identity, seed=3)}
    together = scores(pool, images, arms)
    assert together["phis"] != together["identity"]
    for label, arm in arms.items():
        assert together[label] == scores(pool, images, {label: arm})[label]


def test_while_training_only_the_cheap_numbers_are_taken(pool: TeacherPool, images: torch.Tensor) -> None:
    arm = fitted(pool, images)
    cheap, full = (scores(pool, images, {"phis": arm}, full=full)["phis"] for full in (False, True))
    assert cheap.student == {}
    assert cheap.teachers["loud"]["summary"].keys() == CHEAP
    assert cheap.teachers["loud"]["spatial"].keys() == CHEAP | {"error_variance_range_normalized"}
    for teacher, kinds in cheap.teachers.items():
        for kind, values in kinds.items():
            assert values.items() <= full.teachers[teacher][kind].items()


def test_a_student_that_says_the_mean_explains_nothing(pool: TeacherPool, images: torch.Tensor) -> None:
    arm = fitted(pool, images)
    for head in arm.student.spatial_heads.values():
        for parameter in head.parameters():
            parameter.data.zero_()
    values = scores(pool, images, {"phis": arm})["phis"].teachers["quiet"]["spatial"]
    assert {name: values[name] for name in SPECTRUM} == pytest.approx(dict.fromkeys(SPECTRUM, 1.0), rel=1e-5)
    assert values["fidelity"] == pytest.approx(1.0, rel=1e-5)


def test_features_finer_than_the_students_tokens_are_compared_on_their_own_grid(
    pool: TeacherPool, images: torch.Tensor
) -> None:
    arm = fitted(pool, images)
    coarse = scores(pool, images, {"phis": arm})["phis"]
    fine = scores(pool, images, {"phis": arm}, grid=(4, 4))["phis"]
    tokens = arm.predict(images)[0].spatial
    wanted = targets(pool, images, (4, 4))["loud"].spatial
    expected = cka(rows(match_grid(tokens, (4, 4))), rows(wanted))
    assert fine.teachers["loud"]["spatial"]["cka"] == pytest.approx(expected, rel=1e-5)
    assert fine.student == pytest.approx(coarse.student)


def test_a_kind_that_nobody_predicts_is_not_compared(pool: TeacherPool, images: torch.Tensor) -> None:
    arm = fitted(pool, images)
    del arm.student.summary_heads["loud"]
    found = scores(pool, images, {"phis": arm})["phis"]
    assert found.teachers["loud"].keys() == {"spatial"}
    assert found.teachers["quiet"].keys() == {"spatial", "summary"}


def test_fewer_than_four_rows_leave_out_what_takes_more(pool: TeacherPool, images: torch.Tensor) -> None:
    found = scores(pool, images[:3], {"phis": fitted(pool, images)})["phis"]
    assert found.teachers["loud"]["summary"].keys() == CHEAP
    assert found.teachers["loud"]["spatial"].keys() > SPECTRUM | {"cka", "cka_unbiased"}
    assert found.student.keys() == {"effective_rank/spatial"}


def test_parts_on_other_images_join_their_teachers_and_keep_the_first_student() -> None:
    first = MatchingScores({"a": {"spatial": {"mse": 1.0}}}, {"effective_rank/spatial": 3.0})
    second = MatchingScores({"b": {"spatial": {"mse": 2.0}}}, {"effective_rank/spatial": 4.0})
    joined = MatchingScores({}, {}).joined(first).joined(second)
    assert joined == MatchingScores(first.teachers | second.teachers, first.student)


def test_moments_of_other_targets_are_refused(pool: TeacherPool, images: torch.Tensor) -> None:
    arm, other = fitted(pool, images), TargetMoments()
    other.update(targets(pool, images[:5]))
    matching = ArmMatching(arm, other)
    matching.update(*arm.predict(images), targets(pool, images))
    with pytest.raises(ValueError, match="moments of the same rows, got 24 and 5"):
        matching.compute()


def test_a_map_is_described_by_what_it_keeps(pool: TeacherPool) -> None:
    dim = pool.teachers["loud"].spatial_dim
    maps = {"loud": RandomProjection(dim, 8).fit(Moments(dim).update(torch.randn(100, dim) + 3))}
    backbone = ViT(image_size=16, patch_size=8, width=8, depth=1, heads=2)
    student = Student(backbone, IdentityHead, {"loud": (8, 8)})
    spaces = {"loud": TeacherSpace("loud", maps["loud"])}
    arm = Arm(student, spaces, MSE(), Uniform(), OptimizerRecipe(torch.optim.SGD, 0.1), RandomStream(0))
    kept = KeptByMaps(arm)
    rows = torch.randn(20, dim) + 3
    kept.update({"loud": Features(rows[:12], None)})
    kept.update({"loud": Features(rows[12:], None)})
    found = kept.compute()
    assert found["map/loud/singular_min"] == pytest.approx(found["map/loud/singular_max"], rel=1e-5)
    expected = cosine_preservation(rows - maps["loud"].shift, maps["loud"](rows))
    assert found["map/loud/pearson"] == pytest.approx(float(expected["pearson"]), rel=1e-6)
    assert KeptByMaps(make_arm(pool)).compute() == {}


def test_what_is_matched_in_the_students_space_has_names_of_its_own(pool: TeacherPool, images: torch.Tensor) -> None:
    chosen = {"loud": targets(pool, images)["loud"]}
    dim = pool.teachers["loud"].spatial_dim
    maps = {"loud": RandomProjection(dim, 8).fit(Moments(dim).update(chosen["loud"].spatial))}
    student = Student(ViT(image_size=16, patch_size=8, width=8, depth=1, heads=2), IdentityHead, {"loud": (8, 8)})
    spaces = {"loud": TeacherSpace("loud", maps["loud"])}
    arm = Arm(student, spaces, MSE(), Uniform(), OptimizerRecipe(torch.optim.SGD, 0.1), RandomStream(0)).eval()
    shared = TargetMoments()
    shared.update(chosen)
    matching = ArmMatching(arm, shared)
    tokens, predictions = arm.predict(images)
    matching.update(tokens.__class__(*(t.detach() for t in tokens)), predictions, chosen)
    found = matching.compute().teachers["loud"]["spatial"]
    assert {f"{name}_mapped" for name in CHEAP} <= found.keys()
    assert not found.keys() & (CHEAP | SPECTRUM)
    goal = maps["loud"](chosen["loud"].spatial).double()
    error = (predictions["loud"].spatial.detach().double() - goal).square().mean()
    assert found["mse_mapped"] == pytest.approx(float(error), rel=1e-5)
