"""Figures in words, for people who are not statisticians."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

CROSSED = " × "  # between the names of two attributes

MEASURES = {
    "accuracy": "accuracy",
    "recall_happy": "share of happy faces found",
    "recall_sad": "share of sad faces found",
    "selection_rate": "share called happy",
    "overconfidence": "confidence above accuracy",
    "mood_bias": "mood above that of the votes",
    "uncertain": "share of uncertain answers",
    "not_found": "share of faces not found",
}
TABLE = {
    "happy_sad_votes": "happy against sad, majority of votes",
    "happy_sad_label": "happy against sad, given label",
    "three_way": "happy, neutral or sad",
    "look_macro_recall": "the word `look`, mean recall of happy, neutral, sad",
    "look_lowest_recall": "the word `look`, lowest of the three recalls",
    "mood_ccc": "mood, concordance with the votes (CCC)",
    "grade_exact": "five grades, exact",
    "grade_within_one": "five grades, within one step",
    "confidence_ece": "calibration error of `confidence`",
    "p_ece": "calibration error of `p`",
    "certain": "share of certain answers",
    "certain_happy_sad": "certain answers, happy against sad",
}


def number(value: float | None) -> str:
    """Three decimals, a real minus; a dash for nothing."""
    return "–" if value is None else f"{value:.3f}".replace("-", "−")


def interval(one: Json | None) -> str:
    """The interval of an estimate, such as ``0.931 to 0.954``."""
    if one is None or one["value"] is None:
        return "–"
    return f"{number(one['low'])} to {number(one['high'])}"


def estimate(one: Json | None) -> str:
    """An estimate such as ``0.943 (0.931 to 0.954, n = 1,465)``."""
    if one is None or one["value"] is None:
        return "not known" if one is None else f"not known (n = {one['n']:,})"
    return f"{number(one['value'])} ({interval(one)}, n = {one['n']:,})"


def percent(one: Json | None, n: bool = True) -> str:
    """A share such as ``94.3 % (93.1 to 95.4, n = 1,465)``."""
    if one is None or one["value"] is None:
        return "an unknown share"
    faces = f", n = {one['n']:,}" if n else ""
    return f"{100 * one['value']:.1f} % ({100 * one['low']:.1f} to {100 * one['high']:.1f}{faces})"


def three_answers(report: Json) -> list[tuple[str, str]]:
    """The three questions, each with its answer in a sentence or two made from the figures."""
    return [
        ("Can happy and sad be told apart?", _told_apart(report)),
        ("Does it work equally well for everyone?", for_everyone(report)),
        ("Can it see mixed moods?", _graded(report)),
    ]


def _told_apart(report: Json) -> str:
    two = report["two_way"]
    if two is None:
        return "These data cannot say: no face is labelled happy or sad."
    text = f"Of the faces that look happy or sad to people, {percent(two['accuracy'])} are told right:"
    text += f" {percent(two['happy']['recall'], n=False)} of the happy, {percent(two['sad']['recall'], n=False)} of the sad."
    sure = report["certain"]
    if sure["accuracy"]["value"] is not None:
        text += f" Of the {100 * sure['share_of_happy_or_sad']['value']:.0f} % of answers that call themselves certain,"
        text += f" {percent(sure['accuracy'], n=False)} are right."
    people = report["people"]
    if people and people["one_against_rest"]["person"]["happy_sad"]["value"] is not None:
        text += f" One person agrees with the others in {percent(people['one_against_rest']['person']['happy_sad'], n=False)}."
    return text


def for_everyone(report: Json) -> str:
    """What the comparison of subgroups says about accuracy, and how small a gap could have stayed unseen."""
    fairness = report["fairness"]
    if fairness is None:
        return "Nothing was compared: name an attribute with --by, such as --by gender."
    sentences = list(_on_attributes(fairness))
    return " ".join(sentences) or " ".join(fairness["notes"]) or "These data cannot say: no two subgroups have enough faces."


def _on_attributes(fairness: Json) -> Iterator[str]:
    for name, attribute in fairness["attributes"].items():
        gap = attribute["gaps"]["accuracy"]
        if gap is None or (CROSSED in name and not gap["found"]):
            continue
        best, worst = gap["between"]
        one, unseen = gap["difference"], gap["smallest_detectable"]
        ends = " to ".join(f"{100 * one[end]:.1f}".replace("-", "−") for end in ("low", "high"))
        points = f"{100 * one['value']:.1f} points ({ends}) between {best} and {worst}"
        if gap["found"]:
            yield f"By {name}, no: accuracy differs by {points}."
        else:
            yield f"By {name}, no gap in accuracy was found: {points} may be chance."
            yield f"A gap below about {100 * unseen:.0f} points could have stayed unseen."
        others = (measure for measure, each in attribute["gaps"].items() if each and each["found"] and measure != "accuracy")
        if named := ", ".join(MEASURES[measure] for measure in others):
            yield f"By {name} there are gaps in: {named}."


def _graded(report: Json) -> str:
    graded = report["graded"]
    if graded is None:
        return "These data cannot say: there are no votes, only labels."
    text = f"The mood agrees with the votes at a CCC of {estimate(graded['ccc'])}; of five grades"
    text += f" {percent(graded['exact'], n=False)} are exact and {percent(graded['within_one'], n=False)} within one step."
    if people := report["people"]:
        half, one = people["half_against_half"]["people"], people["one_against_rest"]["person"]
        text += f" People: half against half CCC {number(half['mood_ccc']['value'])},"
        text += f" one person against the rest {number(one['mood_ccc']['value'])}."
    return text


def finding(name: str, measure: str, gap: Json, table: Json) -> str:
    """One gap in a sentence, with what it does not mean."""
    high, low = gap["between"]
    one = gap["difference"]
    high_value, low_value = number(table[high][measure]["value"]), number(table[low][measure]["value"])
    text = f"{name}, {MEASURES[measure]}: {high_value} for {high}, {low_value} for {low},"
    text += f" a difference of {number(one['value'])} ({interval(one)}). "
    text += "This is more than chance." if gap["found"] else "This may be chance."
    if measure == "selection_rate":
        bases = f"{number(table[high]['base_rate']['value'])} and {number(table[low]['base_rate']['value'])}"
        text += f" People call {bases} of these faces happy, so a difference here need not be a fault of the model."
    return text


def summary(report: Json) -> list[str]:
    """Lines for a terminal."""
    data = report["data"]
    rows_of = f"{data['manifest']}, {data['split']} rows"
    lines = [f"{rows_of}: {data['n']:,} faces, model {report['model']['name']}", ""]
    lines += [f"{question} {answer}" for question, answer in three_answers(report)]
    rows = [(TABLE[name], one) for name, one in (report["key_figures"] or {}).items()]
    if rows:
        width = max(len(name) for name, _ in rows)
        lines += ["", *(f"{name:{width}}  {estimate(one)}" for name, one in rows)]
    elif report["two_way"]:
        lines += ["", report["two_way"]["report"].rstrip()]
    if report["end_to_end"] and report["end_to_end"]["not_found"]["value"]:
        lines += ["", f"Counting faces that were not found as errors: {percent(report['end_to_end']['accuracy'])}."]
    return [*lines, *([""] if report["notes"] else []), *(f"Note: {note}" for note in report["notes"])]
