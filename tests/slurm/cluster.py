"""A Slurm cluster of one machine in a folder: munge, slurmctld and slurmd, for whoever runs it; no systemd, no cgroups.

`python tests/slurm/cluster.py COMMAND ...` runs a command in one, to try things by hand.
"""

import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROGRAMS = ("setpriv", "munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel")
STARTS_S = 60
CONFIGURATION = """
ClusterName=one
SlurmctldHost=localhost
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobRequeue=1
KillWait=60
ReturnToService=2
NodeName=localhost NodeAddr=127.0.0.1 CPUs={cpus}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""
"""A requeued job waits for `cred_expire` seconds, two minutes where it is left alone."""


def missing() -> list[str]:
    """Programs of Slurm that this machine lacks."""
    return [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]


@contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Start a cluster; the environment in which `sbatch` and the others find it is yielded.

    Args:
        folder: empty, of a short path; logs and state of the daemons.

    Raises:
        RuntimeError: it is not ready in time; the last lines of the logs.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SUBMITIT_"))}
    environment |= {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": _path()}
    _configure(folder)
    with ExitStack() as daemons, _left_in_order():
        socket_at, key = folder / "munge.socket", folder / "munge.key"
        files = [f"--{name}-file={folder}/munged.{name}" for name in ("pid", "seed", "log")]
        _start(["munged", "--foreground", f"--socket={socket_at}", f"--key-file={key}", *files], environment, daemons)
        _wait(socket_at.exists, folder)
        _start(["slurmctld", "-D"], environment, daemons)
        _start(["slurmd", "-D", "-N", "localhost"], environment, daemons)
        _wait(lambda: "idle" in asked(environment, "sinfo", "--noheader", "--format=%T"), folder)
        try:
            yield environment
        finally:
            asked(environment, "scancel", "--signal=KILL", "--full", f"--user={getpass.getuser()}")
            asked(environment, "scancel", f"--user={getpass.getuser()}")
            _wait(lambda: not asked(environment, "squeue", "--noheader").strip(), folder)


@contextmanager
def _left_in_order() -> Iterator[None]:
    """Let SIGTERM raise, so that jobs and daemons are ended before this process."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def asked(environment: dict[str, str], *command: str) -> str:
    """What a command of Slurm prints, whether it succeeds or not."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def _configure(folder: Path) -> None:
    for name in ("state", "spool"):
        (folder / name).mkdir()
    folder.chmod(0o755)  # munged refuses a folder that others can write to
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(1024))
    with socket.create_server(("", 0)) as first, socket.create_server(("", 0)) as second:
        ports = [at.getsockname()[1] for at in (first, second)]
    cpus = max(2, os.cpu_count() or 1)
    text = CONFIGURATION.format(folder=folder, ports=ports, user=getpass.getuser(), cpus=cpus)
    (folder / "slurm.conf").write_text(text, encoding="utf-8")


def _start(command: list[str], environment: dict[str, str], daemons: ExitStack) -> None:
    log = subprocess.DEVNULL
    command = ["setpriv", "--pdeathsig", "TERM", *command]  # they end with this process, however it ends
    daemon = subprocess.Popen(command, env=environment, stdin=log, stdout=log, stderr=log, start_new_session=True)
    daemons.callback(_stop, daemon)


def _stop(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    try:
        daemon.wait(timeout=10)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def _wait(ready: Callable[[], bool], folder: Path) -> None:
    end = time.monotonic() + STARTS_S
    while not ready():
        if time.monotonic() > end:
            logs = "\n".join(log.read_text(errors="replace")[-2000:] for log in sorted(folder.glob("*.log")))
            raise RuntimeError(f"Slurm is not ready after {STARTS_S} s:\n{logs}")
        time.sleep(0.2)


if __name__ == "__main__":
    if missing():
        sys.exit(
            f"Slurm is not installed ({', '.join(missing())}): apt-get install slurmctld slurmd slurm-client munge"
        )
    with tempfile.TemporaryDirectory(prefix="slurm") as place, cluster(Path(place)) as inside:
        sys.exit(subprocess.run(sys.argv[1:], env=inside, check=False).returncode)
