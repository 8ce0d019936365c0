"""What a command says when it ends before its time."""

import pytest

from phis_lab.refusals import told


def test_a_key_that_interrupts_is_no_error_of_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end, told():
        raise KeyboardInterrupt
    assert end.value.code == 130
    assert capsys.readouterr().err == "\nStopped.\n"


def test_a_refusal_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end, told():
        raise ValueError("seed=-1 is below 0")
    assert end.value.code == 1
    assert capsys.readouterr().err.startswith("\nseed=-1 is below 0\n")


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_the_traceback_is_there_for_whoever_asks(error: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(error), told():
        raise error
