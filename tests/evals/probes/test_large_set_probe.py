"""UNIC's probe for large sets against torch's own SGD and a plain loop of optuna."""

import math

import optuna
import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from phis_lab.evals import LargeSetProbe, large_set_probe
from phis_lab.evals.probes.large_set import UNIC_SGD
from phis_lab.evals.score import Embeddings
from phis_lab.evals.solvers.search import TPE, hold_out_of_classes
from phis_lab.evals.solvers.sgd_grid import fit_sgd_grid


def clouds(count: int, seed: int, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Overlapping classes in six channels."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % classes
    return torch.eye(classes, 6)[y] + 0.6 * torch.randn(count, 6, generator=generator), 7 + 2 * y


def test_weights_decay_as_in_torchs_sgd() -> None:
    x, labels = clouds(64, 0)
    y = (labels - 7) // 2
    rates, decays = [0.5, 2.0], [0.3, 0.01]
    ours = fit_sgd_grid(x, y, rates, weight_decays=decays, epochs=3, batch_size=64)
    start = fit_sgd_grid(x, y, [1e-30], epochs=1, batch_size=64)
    for i, (rate, decay) in enumerate(zip(rates, decays, strict=True)):
        weight = start.weight[0].clone().requires_grad_()
        bias = start.bias[0].clone().requires_grad_()
        optimizer = torch.optim.SGD([weight, bias], lr=rate, momentum=0.9, weight_decay=decay)
        for step in range(3):
            optimizer.param_groups[0]["lr"] = rate * 64 / 256 * 0.5 * (1 + math.cos(math.pi * step / 3))
            optimizer.zero_grad()
            cross_entropy(x @ weight.T + bias, y).backward()
            optimizer.step()
        torch.testing.assert_close(ours.weight[i], weight.detach())
        torch.testing.assert_close(ours.bias[i], bias.detach())


def test_the_search_is_the_one_that_optuna_makes_trial_by_trial() -> None:
    (x, labels), (test_x, test_labels) = clouds(90, 0), clouds(60, 1)
    kept, held = hold_out_of_classes(labels, seed=22)
    unit = normalize(x, dim=1)

    def accuracy(rows: torch.Tensor, values: dict[str, float], seen: torch.Tensor, truth: torch.Tensor) -> float:
        rate, decay = values["rate"] * 256 / 16, values["weight_decay"]
        options = {"weight_decays": [decay], "epochs": 4, "batch_size": 16, "seed": 22}
        fitted = fit_sgd_grid(unit[rows], (labels[rows] - 7) // 2, [rate], **options)
        return float((fitted.predict(normalize(seen, dim=1))[0] == (truth - 7) // 2).double().mean())

    def objective(trial: optuna.Trial) -> float:
        values = {
            "rate": trial.suggest_float("rate", 0.1, 100, log=True),
            "weight_decay": trial.suggest_float("weight_decay", 1e-12, 1e-4, log=True),
        }
        return accuracy(kept, values, x[held], labels[held])

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=22))
    study.optimize(objective, n_trials=12)
    found = large_set_probe(x, labels, test_x, test_labels, search=TPE(UNIC_SGD.ranges, 12), epochs=4, batch_size=16)
    assert found.held_out_accuracy == pytest.approx(study.best_value)
    best = [trial for trial in study.trials if trial.value == pytest.approx(study.best_value)]
    assert found.rate == pytest.approx(min(trial.params["rate"] for trial in best))
    chosen = {"rate": found.rate, "weight_decay": found.weight_decay}
    assert found.accuracy == pytest.approx(accuracy(torch.arange(90), chosen, test_x, test_labels))


def test_the_length_of_features_means_nothing() -> None:
    (x, y), (test_x, test_y), few = clouds(60, 0), clouds(30, 1), TPE(UNIC_SGD.ranges, 3)
    plain = large_set_probe(x, y, test_x, test_y, search=few, epochs=2, batch_size=16)
    longer = large_set_probe(x * 64, y, test_x * 64, test_y, search=few, epochs=2, batch_size=16)
    assert longer == plain


def test_a_class_of_one_image_is_refused() -> None:
    x, y = clouds(30, 0)
    y[0] = 99
    with pytest.raises(ValueError, match=r"class \[99\]"):
        large_set_probe(x, y, x, y)


def test_as_a_probe_it_gives_an_accuracy() -> None:
    train, test = Embeddings(*clouds(60, 0)), Embeddings(*clouds(30, 1))
    assert 0.5 < LargeSetProbe(trials=2, epochs=3, batch_size=16)(train, test)["accuracy"] <= 1
