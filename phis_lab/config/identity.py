"""What identifies the features that statistics are gathered from."""

from phis_lab.teachers import TeacherPool


def feature_identity(pool: TeacherPool, device: str, data: str) -> dict[str, dict[str, str]]:
    """What identifies the spatial features of each teacher that has any, wherever its weights lie.

    Args:
        pool: the teachers.
        device: kind of device that computes, "cpu" or "cuda"; the precision depends on it.
        data: fingerprint of the images.
    """
    return {
        name: {"teacher": name, "data": data} | {key: str(value) for key, value in facts.items() if key != "source"}
        for name, facts in pool.describe(device).items()
        if facts["spatial_dim"] is not None
    }
