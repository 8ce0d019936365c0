"""Devices by name and by their own figures."""

import pytest

from phis_lab.plan import DEVICES, device


def test_an_unknown_device_lists_the_known_ones():
    with pytest.raises(
        ValueError, match=r"no such device; there are a100, .*Did you mean h100\?.*--rate-tflops"
    ) as raised:
        device("h10")
    assert all(name in str(raised.value) for name in DEVICES)


def test_own_figures_make_any_device_and_change_a_known_one():
    new = device("b300", rate=2000.0, memory_gb=288.0)
    assert (new.tflops["bfloat16"], new.memory_gb) == (2000.0, 288.0)
    slow = device("A100", link=1.0)
    assert slow.link_among(2) == slow.link_among(64) == 1.0
    assert "--link as given" in slow.source


def test_a_device_without_bfloat16_computes_in_float32():
    assert [device(name).number("auto") for name in ("a100", "v100", "t4")] == ["bfloat16", "float32", "float32"]
    assert device("a100").number("float32") == "float32"


def test_every_device_names_where_its_figures_come_from():
    assert all(known.source and known.tflops["float32"] > 0 for known in DEVICES.values())
    assert all(known.memory_gb for name, known in DEVICES.items() if name != "cpu")
