"""`python -m benchmarks.gpu`: one card in minutes, each number beside the limit that the same card was measured at.

Nothing is downloaded: teachers have their true sizes and random weights. On a machine without a GPU the same lines run
on the CPU with tiny sizes, a rehearsal whose numbers mean nothing. A line that fails is told and the others go on; what
was measured so far is in `benchmarks/gpu.json` at any moment, of a rehearsal in the folder for temporary files.
"""

import json
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

import torch
from hydra import compose, initialize_config_dir
from torch import Tensor, nn

from benchmarks.harness import table_line
from benchmarks.parts import PatchTeacher, arm_of
from benchmarks.pocket import CONF
from phis_lab.config.build import build
from phis_lab.config.resolvers import register_resolvers, to_plain
from phis_lab.config.teachers import split
from phis_lab.engine import Arm, View
from phis_lab.evals import knn_predict
from phis_lab.features import Features
from phis_lab.linalg import Moments
from phis_lab.normalizers import Identity, Normalizer, PhiS
from phis_lab.precision import Products, has_bfloat16
from phis_lab.students import ViT
from phis_lab.teachers import Teacher, TeacherPool
from phis_lab.whole_files import write_text

REPEATS = 5
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
IS_GPU = DEVICE.type == "cuda"
FOLDER = Path(__file__).parent if IS_GPU else Path(tempfile.gettempdir())
RESULTS, TABLE = FOLDER / "gpu.json", FOLDER / "GPU.md"


@dataclass(frozen=True)
class Sizes:
    """How large everything is: as in the papers on a GPU, tiny in the rehearsal."""

    product: int = 8192 if IS_GPU else 256
    copy_mb: int = 1024 if IS_GPU else 16
    batch: int = 64 if IS_GPU else 4
    image: int = 256 if IS_GPU else 32
    patch: int = 16
    width: int = 768 if IS_GPU else 32
    depth: int = 12 if IS_GPU else 2
    teacher_dim: int = 1280 if IS_GPU else 48
    teacher_batch: int = 16 if IS_GPU else 2
    eigen: int = 1536 if IS_GPU else 96
    bank: int = 50_000 if IS_GPU else 500


SIZES = Sizes()
LOW = torch.bfloat16 if has_bfloat16(DEVICE.type) else None


@dataclass(frozen=True)
class Row:
    """One number.

    Args:
        name: what was measured.
        value: median of several.
        unit: of it.
        limit: what it is read against, in words.
    """

    name: str
    value: float
    unit: str
    limit: str


def seconds(action: Callable[[], object], repeats: int | None = None) -> float:
    """Median seconds of a call, the first not counted, with what the card still has to do."""
    taken = []
    for turn in range((repeats or REPEATS) + 1):
        _wait()
        started = time.perf_counter()
        action()
        _wait()
        if turn:
            taken.append(time.perf_counter() - started)
    return median(taken)


def _wait() -> None:
    if IS_GPU:
        torch.cuda.synchronize()


class Card:
    """Everything that is measured, in the order in which it is worth having."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        side = SIZES.image // SIZES.patch
        self.images = torch.rand(SIZES.batch, 3, SIZES.image, SIZES.image, generator=generator).to(DEVICE)
        self.spatial = torch.randn(SIZES.batch, side, side, SIZES.teacher_dim, generator=generator).to(DEVICE)
        self.features = {"teacher": Features(None, self.spatial)}
        self.rate, self.bandwidth = 0.0, 0.0

    def rates(self) -> Iterator[Row]:
        """What the card does at best."""
        for dtype in (torch.float32, *(() if LOW is None else (LOW,))):
            a = torch.randn(SIZES.product, SIZES.product, device=DEVICE, dtype=dtype)
            self.rate = 2 * SIZES.product**3 / seconds(partial(torch.matmul, a, a)) / 1e12
            yield Row(
                f"products of {SIZES.product}, {dtype}", self.rate, "TFLOP/s", "the rate that others are read against"
            )
        source = torch.ones(SIZES.copy_mb * 2**18, device=DEVICE)
        target = torch.empty_like(source)
        self.bandwidth = 2 * source.nbytes / seconds(lambda: target.copy_(source)) / 1e9
        yield Row(f"copy of {SIZES.copy_mb} MB on the device", self.bandwidth, "GB/s", "likewise, read and written")

    def step(self) -> Iterator[Row]:
        """An arm's step against a bare loop, PHI-S against identity, and the memory of it."""
        identity, phis, split = self._arm(Identity), self._arm(PhiS), self._arm(PhiS, "bfloat16x3")
        arms = {"identity": identity, "phis": phis, "split": split}
        times = {name: seconds(partial(self._step, arm)) for name, arm in arms.items()}
        bare = seconds(self._bare(identity))
        yield Row(
            "step of an arm with identity",
            SIZES.batch / times["identity"],
            "images/s",
            f"bare loop {SIZES.batch / bare:,.0f}",
        )
        yield Row(
            "the same over a bare loop", times["identity"] / bare, "ratio", "1.00; losses in float32, checks and logs"
        )
        yield Row("PHI-S over identity", times["phis"] / times["identity"], "ratio", "at most 1.05")
        yield Row("the same, target_products=bfloat16x3", times["split"] / times["identity"], "ratio", "at most 1.05")
        if IS_GPU:
            torch.cuda.reset_peak_memory_stats()
            self._step(phis)
            peak = torch.cuda.max_memory_allocated() / 2**30
            yield Row(
                "peak memory of the step",
                peak,
                "GiB",
                f"{torch.cuda.get_device_properties(0).total_memory / 2**30:.0f} GiB",
            )
        self.arm_seconds = times["phis"]

    def _arm(self, method: type[Normalizer], products: Products = "float32") -> Arm:
        teacher = PatchTeacher("teacher", SIZES.teacher_dim, SIZES.image, SIZES.patch)
        pool = TeacherPool({"teacher": teacher}, precision="float32")
        backbone = ViT(SIZES.image, SIZES.patch, width=SIZES.width, depth=SIZES.depth, heads=max(1, SIZES.width // 64))
        return arm_of(pool, backbone, method, low_precision=LOW, products=products).to(DEVICE)

    def _step(self, arm: Arm) -> None:
        arm.step({"all": View(self.images, self.features)}, 1, 1000)

    def _bare(self, arm: Arm) -> Callable[[], None]:
        """The same products and the same optimiser in a loop by hand."""
        optimizer = torch.optim.AdamW(arm.student.parameters(), lr=1e-3, fused=True)
        target = self.spatial

        def step() -> None:
            with torch.autocast(DEVICE.type, LOW, enabled=LOW is not None):
                _, predictions = arm.student(self.images, SIZES.image, ("teacher",))
            nn.functional.mse_loss(predictions["teacher"].spatial.float(), target).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        return step

    def teachers(self) -> Iterator[Row]:
        """Images a second of the four architectures of `radio_set`, and what they leave of twelve solo runs."""
        images = self.images[: SIZES.teacher_batch]
        total, found = 0.0, {}
        for name, make in architectures().items():
            pool = TeacherPool({name: make()}).to(DEVICE)
            taken = found[name] = seconds(partial(pool, images), repeats=3)
            total += taken / len(images)
            yield Row(
                f"teacher {name}", len(images) / taken, "images/s", "true size, random weights, bf16 where faithful"
            )
            del pool
            if IS_GPU:
                torch.cuda.empty_cache()
        arm = self.arm_seconds / SIZES.batch
        share = (total + 12 * arm) / (12 * (total + arm))
        yield Row(
            "twelve arms over twelve solo runs, from these",
            share,
            "ratio",
            f"{1 / 12:.3f} were arms free; teachers cost {total / arm:.1f} arms",
        )
        if not IS_GPU:  # compilation would take longer than the rehearsal
            return
        slowest = max(found, key=found.__getitem__)
        pool = TeacherPool({slowest: architectures()[slowest]()}, compiled=True).to(DEVICE)
        taken = seconds(partial(pool, images), repeats=3)
        yield Row(
            f"teacher {slowest}, compile=true",
            len(images) / taken,
            "images/s",
            f"{len(images) / found[slowest]:,.0f} without",
        )

    def statistics(self) -> Iterator[Row]:
        """Moments, their eigenvectors and nearest neighbours against the plain product of the same size."""
        rows = self.spatial.flatten(0, 2)
        moments = Moments(SIZES.teacher_dim)
        ours, plain = seconds(lambda: moments.update(rows)), seconds(lambda: rows.T @ rows)
        yield Row(f"moments of {len(rows)} tokens", ours / plain, "ratio", "X^T X in float32 is 1")
        matrix = torch.randn(SIZES.eigen, SIZES.eigen, dtype=torch.float64)
        matrix = matrix @ matrix.T
        yield Row(
            f"eigh of {SIZES.eigen} on the CPU",
            seconds(lambda: torch.linalg.eigh(matrix), 1),
            "s",
            "where moments are solved",
        )
        if IS_GPU:
            there = matrix.to(DEVICE)
            yield Row(
                f"eigh of {SIZES.eigen} on the GPU", seconds(lambda: torch.linalg.eigh(there), 1), "s", "the same"
            )
        bank, queries = (torch.randn(n, SIZES.width, device=DEVICE) for n in (SIZES.bank, SIZES.bank // 20))
        labels = torch.randint(0, 10, (SIZES.bank,), device=DEVICE)
        ours = seconds(lambda: knn_predict(bank, labels, queries), 3)
        plain = seconds(lambda: (queries @ bank.T).topk(20), 3)
        yield Row(f"kNN of {len(queries)} in {len(bank)}", ours / plain, "ratio", "product and topk in float32 is 1")

    def transfer(self) -> Iterator[Row]:
        """How fast features come to the device, from pageable and from pinned memory."""
        kept = torch.empty(self.spatial.shape)
        for name, source in (("pageable", kept), *((("pinned", kept.pin_memory()),) if IS_GPU else ())):
            taken = seconds(partial(_copied, source))
            yield Row(
                f"features from {name} memory",
                source.nbytes / taken / 1e9,
                "GB/s",
                f"device copies {self.bandwidth:,.0f}",
            )


def _copied(source: Tensor) -> Tensor:
    return source.to(DEVICE, non_blocking=True, copy=True)


def architectures() -> Mapping[str, Callable[[], Teacher]]:
    """The networks of `radio_set` at their true sizes, or in the rehearsal those of `tiny_set`, with random weights."""
    register_resolvers()
    teachers = "radio_set" if IS_GPU else "tiny_set"
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = to_plain(compose("config", [f"teachers={teachers}", "label=gpu"], return_hydra_config=True))
    members, _ = split(config["teachers"])
    return {name: partial(build, {**node, "weights": None}, f"teachers.{name}") for name, node in members.items()}


def measure(parts: list[Callable[[], Iterator[Row]]]) -> list[Row]:
    """The rows of all parts; one that breaks is told, and its cause with it."""
    rows: list[Row] = []
    for part in parts:
        try:
            for row in part():
                rows.append(row)
                print(f"{row.name:<55} {row.value:>12,.4g} {row.unit:<10} {row.limit}", flush=True)
                write(rows)
        except Exception:
            traceback.print_exc()
            rows.append(Row(f"{part.__name__} (broke)", float("nan"), "", traceback.format_exc().splitlines()[-1]))
            write(rows)
    return rows


def write(rows: list[Row]) -> None:
    """Keep what there is so far, as data and as a table."""
    name = torch.cuda.get_device_name() if IS_GPU else f"{platform.machine()} CPU, a rehearsal with tiny sizes"
    facts = {"device": name, "torch": torch.__version__, "low_precision": str(LOW), "sizes": asdict(SIZES)}
    write_text(RESULTS, json.dumps(facts | {"rows": [asdict(row) for row in rows]}, indent=2) + "\n")
    lines = [table_line("what", "measured", "unit", "read against"), "|---|--:|---|---|"]
    lines += [table_line(row.name, f"{row.value:,.4g}", row.unit, row.limit) for row in rows]
    head = [
        f"# On {name}",
        "",
        f"Written by `make gpu`, torch {torch.__version__}; medians of {REPEATS} or fewer calls.",
        "",
    ]
    write_text(TABLE, "\n".join([*head, *lines, ""]))


def main() -> None:
    """Measure everything; ends with 1 where a part broke."""
    card = Card()
    rows = measure([card.rates, card.step, card.teachers, card.statistics, card.transfer])
    print(f"Written to {RESULTS} and {TABLE}.")
    sys.exit(any("(broke)" in row.name for row in rows))


if __name__ == "__main__":
    main()
