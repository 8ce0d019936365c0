import pytest
import torch

from phis_lab.linalg import Moments, sums


def far_rows(count: int, dim: int, dtype=torch.float32) -> torch.Tensor:
    return (torch.randn(count, dim, generator=torch.Generator().manual_seed(0)) + 100).to(dtype)


def test_without_numpy_many_rows_are_taken_in_float64(monkeypatch):
    rows = far_rows(sums.BULK_ROWS + 5, 24)
    by_numpy = Moments(24).update(rows).covariance
    monkeypatch.setattr(sums, "numpy", lambda: None)
    covariance = Moments(24).update(rows).covariance
    torch.testing.assert_close(covariance, rows.double().T.cov(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(covariance, by_numpy, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("count", [1000, sums.BULK_ROWS + 5])
@pytest.mark.parametrize("masked", [False, True])
def test_neither_blocks_nor_pieces_change_the_moments(monkeypatch, diagonal, count, masked):
    rows = far_rows(count, 24)
    mask = torch.arange(count) % 7 > 0 if masked else None
    whole = Moments(24, diagonal).update(rows, mask)
    monkeypatch.setattr(sums, "BLOCK_BYTES", 24 * 4 * 100)
    monkeypatch.setattr(sums, "PIECE_ROWS", 7)
    cut = Moments(24, diagonal).update(rows, mask)
    assert cut.count == whole.count
    torch.testing.assert_close(cut.mean, whole.mean, rtol=1e-9, atol=0)
    torch.testing.assert_close(cut.variance, whole.variance, rtol=1e-6, atol=0)


def test_a_row_wider_than_a_block_is_a_block(monkeypatch):
    monkeypatch.setattr(sums, "BLOCK_BYTES", 8)
    rows = far_rows(20, 24)
    torch.testing.assert_close(Moments(24).update(rows).covariance, rows.double().T.cov(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_many_rows_of_every_precision_are_right_to_a_millionth_far_from_zero(dtype):
    rows = far_rows(20_000, 32, dtype)
    expected = rows.double().T.cov()
    covariance = Moments(32).update(rows).covariance
    assert (covariance - expected).norm() < 1e-6 * expected.norm()


def test_covariance_and_state_are_symmetric_however_the_rows_came():
    few, many = far_rows(300, 140), far_rows(sums.BULK_ROWS, 140)
    for moments in (Moments(140).update(few), Moments(140).update(many), Moments(140).update(many).update(few)):
        moments.merge(Moments(140).update(few))
        for matrix in (moments.covariance, moments.state_dict()["scatter"]):
            assert torch.equal(matrix, matrix.T)


@pytest.mark.parametrize("value", [1e200, -1e200])
def test_rows_whose_squares_overflow_are_refused(value):
    rows = torch.zeros(10, 3, dtype=torch.float64)
    rows[4, 1] = value
    with pytest.raises(ValueError, match="NaN or inf"):
        Moments(3).update(rows)


def test_updating_leaves_the_number_of_threads_and_the_rows_alone():
    before = torch.get_num_threads()
    rows = far_rows(sums.BULK_ROWS, 8)
    kept = rows.clone()
    Moments(8).update(rows)
    assert torch.get_num_threads() == before
    assert torch.equal(rows, kept)


def test_huge_float32_values_are_summed_in_float64():
    rows = far_rows(100, 5) * 1e30
    torch.testing.assert_close(Moments(5).update(rows).covariance, rows.double().T.cov(), rtol=1e-9, atol=1e50)
