"""`phis-lab`, or `python -m phis_lab`; where only the library is installed, it tells what the bench lacks."""

from phis_lab import missing_bench
from phis_lab.refusals import told


def main() -> None:
    """Run a command.

    Raises:
        SystemExit: the command failed, or the bench is not installed.
    """
    with told():
        try:
            from phis_lab.cli import app  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(missing_bench("the command line", error), name=error.name) from error
    app(prog_name="phis-lab")


if __name__ == "__main__":
    main()
