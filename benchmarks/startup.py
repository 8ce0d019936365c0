"""Start-up of `python run.py --cfg job`: against Hydra with nothing behind it, and against importing torch."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.harness import Comparison, in_turns
from benchmarks.memory_use import peak_of_process

ROOT = Path(__file__).resolve().parents[1]
PLAIN = f"""import hydra
@hydra.main(version_base="1.3", config_path={str(ROOT / "conf")!r}, config_name="config")
def main(config):
    pass
main()
"""


def run() -> Iterator[Comparison]:
    """Whole processes, from the shell's view."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "plain.py"
        program.write_text(PLAIN)
        ours = Process([str(ROOT / "run.py"), "--cfg", "job"], folder)
        plain = Process([str(program), "--cfg", "job"], folder)
        torch = Process(["-c", "import torch"], folder)
        said, expected = ours.output(), plain.output()
        assert said == expected, "the two programs print different configurations"
        check = f"both print the same {len(said.splitlines())} lines"
        yield _row("Hydra alone on the same `conf`", "at most 1.1", check, ours, plain)
        yield _row("`python -c 'import torch'`", "below 1", "exit code 0", ours, torch)


class Process:
    """A Python process that is started anew at each call.

    Args:
        arguments: of the interpreter.
        folder: where it runs.
    """

    def __init__(self, arguments: Sequence[str], folder: str) -> None:
        self.command, self.folder = [sys.executable, *arguments], folder

    def __call__(self) -> None:
        """Run it to its end."""
        subprocess.run(self.command, cwd=self.folder, check=True, stdout=subprocess.DEVNULL)

    def output(self) -> str:
        """What it prints."""
        return subprocess.run(self.command, cwd=self.folder, check=True, capture_output=True, text=True).stdout


def _row(peer_name: str, target: str, check: str, ours: Process, peer: Process) -> Comparison:
    row = in_turns(Comparison("startup", "`run.py --cfg job`", peer_name, target, check), ours, peer)
    row.peak_mb = (peak_of_process(ours.command, ours.folder), peak_of_process(peer.command, peer.folder))
    return row
