"""What identifies the features that statistics are gathered from."""

from phis_lab.config.teachers import TeacherOptions
from phis_lab.teachers import TeacherPool


def feature_identity(
    pool: TeacherPool, options: TeacherOptions, device: str, data: str, pixels: int
) -> dict[str, dict[str, str]]:
    """What identifies the spatial features of each teacher that has any, wherever its weights lie.

    Args:
        pool: the teachers.
        options: of the set.
        device: kind of device that computes, "cpu" or "cuda"; the precision depends on it.
        data: fingerprint of the images.
        pixels: side of the images that are given to the teachers.
    """
    shared = {"data": data, "pixels": str(pixels), "match": options.match}
    return {
        name: {"teacher": name} | shared | {key: str(value) for key, value in facts.items() if key != "source"}
        for name, facts in pool.describe(device).items()
        if facts["spatial_dim"] is not None
    }
