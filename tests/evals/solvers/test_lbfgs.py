"""Batched L-BFGS against scipy, torch and itself alone."""

import numpy as np
import pytest
import scipy.optimize
import torch

from phis_lab.evals.solvers.lbfgs import WolfeSearch, minimize


def rosenbrock(x, problems):
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        value = (100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2).sum(dim=1)
        (gradient,) = torch.autograd.grad(value.sum(), x)
    return value.detach(), gradient


def flat(value, gradient):
    return gradient.norm(dim=1) < 1e-8


def quadratics(count=5, n=6):
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(count, n, n, generator=generator, dtype=torch.float64)
    hessian = root @ root.mT + torch.logspace(-2, 2, count, dtype=torch.float64)[:, None, None] * torch.eye(n)
    linear = torch.randn(count, n, generator=generator, dtype=torch.float64)

    def objective(x, problems):
        product = torch.linalg.vecdot(hessian[problems], x[:, None])
        return torch.linalg.vecdot(x, product / 2 - linear[problems]), product - linear[problems]

    return objective, torch.linalg.solve(hessian, linear)


def test_quadratics_of_different_conditions_reach_their_closed_form():
    objective, expected = quadratics()
    found = minimize(objective, torch.zeros_like(expected), flat, max_iterations=200)
    assert found.converged.all()
    torch.testing.assert_close(found.x, expected)
    assert found.iterations.unique().numel() > 1


def test_rosenbrock_reaches_the_minimum_that_scipy_and_torch_reach():
    start = torch.tensor([[-1.2, 1.0], [2.0, -1.5]], dtype=torch.float64)
    found = minimize(rosenbrock, start, flat, max_iterations=200)
    peer = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [peer], max_iter=500, tolerance_grad=1e-9, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        value = (100 * (peer[:, 1] - peer[:, 0] ** 2) ** 2 + (1 - peer[:, 0]) ** 2).sum()
        value.backward()
        return value

    optimizer.step(closure)
    torch.testing.assert_close(found.x, peer.detach(), rtol=1e-6, atol=1e-6)
    for point, reached in zip(start, found.x, strict=True):
        result = scipy.optimize.minimize(
            scipy.optimize.rosen, point.numpy(), jac=scipy.optimize.rosen_der, method="L-BFGS-B", options={"ftol": 0}
        )
        np.testing.assert_allclose(reached, result.x, rtol=1e-4)


def test_a_problem_in_a_batch_takes_the_steps_that_it_takes_alone():
    start = 2 * torch.randn(6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    together = minimize(rosenbrock, start, flat, max_iterations=500)
    for row in range(len(start)):
        alone = minimize(rosenbrock, start[row : row + 1], flat, max_iterations=500)
        torch.testing.assert_close(together.x[row], alone.x[0])
        assert together.iterations[row] == alone.iterations[0]


def test_finished_problems_are_no_longer_evaluated():
    objective, expected = quadratics()
    asked = []

    def counted(x, problems):
        asked.append(problems.tolist())
        return objective(x, problems)

    start = torch.zeros_like(expected)
    start[2] = expected[2]
    found = minimize(counted, start, flat, max_iterations=200)
    assert found.iterations[2] == 0
    assert not any(2 in problems for problems in asked[1:])


def test_each_problem_may_have_its_own_limit_of_steps():
    start = torch.tensor([[-1.2, 1.0]] * 3, dtype=torch.float64)
    found = minimize(rosenbrock, start, flat, max_iterations=torch.tensor([0, 3, 500]))
    assert found.iterations.tolist()[:2] == [0, 3]
    assert found.converged.tolist() == [False, False, True]
    torch.testing.assert_close(found.x[0], start[0])


def test_a_problem_that_rounding_stops_ends_unconverged():
    found = minimize(rosenbrock, torch.full((1, 4), 2.0), lambda value, gradient: value < -1, max_iterations=10_000)
    assert not found.converged
    assert found.iterations < 10_000


@pytest.mark.parametrize("first", [1e-3, 1.0, 50.0])
def test_the_line_search_ends_where_the_strong_wolfe_conditions_hold(first):
    def phi(t):
        return (t - 2) ** 4 - t, 4 * (t - 2) ** 3 - 1

    value, slope = phi(0.0)
    search = WolfeSearch(value, slope, step=first)
    for _ in range(30):
        here = phi(search.step)
        if search.tell(*here):
            break
    assert here[0] <= value + 1e-4 * search.step * slope
    assert abs(here[1]) <= 0.9 * abs(slope)


def test_a_step_to_infinity_is_taken_back():
    search = WolfeSearch(1.0, -1.0, step=8.0)
    assert not search.tell(float("inf"), float("nan"))
    assert 0 < search.step < 8
