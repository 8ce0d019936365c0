"""What processors can do by their data sheets, and which part of it networks have been measured to use."""

from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Literal

Number = Literal["bfloat16", "float32"]
GPUS_PER_MACHINE = 8


@dataclass(frozen=True)
class Device:
    """One processor.

    Args:
        name: as one types it.
        about: which product it is.
        tflops: dense products by the type of their factors, in 10^12 operations a second; float32 is never TF32. A
            type that the hardware does not multiply is missing.
        memory_gb: in 10^9 bytes; None where it is not known.
        bandwidth: of its memory, in GB/s.
        link: to the others in its machine, in GB/s and one direction.
        network: of its machine to other machines, by all adapters together, in GB/s and one direction.
        source: of these figures.
    """

    name: str
    about: str
    tflops: dict[Number, float]
    memory_gb: float | None
    bandwidth: float
    link: float
    network: float
    source: str

    def number(self, wanted: str) -> Number:
        """The type in which products are computed for a precision of the configuration."""
        if wanted == "float32" or "bfloat16" not in self.tflops:
            return "float32"
        return "bfloat16"

    def link_among(self, count: int) -> float:
        """GB/s in one direction of a ring over `count` of them; between machines, of one ring for each adapter."""
        return self.link if count <= GPUS_PER_MACHINE else min(self.link, self.network)


_NVIDIA = "NVIDIA's data sheet"
_FLOAT16 = "its tensor cores know float16 alone, which phis_lab does not use"

DEVICES = {
    device.name: device
    for device in (
        Device(
            "a100",
            "A100 SXM 80 GB",
            {"bfloat16": 312.0, "float32": 19.5},
            80.0,
            2039.0,
            300.0,
            200.0,
            f"{_NVIDIA} of the A100 80GB; DGX A100: eight 200 Gb/s adapters for eight GPUs",
        ),
        Device(
            "a100-40gb",
            "A100 SXM 40 GB",
            {"bfloat16": 312.0, "float32": 19.5},
            40.0,
            1555.0,
            300.0,
            200.0,
            f"{_NVIDIA} of the A100; DGX A100: eight 200 Gb/s adapters for eight GPUs",
        ),
        Device(
            "h100",
            "H100 SXM 80 GB",
            {"bfloat16": 989.0, "float32": 67.0},
            80.0,
            3350.0,
            450.0,
            400.0,
            f"{_NVIDIA} of the H100 SXM; DGX H100: eight 400 Gb/s adapters for eight GPUs",
        ),
        Device(
            "h200",
            "H200 SXM 141 GB",
            {"bfloat16": 989.0, "float32": 67.0},
            141.0,
            4800.0,
            450.0,
            400.0,
            f"{_NVIDIA} of the H200 SXM; DGX H200: eight 400 Gb/s adapters for eight GPUs",
        ),
        Device(
            "l40s",
            "L40S 48 GB",
            {"bfloat16": 362.0, "float32": 91.6},
            48.0,
            864.0,
            32.0,
            25.0,
            f"{_NVIDIA} of the L40S; PCIe 4.0 x16 within a machine, one 200 Gb/s adapter between machines",
        ),
        Device(
            "v100",
            "V100 SXM2 32 GB",
            {"float32": 15.7},
            32.0,
            900.0,
            150.0,
            50.0,
            f"{_NVIDIA} of the V100; DGX-1: four 100 Gb/s adapters for eight GPUs; {_FLOAT16}",
        ),
        Device(
            "t4",
            "T4 16 GB",
            {"float32": 8.1},
            16.0,
            320.0,
            16.0,
            12.5,
            f"{_NVIDIA} of the T4; PCIe 3.0 x16 within a machine, one 100 Gb/s adapter between machines; {_FLOAT16}",
        ),
        Device(
            "cpu",
            "two cores of a server CPU",
            {"bfloat16": 0.64, "float32": 0.32},
            None,
            20.0,
            5.0,
            1.25,
            "round figures and no data sheet: 2.5 GHz, two AVX-512 units a core, which multiply bfloat16 twice as fast",
        ),
    )
}
"""By the names that one types. A new one is a row here, or given by its figures."""


@dataclass(frozen=True)
class Utilisation:
    """Which part of a device's rate a pass through a network uses.

    Args:
        value: in (0, 1].
        source: where it was measured.
    """

    value: float
    source: str


TEACHERS = Utilisation(
    0.42,
    "SAM ViT-H in bfloat16 with torch.compile and fused attention on an A100: 21.9 images/s of 5.96 TFLOP "
    "(segment-anything-fast, p4d_results/results_bs8_vit_h.csv; the mask decoder's time is in it; without the two it "
    "is 14.9 images/s, a utilisation of 0.28)",
)
"""Of forward passes of large vision transformers."""

STUDENT = Utilisation(
    0.43,
    "a transformer of 125 M parameters on sequences of 512 tokens in bfloat16 on 8 A100: 42.6 % "
    "(MosaicML llm-foundry, scripts/train/benchmarking)",
)
"""Of forward and backward passes of a student."""


@dataclass(frozen=True)
class Machine:
    """What a run is planned for.

    Args:
        device: each rank's.
        ranks: how many there are.
        teachers: which part of the device's rate teachers use.
        student: likewise a student.
        price: of a device for an hour; None where it is not known.
    """

    device: Device
    ranks: int
    teachers: Utilisation = TEACHERS
    student: Utilisation = STUDENT
    price: float | None = None


def given(value: float) -> Utilisation:
    """A utilisation that the user knows better."""
    return Utilisation(value, "given with --mfu")


def device(name: str, rate: float | None = None, memory_gb: float | None = None, link: float | None = None) -> Device:
    """A device of the table, or with figures of one's own.

    Args:
        name: of the table; with `rate` and `memory_gb` any name.
        rate: TFLOP/s of dense products, in whichever type they are computed.
        memory_gb: in 10^9 bytes.
        link: GB/s in one direction, within a machine and between machines.

    Raises:
        ValueError: there is no such device, and its figures are not given.
    """
    known = DEVICES.get(name.lower())
    if known is None:
        if rate is None or memory_gb is None:
            near = get_close_matches(name.lower(), DEVICES, n=1)
            guess = f" Did you mean {near[0]}?" if near else ""
            raise ValueError(
                f"--gpu {name}: no such device; there are {', '.join(DEVICES)}.{guess} Another one is planned "
                "for by its own figures: --rate-tflops, --memory-gb and --link"
            )
        wide = DEVICES["l40s"]
        known = replace(wide, name=name, about=name, source=f"bandwidths of {wide.about}, as none are given")
    if rate is not None:
        known = replace(known, tflops={"bfloat16": rate, "float32": rate})
    if memory_gb is not None:
        known = replace(known, memory_gb=memory_gb)
    if link is not None:
        known = replace(known, link=link, network=link)
    own = [
        option
        for option, value in (("--rate-tflops", rate), ("--memory-gb", memory_gb), ("--link", link))
        if value is not None
    ]
    return replace(known, source=f"{known.source}; {', '.join(own)} as given") if own else known
