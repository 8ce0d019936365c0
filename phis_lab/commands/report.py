"""`phis-lab report`: what it tells in one document."""

from typing import Any

from phis_lab.reports import caveats
from phis_lab.reports.render import Report


def document(made: Report) -> dict[str, Any]:
    """All tables of a report, and the measurements that they are made of."""
    return {
        "studies": [
            {
                "title": section.study.title,
                "baseline": section.baseline,
                "methods": section.methods,
                "measurements": section.numbers.to_dict(orient="records"),
                "sheets": [*section.sheets(), *section.details()],
                "caveats": caveats(section.study),
            }
            for section in made.sections
        ],
        "across": [{"title": of_several.title, "sheet": of_several.sheet} for of_several in made.across],
        "unfinished": made.unfinished,
        "remarks": made.remarks,
        "files": made.files,
    }
