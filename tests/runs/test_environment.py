import subprocess

import numpy as np
import torch

from phis_lab.runs import environment, git_commit


def git(folder, *arguments):
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_environment_tells_what_computes():
    versions, device = environment()
    assert versions["torch"] == torch.__version__
    assert versions["numpy"] == np.__version__
    assert {"python", "lightning", "timm", "phis_lab"} < set(versions)
    assert device["threads"] == torch.get_num_threads()
    assert device["cpu"]
    assert isinstance(device["bf16"], bool)


def test_commit_is_the_hash_and_says_when_anything_differs(tmp_path):
    git(tmp_path, "init")
    assert git_commit(tmp_path) == "unknown"
    (tmp_path / "file.py").write_text("a = 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert git_commit(tmp_path) == commit
    (tmp_path / "new.py").touch()
    assert git_commit(tmp_path) == f"{commit}+dirty"


def test_commit_is_unknown_outside_git_and_for_a_copy_that_git_ignores(tmp_path):
    assert git_commit(tmp_path) == "unknown"
    git(tmp_path, "init")
    (tmp_path / ".gitignore").write_text("site-packages\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "installed.py").touch()
    assert git_commit(tmp_path / "site-packages") == "unknown"
