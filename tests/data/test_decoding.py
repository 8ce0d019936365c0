"""Every kind of image file becomes uint8 RGB by the rules of docs/data.md."""

import io
import struct
import zlib

import numpy as np
import PIL
import pytest
import torch
from PIL import Image, ImageCms

from phis_lab.data.decoding import CorruptImageError, decode_image, readable_endings

RAMP = np.arange(65536, dtype=np.uint16).reshape(256, 256)
HIGH_BYTE = torch.from_numpy((RAMP >> 8).astype(np.uint8)).expand(3, 256, 256)
WHITE = [255, 255, 255]


def encoded(image, kind, **options):
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def tiff(values, bits, photometric, sample_format=1):
    """A grey or RGB TIFF of one strip, as no writer at hand makes it."""
    height, width, channels = values.shape
    entries = {
        256: (3, [width]),
        257: (3, [height]),
        258: (3, [bits]),
        259: (3, [1]),
        262: (3, [photometric]),
        273: (4, [200]),
        277: (3, [channels]),
        278: (3, [height]),
        279: (4, [values.nbytes]),
        339: (3, [sample_format]),
    }
    if channels == 3:  # three equal entries need a place of their own
        entries[258], entries[339] = (3, [180] * 3), (3, [190] * 3)
    table = struct.pack("<H", len(entries))
    for tag, (kind, numbers) in entries.items():
        value = struct.pack("<I", numbers[0]) if len(numbers) == 3 or kind == 4 else struct.pack("<HH", numbers[0], 0)
        table += struct.pack("<HHI", tag, kind, len(numbers)) + value
    head = b"II*\0" + struct.pack("<I", 8) + table + bytes(4)
    lists = struct.pack("<3H", *[bits] * 3).ljust(10, b"\0") + struct.pack("<3H", *[sample_format] * 3)
    return head.ljust(180, b"\0") + lists.ljust(20, b"\0") + values.tobytes()


def png(colour, bits, rows):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width = rows.shape[:2]
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize(
    "file",
    [
        encoded(RAMP, "PNG"),
        encoded(RAMP, "TIFF"),
        encoded(RAMP.astype(">u2"), "TIFF"),
        b"P5 256 256 65535\n" + RAMP.astype(">u2").tobytes(),
        tiff(RAMP[..., None].repeat(3, 2), 16, photometric=2),
        png(2, 16, RAMP[..., None].repeat(3, 2).astype(">u2")),
        png(4, 16, np.stack([RAMP, np.full_like(RAMP, 65535)], -1).astype(">u2")),
        tiff(65535 - RAMP[..., None], 16, photometric=0),
    ],
    ids=["png", "tiff", "big endian", "pgm", "rgb tiff", "rgb png", "grey and alpha", "white is zero"],
)
def test_sixteen_bits_keep_their_high_byte(file):
    assert torch.equal(decode_image(file, "deep"), HIGH_BYTE)


def test_floats_from_black_0_to_white_1_are_read_and_others_are_refused():
    levels = np.arange(256, dtype=np.float32).reshape(16, 16) / 255
    assert torch.equal(decode_image(encoded(levels, "TIFF"), "f")[0].flatten(), torch.arange(256).byte())
    for wrong in (levels * 255, levels - 1, np.full_like(levels, np.nan)):
        with pytest.raises(CorruptImageError, match=r"depth\.tif .*0 is black and 1 is white"):
            decode_image(encoded(wrong, "TIFF"), "depth.tif")


def test_integers_without_a_defined_white_are_refused_by_name():
    signed = tiff(RAMP[..., None].astype(np.int16), 16, photometric=1, sample_format=2)
    for file in (encoded(RAMP.astype(np.int32), "TIFF"), signed):
        with pytest.raises(CorruptImageError, match=r"ct\.tif .*32 bits or a sign"):
            decode_image(file, "ct.tif")


def cut_out():
    """Noise below alpha 0, a red square, one pixel of half alpha."""
    pixels = np.random.default_rng(0).integers(0, 255, (8, 8, 4)).astype(np.uint8)
    pixels[..., 3] = 0
    pixels[2:4, 2:4] = (200, 0, 0, 255)
    pixels[6, 6] = (0, 0, 0, 128)
    return pixels


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "TGA"])
def test_what_is_transparent_is_white(kind):
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    pixels = decode_image(encoded(cut_out(), kind, **options), "cut")
    assert pixels[:, 0, 0].tolist() == WHITE
    assert pixels[:, 2, 2].tolist() == [200, 0, 0]
    assert pixels[:, 6, 6].tolist() == [127] * 3
    assert pixels.unique().tolist() == [0, 127, 200, 255]


@pytest.mark.parametrize(
    ("image", "transparency"),
    [
        (Image.new("1", (4, 4), 0), 0),
        (Image.new("L", (4, 4), 7), 7),
        (Image.new("RGB", (4, 4), (1, 2, 3)), (1, 2, 3)),
        (Image.new("L", (4, 4), 5).convert("P"), 5),
        (Image.new("L", (4, 4), 5).convert("P"), bytes(256)),
        (Image.fromarray(np.full((4, 4), 3, np.uint16)), 3),
        (Image.new("LA", (4, 4), (9, 0)), None),
    ],
    ids=["1 bit", "grey", "rgb", "palette", "palette with alphas", "16 bits", "grey and alpha"],
)
def test_a_transparent_colour_is_white_in_every_mode(image, transparency):
    options = {} if transparency is None else {"transparency": transparency}
    assert decode_image(encoded(image, "PNG", **options), "x").unique().tolist() == [255]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_a_picture_is_turned_upright(kind, orientation):
    stored = np.zeros((16, 24, 3), np.uint8)
    stored[:8, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = encoded(stored, kind, exif=exif)
    shown = decode_image(file, "phone")[0].float()
    flips = {1: (), 2: (1,), 3: (0, 1), 4: (0,), 5: (), 6: (0,), 7: (0, 1), 8: (1,)}[orientation]
    expected = torch.from_numpy(stored[..., 0]).flip(flips).float()
    assert shown.shape == (expected if orientation < 5 else expected.T).shape
    torch.testing.assert_close(shown, expected if orientation < 5 else expected.T, atol=60, rtol=0)


def test_a_damaged_orientation_does_not_make_an_image_corrupt():
    exif = Image.Exif()
    exif[0x0112] = 6
    file = encoded(np.zeros((8, 8, 3), np.uint8), "JPEG", exif=exif)
    at = file.index(b"Exif\0\0") + 6
    assert decode_image(file[:at] + b"\xff" * 8 + file[at + 8 :], "x").shape == (3, 8, 8)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("CMYK", "JPEG"),
        ("CMYK", "TIFF"),
        pytest.param(
            *("YCbCr", "TIFF"),
            marks=pytest.mark.skipif(
                int(PIL.__version__.split(".")[0]) < 13, reason="Pillow before 13 cannot read its own"
            ),
        ),
        ("LAB", "TIFF"),
        ("1", "TIFF"),
    ],
)
def test_other_colour_spaces_become_rgb(mode, kind):
    colour = Image.new("RGB", (16, 16), (200, 30, 40) if mode != "1" else (255, 255, 255))
    image = colour if mode == "LAB" else colour.convert(mode)
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.applyTransform(colour, ImageCms.buildTransform(*profiles, "RGB", "LAB"))
    found = decode_image(encoded(image, kind), "x").float().mean((1, 2))
    torch.testing.assert_close(found, torch.tensor(colour.getpixel((0, 0))).float(), atol=4, rtol=0)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP", "MPO"])
def test_the_first_picture_of_several_is_read(kind):
    first, second = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    red, _, blue = decode_image(encoded(first, kind, save_all=True, append_images=[second]), "x")[:, 4, 4].tolist()
    assert (red > 250, blue < 5) == (True, True)


def test_what_is_no_sound_image_is_refused_with_the_reason():
    progressive = encoded(
        np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8), "JPEG", progressive=True
    )
    assert decode_image(progressive, "x").shape == (3, 64, 64)
    bomb = png(2, 8, np.zeros((1, 1, 3), np.uint8))
    bomb = bomb[:16] + struct.pack(">II", 60000, 60000) + bomb[24:29] + struct.pack(">I", 0) + bomb[33:]
    bomb = bomb[:29] + struct.pack(">I", zlib.crc32(bomb[12:29])) + bomb[33:]
    cases = {
        "truncated": progressive[: len(progressive) // 2],
        "no image": b"<html>404</html>",
        "is empty": b"",
        "too large": bomb,
    }
    for reason, file in cases.items():
        with pytest.raises(CorruptImageError, match=rf"x\.jpg does not decode: .*{reason}"):
            decode_image(file, "x.jpg")


def test_a_large_image_below_the_limit_is_read_without_a_warning(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60)
    assert decode_image(encoded(np.zeros((8, 8, 3), np.uint8), "PNG"), "x").shape == (3, 8, 8)


def test_the_usual_kinds_can_be_read():
    assert {".jpg", ".png", ".tif", ".webp", ".gif", ".bmp", ".mpo", ".jp2", ".ppm"} <= readable_endings()
