from pathlib import Path

from phis_lab.folders import cache_folder


def test_the_cache_lies_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("PHIS_LAB_CACHE", str(tmp_path))
    assert cache_folder("data", "digits") == tmp_path / "data" / "digits"
    assert (tmp_path / "data" / "digits").is_dir()


def test_an_empty_variable_means_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PHIS_LAB_CACHE", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == Path(tmp_path, ".cache", "phis_lab")
