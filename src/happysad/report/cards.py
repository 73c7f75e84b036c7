"""A model card (Mitchell et al. 2019) and a data sheet (after Gebru et al. 2021) in Markdown, filled from what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from happysad.report import words

Json = dict[str, Any]


def model_card(report: Json) -> str:
    """The card as Markdown text."""
    data, model = report["data"], report["model"]
    return "\n".join(
        [
            f"# Model card: {model['name']}",
            "",
            "## Model details",
            "",
            f"- Answers, for one face: probabilities of {', '.join(model['classes'])} as people would vote, a mood from",
            "  −1 (sad) to 1 (happy), a calibrated confidence, and whether the answer should be used.",
            "- Form: one ONNX file that carries its contract (crop, classes, calibration).",
            f"- Trained on: {'; '.join(model['trained_on']) or 'not stated in the contract'}.",
            "",
            "## Intended use",
            "",
            "Telling how happy or sad faces look in photos that people agreed to have looked at, in research and in tools for",
            "one's own pictures. Not for inferring what somebody feels: an expression is not a feeling. Inferring emotions at",
            "work and in education is prohibited in the EU (AI Act, Article 5(1)(f)) except for medical or safety reasons, and",
            "people exposed must be told (Article 50(3)).",
            "",
            "## Factors",
            "",
            words.for_everyone(report),
            "",
            *_by_subgroup(report),
            "## Metrics and evaluation data",
            "",
            f"{data['n']:,} faces of {data['manifest']} ({data['split']} rows), judged by",
            f"{'votes' if data['by_votes'] else 'labels'}; {data['unreadable']} unreadable, in {data['not_found']} the face"
            " was not found.",
            "Values are followed by 95 % intervals and the number of faces.",
            "",
            *(f"- **{question}** {answer}" for question, answer in words.three_answers(report)),
            "",
            *_key_figures(report),
            *_per_class(report),
            "## Ethical considerations",
            "",
            "Faces are personal data. happysad works on the user's own machine, sends nothing, and keeps nothing that it was not",
            "asked to keep. What counts as happy or sad is what the voters of the training data saw; other cultures, ages and",
            "conditions may show and read faces otherwise.",
            "",
            "## Caveats",
            "",
            *(f"- {note}" for note in report["notes"]),
            "- Figures hold for faces like these. Measure on your own:",
            "  `happysad evaluate faces.csv --by ATTRIBUTE --html --out report`.",
            "",
        ]
    )


def data_sheet(report: Json) -> str:
    """What the evaluated data are, as Markdown text."""
    data = report["data"]
    return "\n".join(
        [
            f"# Data sheet: {data['manifest']}",
            "",
            f"- Rows measured: {data['n']:,} ({data['split']}); splits: {_counts(data['splits'])}",
            f"- Unreadable: {data['unreadable']:,}; face not found: {data['not_found']:,}; face crops: {data['cropped']:,}",
            f"- Subjects named: {data['subjects']:,}",
            f"- Judged by votes: {data['by_votes']:,}; by a label only: {data['by_label']:,}",
            f"- How the faces look to people: {_counts(data['looks'])}",
            f"- Sources: {_counts(data['sources'])}",
            f"- Licences: {_counts(data['licences'])}",
            *(f"- {name}: {_counts(counts)}" for name, counts in data["attributes"].items()),
            "",
            "## To be filled in by those who collected the data",
            "",
            "- Why, by whom and how were the photos collected, and did the people on them agree?",
            "- Who labelled them, with which instructions, and how were they paid?",
            "- What may the photos be used for, and who can have them removed?",
            "",
        ]
    )


def _counts(counts: Json) -> str:
    return ", ".join(f"{name or 'not stated'} {n:,}" for name, n in counts.items()) or "none"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = (f"| {' | '.join(row)} |" for row in rows)
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *lines, ""]


def _row(name: str, one: Json) -> list[str]:
    return [name, words.number(one["value"]), words.interval(one), f"{one['n']:,}"]


def _key_figures(report: Json) -> list[str]:
    if not report["key_figures"]:
        return []
    rows = (_row(words.TABLE[name], one) for name, one in report["key_figures"].items())
    return _table(["Figure", "Value", "95 % interval", "n"], rows)


def _per_class(report: Json) -> list[str]:
    looks = report["looks"]
    if not looks:
        return []
    names = looks["confusion"]["classes"]
    rows = [[name, *(words.estimate(looks[name][figure]) for figure in ("recall", "precision", "f1"))] for name in names]
    matrix = [
        [f"people: {name}", *(f"{n:,}" for n in counts)] for name, counts in zip(names, looks["confusion"]["counts"], strict=True)
    ]
    return [
        *_table(["The word `look`", "Recall", "Precision", "F1"], rows),
        *_table(["", *(f"model: {name}" for name in names)], matrix),
    ]


def _by_subgroup(report: Json) -> list[str]:
    lines: list[str] = []
    for name, attribute in (report["fairness"] or {"attributes": {}})["attributes"].items():
        rows = [
            [
                group,
                f"{figures['n']:,}",
                *(words.estimate(figures[key]) for key in ("accuracy", "recall_happy", "recall_sad", "uncertain")),
            ]
            for group, figures in attribute["subgroups"].items()
        ]
        lines += _table([name, "Faces", "Accuracy", "Happy found", "Sad found", "Uncertain"], rows)
        lines += [
            f"- {words.finding(name, measure, gap, attribute['subgroups'])}" for measure, gap in attribute["gaps"].items() if gap
        ]
        lines.append("")
    return lines
