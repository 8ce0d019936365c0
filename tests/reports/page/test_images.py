import torch

from phis_lab.reports.page.images import images_of
from phis_lab.reports.page.svg import inline_svg
from phis_lab.whole_files import save_sealed


def write(folder, **columns):
    folder.mkdir(exist_ok=True)
    pixels = {name: torch.full((2, side, side, 3), 9, dtype=torch.uint8) for name, side in columns.items()}
    save_sealed(folder / "pictures.safetensors", pixels, {})


def test_columns_stand_in_the_order_of_who_sees(tmp_path):
    write(tmp_path, **{"neighbour/1": 8, "prediction/b": 2, "teacher/b": 2, "student": 2, "teacher/<a>": 2, "image": 8})
    figure = images_of(tmp_path)
    titles = [axes.get_title().replace("\n", " ") for axes in figure.axes[:6]]
    assert titles == ["image", "student", "<a>", "b", "student: b", "alike 1"]
    assert len(figure.axes) == 12
    drawn = inline_svg(figure, "f", "images")
    assert drawn.count('href="data:image/png;base64,') == 12
    assert "&lt;a&gt;" in drawn


def test_what_cannot_be_read_is_not_shown(tmp_path):
    assert images_of(tmp_path) is None
    (tmp_path / "pictures.safetensors").write_bytes(b"{")
    assert images_of(tmp_path) is None
    save_sealed(tmp_path / "pictures.safetensors", {"image": torch.zeros(2, 3)}, {})
    assert images_of(tmp_path) is None
