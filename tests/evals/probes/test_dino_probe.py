"""DINOv2's grid of learning rates, and the images that hyperparameters are chosen on."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from phis_lab.evals import DinoProbe, Embeddings, LinearProbe, dino_linear_probe
from phis_lab.evals.solvers.search import hold_out_of_classes
from phis_lab.evals.solvers.sgd_grid import fit_sgd_grid


def data(n=300, classes=3, dim=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % classes
    return torch.eye(classes, dim)[y] * 2 + torch.randn(n, dim, generator=generator), y


def test_every_rate_gives_the_classifier_that_it_gives_alone():
    x, y = data()
    rates = [1e-3, 0.1, 2.0]
    together = fit_sgd_grid(x, y, rates, batch_size=32)
    for i, rate in enumerate(rates):
        alone = fit_sgd_grid(x, y, [rate], batch_size=32)
        torch.testing.assert_close(together.weight[i], alone.weight[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(together.bias[i], alone.bias[0], rtol=1e-4, atol=1e-5)


def test_whole_batches_take_the_steps_of_torchs_sgd_and_cosine_schedule():
    x, y = data(n=64)
    epochs, rate = 12, 0.8
    ours = fit_sgd_grid(x, y, [rate], epochs=epochs, batch_size=64)
    start = 0.01 * torch.randn(3, 7, generator=torch.Generator().manual_seed(0))
    layer = torch.nn.Linear(6, 3)
    layer.weight.data, layer.bias.data = start[:, :-1].clone(), torch.zeros(3)
    optimizer = torch.optim.SGD(layer.parameters(), lr=rate * 64 / 256, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        optimizer.zero_grad()
        cross_entropy(layer(x), y).backward()
        optimizer.step()
        schedule.step()
    torch.testing.assert_close(ours.weight[0], layer.weight.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.bias[0], layer.bias.detach(), rtol=1e-4, atol=1e-5)


def test_it_touches_no_global_random_stream():
    state = torch.manual_seed(3).get_state()
    x, y = data()
    first = dino_linear_probe(x, y, x, y, epochs=2)
    assert first == dino_linear_probe(x, y, x, y, epochs=2)
    assert torch.equal(torch.get_rng_state(), state)


def test_choosing_on_the_test_images_reports_the_best_test_accuracy():
    x, y = data()
    result = dino_linear_probe(x[:200], y[:200], x[200:], y[200:], rates=[1e-5, 0.1], choose_on="test")
    assert result.accuracy == max(result.choice_accuracies)


def test_a_rate_that_diverges_is_not_chosen_and_all_of_them_are_refused():
    x, y = data()
    x = 1e15 * x
    assert dino_linear_probe(x, y, x, y, rates=[1e-30, 1e30]).rate == 1e-30
    with pytest.raises(ValueError, match="every learning rate diverged"):
        dino_linear_probe(x, y, x, y, rates=[1e30])


@pytest.mark.parametrize("rates", [[], [0.0], [0.1, float("nan")]])
def test_rates_that_are_none_or_not_positive_are_refused(rates):
    x, y = data()
    with pytest.raises(ValueError, match="rates must hold"):
        dino_linear_probe(x, y, x, y, rates=rates)


@given(st.lists(st.integers(0, 4), min_size=2, max_size=60).filter(lambda y: len(set(y)) < len(y)), st.integers(0, 5))
def test_a_fifth_of_every_class_is_held_out_and_none_is_lost(labels, seed):
    y = torch.tensor(labels)
    kept, held = hold_out_of_classes(y, seed=seed)
    assert torch.cat([kept, held]).sort().values.equal(torch.arange(len(y)))
    for label in set(labels):
        members = labels.count(label)
        assert (y[held] == label).sum() == min(max(1, round(0.2 * members)), members - 1)


def test_singleton_classes_alone_are_refused():
    with pytest.raises(ValueError, match="nothing can be held out"):
        hold_out_of_classes(torch.arange(4))


def test_a_linear_probe_with_several_c_tests_the_one_that_it_chose(caplog):
    x, y = data()
    train, test = Embeddings(x[:200], y[:200]), Embeddings(x[200:], y[200:])
    caplog.set_level("INFO")
    scores = LinearProbe(c=[1.0, 1e-6])(train, test)
    chosen = float(caplog.messages[0].split("c = ")[1].split(" ")[0])
    assert scores == LinearProbe(c=chosen)(train, test)


def test_dinos_probe_tells_separated_classes_apart():
    x, y = data(n=600)
    train, test = Embeddings(4 * x[:400], y[:400]), Embeddings(4 * x[400:], y[400:])
    assert DinoProbe()(train, test)["accuracy"] > 0.8
