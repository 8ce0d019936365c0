import os
import shutil

import pytest

from phis_lab.data import fingerprint
from phis_lab.data.fingerprint import fingerprint_files
from phis_lab.data.source import digest


@pytest.fixture(params=["whole", "sampled"])
def files(request, tmp_path, monkeypatch):
    """Three files of 10 kB, read whole or by samples."""
    if request.param == "sampled":
        monkeypatch.setattr(fingerprint, "_READ_WHOLE", 1000)
    made = {}
    for name in "abc":
        made[name] = tmp_path / "set" / name
        made[name].parent.mkdir(exist_ok=True)
        made[name].write_bytes(os.urandom(10_000))
    return made


def replaced(file, content):
    """Rewrites a file in place and gives it back its time of modification, as copying programs do."""
    times = file.stat()
    file.write_bytes(content)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_fingerprint_follows_the_content_wherever_the_files_lie(files, tmp_path):
    before = fingerprint_files(files)
    assert fingerprint_files(files) == before
    shutil.copytree(tmp_path / "set", tmp_path / "copy")
    assert fingerprint_files({name: tmp_path / "copy" / name for name in files}) == before


def test_a_file_of_the_same_size_and_time_changes_the_fingerprint(files):
    seen = {fingerprint_files(files)}
    content = bytearray(files["b"].read_bytes())
    for place in (0, 5000, 9999):
        content[place] ^= 1
        replaced(files["b"], bytes(content))
        seen.add(fingerprint_files(files))
    assert len(seen) == 4


def test_names_and_what_else_is_known_change_the_fingerprint(files, monkeypatch):
    monkeypatch.setattr(fingerprint, "_READ_WHOLE", 1000)
    renamed = {"x" if name == "a" else name: file for name, file in files.items()}
    made = [fingerprint_files(files), fingerprint_files(renamed), fingerprint_files(files, ["label 3"])]
    assert len(set(made)) == 3


def test_a_small_set_is_the_digest_of_names_sizes_and_contents(files, monkeypatch):
    monkeypatch.setattr(fingerprint, "_READ_WHOLE", 10**6)
    contents = [digest(file.read_bytes()) for file in files.values()]
    assert fingerprint_files(files, ["ignored"]) == digest("a 10000", "b 10000", "c 10000", *contents)


def test_a_large_set_is_sampled_once(files, monkeypatch):
    monkeypatch.setattr(fingerprint, "_READ_WHOLE", 1000)
    before = fingerprint_files(files)
    monkeypatch.setattr(fingerprint, "sample_digest", lambda path: pytest.fail(f"{path} is read again"))
    assert fingerprint_files(files) == before


def test_a_file_that_is_gone_is_no_error(files):
    files["a"].unlink()
    assert len(fingerprint_files(files)) == 64


def test_names_that_are_no_unicode_count():
    assert digest("\udcff.png") != digest("\udcfe.png")
