"""Options of the training loop itself."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field

from phis_lab.bounds import Positive, Seconds
from phis_lab.precision import Precision, Products, has_bfloat16


@dataclass(frozen=True)
class TrainerOptions:
    """How long and on what.

    Args:
        max_steps: optimisation steps of the whole run; there are no epochs.
        precision: of the student's matrix products; `auto` is bfloat16 where the hardware has it. `float16` is for
            GPUs without bfloat16 (V100, T4): the loss is scaled, by a factor of each arm's own that halves when
            gradients overflow, and such a step leaves the student as it was.
        teacher_precision: the same for the teachers' forward passes.
        target_products: how normalisers that are matrices make targets of teachers' features; `bfloat16x3` takes three
            bfloat16 products in the place of a float32 one, for GPUs that multiply bfloat16 many times faster (on a CPU
            it is slower). PHI-S is then off by about 4e-6 of a standard deviation, whitening by more, as far as
            the teacher's eigenvalues are apart (3e-4 over six decades).
        accelerator: `auto` takes a CUDA device where there is one.
        log_every: steps between logged values.
        step_timeout: seconds after which a step that has not ended is ended, with the arm, the teacher or the data in
            whose code it hangs; null waits for ever. Evaluations are not timed.
        microbatch: images of a step whose activations a student keeps at a time; null keeps those of all. The batch,
            its loss and its gradient stay those of the whole step, whatever loss and balancer, for a forward pass more.
        checkpoint_every: steps between checkpoints; Ctrl-C, SIGTERM, SIGUSR1, SIGUSR2 and SIGHUP save one too.
        memory_gb: teacher features of fixed views stay in memory up to this size.
        compile: the student's forward and backward passes go through torch.compile: faster steps for minutes of
            compilation, other rounding. Evaluations do not.
    """

    max_steps: Positive
    precision: Precision | Literal["float16"] = "auto"
    teacher_precision: Precision = "auto"
    target_products: Products = "float32"
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    log_every: Positive = 25
    step_timeout: Seconds | None = None
    microbatch: Positive | None = None
    checkpoint_every: Positive = 500
    memory_gb: Annotated[float, Field(ge=0, le=1e6)] = 4.0
    compile: bool = False

    @property
    def device(self) -> str:
        """The kind of device that computes: `cuda` where there is one and it is wanted, else `cpu`.

        Raises:
            ValueError: a GPU was asked for and there is none.
        """
        if self.accelerator == "gpu" and not torch.cuda.is_available():
            raise ValueError("accelerator=gpu, but torch sees no CUDA device; choose auto or cpu")
        return "cuda" if self.accelerator != "cpu" and torch.cuda.is_available() else "cpu"

    @property
    def low_precision(self) -> torch.dtype | None:
        """What was asked for, or bfloat16 where `auto` finds hardware for it; None for float32."""
        if self.precision == "float16":
            return torch.float16
        wanted = self.precision == "bfloat16" or (self.precision == "auto" and has_bfloat16(self.device))
        return torch.bfloat16 if wanted else None
