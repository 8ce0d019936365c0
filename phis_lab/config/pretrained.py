"""Exported students as the Hugging Face hub's client loads and saves them."""

from pathlib import Path
from typing import Any

import huggingface_hub
from torch import Tensor, nn

from phis_lab.config.exported import load_exported
from phis_lab.features import Features
from phis_lab.shapes import Float
from phis_lab.students import Student
from phis_lab.students.export.hub import CARD, write
from phis_lab.students.export_folder import HUB, Description, read_description


class PretrainedStudent(nn.Module, huggingface_hub.PyTorchModelHubMixin, library_name="phis-lab"):
    """An exported student with `from_pretrained`, `save_pretrained` and `push_to_hub`.

    `PretrainedStudent.from_pretrained(FOLDER or "owner/name")` reads what `phis-lab export --to hub` wrote, as
    `load_student` does: what the files name is not run, and their digests have to be right.

    Args:
        student: as `load_student` gives it.
        description: of it.
        card: the text of its README.md.
    """

    def __init__(self, student: Student, description: Description, card: str) -> None:
        super().__init__()
        self.student, self.description, self.card = student, description, card

    def forward(
        self, images: Float[Tensor, "batch 3 _ _"], image_size: int | None = None
    ) -> tuple[Features, dict[str, Features]]:
        """Returns the tokens and each teacher's features, as the student does.

        Args:
            images: in [0, 1].
            image_size: at which the student sees them; None for its own.
        """
        answers: tuple[Features, dict[str, Features]] = self.student(images, image_size)
        return answers

    def _save_pretrained(self, save_directory: Path) -> None:
        write(save_directory, self.student, self.description, self.card)

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **options: Any) -> "PretrainedStudent":
        folder = Path(model_id)
        if not folder.is_dir():
            known = ("revision", "cache_dir", "force_download", "local_files_only", "token")
            chosen = {name: options[name] for name in known if name in options}
            wanted = [*HUB, CARD]
            folder = Path(huggingface_hub.snapshot_download(model_id, allow_patterns=wanted, **chosen))
        card = folder / CARD
        text = card.read_text(encoding="utf-8") if card.is_file() else ""
        return cls(load_exported(folder), read_description(folder), text).eval()
