"""Print the table of figures that README and model card show, from what was measured: ``python scripts/figures.py``.

``tests/test_docs.py`` compares both documents with it, so that no figure in them can be anything but measured.
"""

from __future__ import annotations

import json
from pathlib import Path

MODELS = Path(__file__).parents[1] / "docs" / "models"
ROWS = {
    "happy_sad_votes": "happy against sad, majority of the FER+ votes",
    "happy_sad_label": "happy against sad, original FER2013 labels",
    "three_way": "happy / neutral / sad, likeliest of the three, majority of votes",
    "look_macro_recall": "`look`, mean recall of happy, neutral and sad (`other` counts as an error)",
    "look_lowest_recall": "`look`, lowest of the three recalls",
    "mood_ccc": "`mood` against the votes, concordance correlation",
    "grade_exact": "five grades, the same",
    "grade_within_one": "five grades, at most one step apart",
    "confidence_ece": "calibration error of `confidence` (15 bins of equal mass)",
    "p_ece": "calibration error of `p`",
    "certain": "share of answers that are certain",
    "certain_happy_sad": "happy against sad, certain answers only",
}


def table() -> str:
    """Markdown: one row per figure with its 95 % interval and n, on the FER2013 test rows."""
    figures = json.loads((MODELS / "mood-test.json").read_text())["figures"]
    lines = ["| FER2013 test rows | | 95 % interval | n |", "|---|---|---|---|"]
    for name, words in ROWS.items():
        one = figures[name]
        lines.append(f"| {words} | {one['value']:.3f} | {one['low']:.3f} to {one['high']:.3f} | {one['n']:,} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
