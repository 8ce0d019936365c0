"""Archives lead nowhere: neither those that are fetched and unpacked, nor the shards that are read."""

import io
import tarfile

import pytest
from torchvision.datasets.utils import extract_archive

from phis_lab.data.download import fetching
from phis_lab.data.webdataset import WebDataset


def entry(name, kind=tarfile.REGTYPE, link="", content=b""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(content)
    return info, content


def archive(path, *entries):
    with tarfile.open(path, "w") as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    "hostile",
    [
        entry("../outside", content=b"x"),
        entry("a/../../outside", content=b"x"),
        entry("out", tarfile.SYMTYPE, "../outside"),
        entry("out", tarfile.SYMTYPE, "/etc/passwd"),
        entry("out", tarfile.LNKTYPE, "../outside"),
        entry("pipe", tarfile.FIFOTYPE),
        entry("device", tarfile.CHRTYPE),
    ],
    ids=["path", "path below", "link", "absolute link", "hard link", "pipe", "device"],
)
def test_an_archive_that_leads_out_of_its_folder_is_not_unpacked(hostile, tmp_path):
    packed, folder = archive(tmp_path / "set.tar", hostile), tmp_path / "set"
    folder.mkdir()
    trusting = tarfile.TarFile.extraction_filter
    with pytest.raises(ValueError, match="an archive is not unpacked that is damaged or leads"), fetching():
        extract_archive(str(packed), str(folder))
    assert not any(folder.iterdir())
    assert not (tmp_path / "outside").exists()
    assert tarfile.TarFile.extraction_filter is trusting


def test_a_sound_archive_is_unpacked(tmp_path):
    packed = archive(tmp_path / "set.tar", entry("a/b.txt", content=b"x"), entry("a/c", tarfile.SYMTYPE, "b.txt"))
    with fetching():
        extract_archive(str(packed), str(tmp_path))
    assert (tmp_path / "a" / "c").read_bytes() == b"x"


def test_a_member_of_a_shard_is_read_within_the_shard(tmp_path, png, caplog):
    out = tmp_path / "secret.png"
    out.write_bytes(png(1))
    shard = archive(
        tmp_path / "train-0.tar",
        entry("/a.png", content=png(0)),
        entry("../../a.png", content=png(0)),
        entry("b.png", tarfile.SYMTYPE, str(out)),
        entry("c.png", tarfile.LNKTYPE, str(out)),
        entry("d.png", tarfile.CHRTYPE),
        entry("e.png", tarfile.FIFOTYPE),
    )
    train = WebDataset(root=str(tmp_path)).read()[0]
    assert [train.image_name(index) for index in range(len(train))] == [f"{shard}:/a.png"]
    assert "1 hidden file (.png), 4 links, sparse or special files" in caplog.text


def test_a_size_below_zero_and_a_label_without_an_end_are_refused(tmp_path, png):
    shard = archive(tmp_path / "train-0.tar", entry("a.png", content=png(0)), entry("b.png", content=png(1)))
    content = bytearray(shard.read_bytes())
    content[124:136] = (2**96 - 1024).to_bytes(12, "big")  # -1024 in the form of large numbers
    checked = content[:148] + b" " * 8 + content[156:512]
    content[148:156] = b"%06o\0 " % sum(checked)
    shard.write_bytes(content)
    with pytest.raises(ValueError, match=r"train-0\.tar"):
        WebDataset(root=str(tmp_path)).read()
    deep = b"[" * 100_000
    archive(shard, entry("a.png", content=png(0)), entry("a.json", content=deep))
    with pytest.raises(ValueError, match="a label is an integer"):
        WebDataset(root=str(tmp_path)).read()
