"""A W&B workspace and a report of a study as code: the panels of `phis-lab dashboard`, and one more.

python experiments/dashboards/methods.py outputs/demo
"""

import sys
from pathlib import Path

from phis_lab.commands.dashboard import dashboard_of, rows, save, why_offline
from phis_lab.reports.panels import Panel, PanelSection


def main(study: Path) -> None:
    """Make both where a key of W&B is known, and tell what is in them."""
    made = dashboard_of(study)
    own = PanelSection(
        "Speed",
        "What a panel of one's own is: a kind, a title, and names that were logged.",
        (Panel("bars", "Images per second", ("cost/images_per_s",)),),
    )
    made = made._replace(sections=[*made.sections, own])
    for row in rows(made.sections):
        print(*row, sep="\t")  # noqa: T201
    for name, address in ({} if why_offline() else save(made)).items():
        print(name, address)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
