"""The names of the package itself."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

import phis_lab
from phis_lab.cli import app

ROOT = Path(__file__).parents[1]


def test_importing_the_package_imports_nothing_heavy() -> None:
    script = (
        "import sys, phis_lab\n"
        "phis_lab.__version__, dir(phis_lab)\n"
        "heavy = {'torch', 'numpy', 'hydra', 'lightning', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


def test_the_version_is_that_of_the_installed_package_on_the_command_line_too() -> None:
    assert phis_lab.__version__ == version("phis-lab")
    answer = CliRunner().invoke(app, ["--version"])
    assert (answer.exit_code, answer.stdout.strip()) == (0, f"phis-lab {version('phis-lab')}")


@pytest.mark.parametrize("name", phis_lab.__all__)
def test_every_public_name_is_there_and_listed(name: str) -> None:
    assert getattr(phis_lab, name) is not None
    assert name in dir(phis_lab)


def test_public_names_are_the_very_objects_of_their_rooms() -> None:
    from phis_lab import Moments, PhiS, load_student
    from phis_lab.config.exported import load_exported
    from phis_lab.linalg import Moments as Own

    assert Moments is Own
    assert load_student is load_exported
    assert PhiS(4).dim == 4


def test_another_name_is_an_attribute_error_that_lists_them() -> None:
    with pytest.raises(AttributeError, match=r"has no attribute 'Phis'; it has .*PhiS"):
        phis_lab.Phis  # noqa: B018
