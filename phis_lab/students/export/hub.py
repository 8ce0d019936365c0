"""A student in the layout of the Hugging Face hub: `config.json`, `model.safetensors` and its card, `README.md`."""

from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils._validators import validate_repo_id

from phis_lab.refusals import one_line
from phis_lab.students.export_folder import HUB, Description, write_student
from phis_lab.students.student import Student

CARD = "README.md"


def write(folder: Path, student: Student, description: Description, card: str) -> list[Path]:
    """Writes the three files; `PretrainedStudent.from_pretrained` and `load_student` read them.

    Args:
        folder: to write into.
        student: folded.
        description: of it.
        card: Markdown.
    """
    written = write_student(folder, student, description, overwrite=True, names=HUB)
    (folder / CARD).write_text(card, encoding="utf-8")
    return [*written, folder / CARD]


def refuse_repository(repository: str) -> None:
    """Raise ValueError, before anything is loaded, for what is no name of a repository, or where the hub is off."""
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise ValueError(f"--push-to-hub {repository!r} names no repository: {one_line(error)}") from error
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        raise ValueError(f"--push-to-hub {repository} cannot be reached while HF_HUB_OFFLINE is set; unset it")


def upload(folder: Path, repository: str) -> str:
    """Uploads the three files in one commit, to a repository that is made where there is none.

    Args:
        folder: that `write` filled.
        repository: `owner/name`, or a name of the user's own.

    Returns:
        The address of the commit.

    Raises:
        ValueError: the hub did not take them.
    """
    api = huggingface_hub.HfApi()
    try:
        name = api.create_repo(repository, repo_type="model", exist_ok=True).repo_id
        commit = api.upload_folder(
            repo_id=name,
            repo_type="model",
            folder_path=folder,
            allow_patterns=[*HUB, CARD],
            commit_message="A student exported by phis_lab",
        )
    except Exception as error:  # its type changes with the HTTP library that the hub's client uses
        raise ValueError(
            f"the hub did not take {folder} as {repository} ({one_line(error)}); the files are whole: log in with "
            f"`hf auth login` and send them with `hf upload {repository} {folder}`"
        ) from error
    return str(getattr(commit, "commit_url", commit))
