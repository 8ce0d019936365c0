import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from phis_lab.evals.neighbours.exact import side_by_side

CPU = torch.device("cpu")


@pytest.fixture(params=[1, 2, 5])
def threads(request):
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(1)


@given(count=st.integers(0, 20), threads=st.integers(1, 5))
def test_every_row_is_worked_on_once_and_in_order(count, threads):
    torch.set_num_threads(threads)
    try:
        parts = side_by_side(lambda span: list(range(count))[span], count, CPU)
    finally:
        torch.set_num_threads(1)
    assert len(parts) == threads
    assert [row for part in parts for row in part] == list(range(count))


def test_the_work_runs_side_by_side_on_one_torch_thread_each_and_without_gradients(threads):
    everybody = threading.Barrier(threads)

    def work(span):
        everybody.wait(timeout=60)
        return torch.get_num_threads(), torch.is_grad_enabled()

    assert side_by_side(work, 10, CPU) == [(1, False)] * threads
    assert torch.get_num_threads() == threads
    assert torch.is_grad_enabled()


def test_on_another_device_there_is_one_span(threads):
    assert side_by_side(lambda span: (span.start, span.stop), 10, torch.device("meta")) == [(0, 10)]


def test_an_error_of_the_work_arrives_and_the_threads_are_given_back(threads):
    def work(span):
        raise ArithmeticError(f"rows {span.start} to {span.stop}")

    with pytest.raises(ArithmeticError, match="rows 0 to"):
        side_by_side(work, 10, CPU)
    assert torch.get_num_threads() == threads
