"""Transfer against scikit-learn and a plain optuna loop."""

import warnings

import optuna
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from phis_lab.data import DataSource, TensorImages
from phis_lab.evals.embedding import embed_source
from phis_lab.evals.solvers.search import TPE, hold_out_of_classes
from phis_lab.evals.subject import Subject
from phis_lab.evals.tasks.transfer import UNIC_PENALTY, Transfer, search_penalty, transfer_probe
from phis_lab.features import Features


def clouds(count: int, seed: int, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Overlapping classes in six channels of different scales."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % classes
    centres = torch.eye(classes, 6) * 1.5
    return (centres[y] + torch.randn(count, 6, generator=generator)) * torch.logspace(-1, 1, 6), y


def penalties(trials: int) -> TPE:
    """UNIC's search with fewer trials."""
    return TPE(UNIC_PENALTY.ranges, trials)


def test_the_search_is_the_one_that_optuna_makes_trial_by_trial():
    x, y = clouds(120, 0)
    kept, held = hold_out_of_classes(y, seed=22)

    def objective(trial: optuna.Trial) -> float:
        c = trial.suggest_float("c", 1e-5, 1e6, log=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = LogisticRegression(C=c, max_iter=10_000, tol=1e-8).fit(x[kept].double(), y[kept])
        return float(model.score(x[held].double(), y[held]))

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=22))
    study.optimize(objective, n_trials=16)
    found = search_penalty(x, y, search=penalties(16))
    assert [values["c"] for values, _ in found.tried] == pytest.approx([trial.params["c"] for trial in study.trials])
    assert [a for _, a in found.tried] == pytest.approx([trial.value for trial in study.trials])
    assert found.score == pytest.approx(study.best_value)
    assert found.values["c"] == min(values["c"] for values, accuracy in found.tried if accuracy == found.score)


def test_the_result_is_scikit_learn_s_on_all_images_with_the_chosen_c():
    train, test = clouds(120, 0), clouds(300, 1)
    result = transfer_probe(*train, *test, search=penalties(12))
    model = LogisticRegression(C=result.c, max_iter=10_000, tol=1e-8).fit(train[0].double(), train[1])
    assert result.accuracy == pytest.approx(model.score(test[0].double(), test[1]))
    assert result.converged
    assert result.c == search_penalty(*train, search=penalties(12)).values["c"]


def test_test_images_play_no_part_in_the_choice():
    train, test = clouds(90, 0), clouds(60, 1)
    shuffled = (test[0], test[1].roll(1))
    of_test, of_shuffled = (transfer_probe(*train, *seen, search=penalties(5)) for seen in (test, shuffled))
    assert of_test.c == of_shuffled.c


def test_a_class_of_one_image_cannot_be_split_and_is_named():
    x, y = clouds(30, 0)
    y[0] = 7
    with pytest.raises(ValueError, match=r"class \[7\] \(1 of 4\) have one image; give each class two or more"):
        search_penalty(x, y)


def test_fewer_trials_than_the_random_ones_are_as_many_as_asked():
    assert len(search_penalty(*clouds(60, 0), search=penalties(3)).tried) == 3


class Shades(DataSource):
    """Grey images of 6 x 9 whose brightness says the class."""

    def __init__(self, classes: int = 3) -> None:
        object.__setattr__(self, "classes", classes)
        object.__setattr__(self, "train_images", None)
        object.__setattr__(self, "test_images", None)

    def read(self) -> tuple[TensorImages, TensorImages]:
        def half(name: str, count: int) -> TensorImages:
            labels = torch.arange(count) % self.classes
            images = (40 * labels + 20).to(torch.uint8)[:, None, None].expand(-1, 6, 9).contiguous()
            return TensorImages(name, images, labels, [str(k) for k in range(self.classes)])

        return half("train", 30), half("test", 9)


def brightness(nan: bool = False) -> Subject:
    def tokens(images: torch.Tensor) -> Features:
        cells = torch.nn.functional.avg_pool2d(images, 4).permute(0, 2, 3, 1)
        return Features(images.mean((2, 3)) * (torch.nan if nan else 1.0), 2 * cells)

    return Subject(
        tokens=tokens,
        predictions=lambda _: {},
        teachers=lambda _: {},
        images=lambda _split, _count: [],
        image_size=8,
        device=torch.device("cpu"),
    )


@pytest.mark.parametrize(("which", "factor"), [("summary", [1]), ("spatial", [2]), ("both", [1, 2])])
def test_embeddings_are_of_the_chosen_tokens_of_images_in_order(which, factor):
    features, labels = embed_source(brightness(), Shades().train, which, 7, "bicubic")
    shade = (40 * labels + 20).float()[:, None] / 255
    torch.testing.assert_close(features, torch.cat([f * shade.expand(-1, 3) for f in factor], 1))
    assert torch.equal(labels, torch.arange(30) % 3)


def test_a_student_without_the_tokens_is_refused():
    without = Subject(**(vars(brightness()) | {"tokens": lambda images: Features(images.mean((2, 3)), None)}))
    with pytest.raises(ValueError, match="tokens=both were asked for, which this network does not have"):
        embed_source(without, Shades().train, "both", 8, "bicubic")


def test_transfer_reports_every_set_and_the_plain_mean():
    scores = Transfer({"three": Shades(), "five": Shades(5)}, trials=4)(brightness())
    assert set(scores) == {"three", "five", "mean"}
    assert scores["mean"] == pytest.approx((scores["three"] + scores["five"]) / 2)
    assert scores["three"] == 1.0


def test_what_goes_wrong_names_its_set():
    with pytest.raises(ValueError, match="transfer to shades: the features of an image hold NaN"):
        Transfer({"shades": Shades()}, trials=2)(brightness(nan=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sets": {}}, "one set or more"),
        ({"sets": {"mean": Shades()}}, "none of them named mean"),
        ({"sets": {"shades": Shades()}, "c_range": (1.0, 1.0)}, "smallest to the largest C"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Transfer(**options)
