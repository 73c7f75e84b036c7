"""The page needs nothing from elsewhere, holds the figures it was given, and answers the three questions in sentences."""

from __future__ import annotations

import copy
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from made_up import scored, told
from numpy.testing import assert_equal

from happysad.contract import Contract
from happysad.evaluate import evaluate
from happysad.report import cards, page, words


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    truth, said = told(400, 0.95, 1)
    frame = scored(truth + ["neutral"] * 40, said + ["neutral"] * 40, gender=["f", "m", "m", ""] * 110)
    return evaluate(frame, Contract("made up"), by=["gender"], resamples=50)


@pytest.fixture(scope="module")
def text(report: dict[str, Any]) -> str:
    return page.html(report, {})


def test_the_page_loads_nothing_from_elsewhere_and_runs_no_script(text: str) -> None:
    assert re.findall(r"<script|<link|@import|url\((?!#)|src=\"(?!data:)", text) == []
    links = set(re.findall(r"(?:href|xlink:href)=\"([^#\"][^\"]*)\"", text))
    assert links == set()


def test_every_plot_has_alternative_text_and_the_colour_of_the_page(text: str) -> None:
    plots = re.findall(r"<svg [^>]*>", text)
    assert len(plots) >= 7
    for plot in plots:
        assert re.search(r'role="img" aria-label="[^"]{10,}"', plot)
    assert "#010203" not in text
    assert text.count("currentColor") > 50


def test_the_page_is_well_formed_and_no_two_things_have_one_name(text: str) -> None:
    class Ids(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.found: list[str] = []

        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            self.found += [value for name, value in attributes if name == "id" and value]

    parser = Ids()
    parser.feed(text)
    named = [name for name in parser.found if not re.match(r"[pmhC][0-9a-f]", name)]
    assert_equal(len(named), len(set(named)))


def test_figures_on_the_page_are_those_of_the_report(report: dict[str, Any], text: str) -> None:
    for one in (report["two_way"]["accuracy"], report["graded"]["ccc"], report["certain"]["accuracy"]):
        assert words.number(one["value"]) in text
    assert words.estimate(report["fairness"]["attributes"]["gender"]["subgroups"]["f"]["recall_sad"]) in text


def test_the_three_questions_are_answered_from_the_figures(report: dict[str, Any], text: str) -> None:
    changed = copy.deepcopy(report)
    changed["two_way"]["accuracy"] = {"value": 0.123, "low": 0.1, "high": 0.2, "n": 400}
    assert "12.3 % (10.0 to 20.0, n = 400) are told right" in words.three_answers(changed)[0][1]
    for question, answer in words.three_answers(report):
        assert question in text
        assert answer.replace("'", "&#39;") in text


def test_no_gap_found_is_not_said_to_be_none(report: dict[str, Any]) -> None:
    answer = words.for_everyone(report)
    assert re.search(
        r"By gender, no gap in accuracy was found: .* may be chance\. A gap below about \d+ points could have stayed unseen",
        answer,
    )


def test_a_gap_found_is_said(report: dict[str, Any]) -> None:
    changed = copy.deepcopy(report)
    changed["fairness"]["attributes"]["gender"]["gaps"]["accuracy"] |= {
        "found": True,
        "between": ["f", "m"],
        "difference": {"value": 0.1, "low": 0.05, "high": 0.15, "n": 400},
    }
    assert "By gender, no: accuracy differs by 10.0 points (5.0 to 15.0) between f and m." in words.for_everyone(changed)


def test_what_is_missing_is_left_out_and_the_page_is_still_made() -> None:
    for frame in (
        scored(["happy"] * 12, ["happy"] * 12, voters=0),
        scored(["neutral"] * 12, ["sad"] * 12),
        scored(["happy", "sad"], ["", ""]),
    ):
        bare = evaluate(frame, Contract("made up"), resamples=20)
        assert "<h1>" in page.html(bare, {})
        assert cards.model_card(bare).startswith("# Model card")


def test_names_from_the_data_cannot_inject_markup(report: dict[str, Any]) -> None:
    changed = copy.deepcopy(report)
    changed["data"]["manifest"] = "<script>alert(1)</script>"
    assert "<script" not in page.html(changed, {})


def test_the_learning_curves_and_the_damage_are_drawn_where_they_were_measured(report: dict[str, Any]) -> None:
    one = {"value": 0.9, "low": 0.8, "high": 0.95, "n": 50}
    figures = dict.fromkeys(("accuracy", "certain", "certain_accuracy", "certain_errors", "mood_change", "mood_ccc"), one)
    stress = {"n": 50, "undamaged": figures, "kinds": {"blur": [{"level": 2, "unit": "pixels", **figures}]}}
    epochs = [{"epoch": i, "loss": 1 / i, "mood_ccc": 0.5, "seconds": 3} for i in (1, 2, 3)]
    text = page.html(report | {"stress": stress, "learning": epochs}, {})
    assert "When pictures get worse" in text
    assert "How it was trained" in text


def test_the_cards_hold_the_figures_and_the_counts(report: dict[str, Any]) -> None:
    card, sheet = cards.model_card(report), cards.data_sheet(report)
    for title in ("Model details", "Intended use", "Factors", "Metrics", "Ethical considerations", "Caveats"):
        assert f"\n## {title}" in card
    assert words.number(report["key_figures"]["mood_ccc"]["value"]) in card
    assert "Rows measured: 440" in sheet
    assert "gender: m 220, f 110, not stated 110" in sheet


def test_numbers_are_written_for_people() -> None:
    assert_equal(words.number(-0.0416), "−0.042")
    assert_equal(words.estimate({"value": 0.9431, "low": 0.93, "high": 0.954, "n": 1465}), "0.943 (0.930 to 0.954, n = 1,465)")
    assert_equal(words.estimate({"value": None, "low": None, "high": None, "n": 3}), "not known (n = 3)")
    assert_equal(words.percent({"value": np.float64(0.5), "low": 0.25, "high": 1.0, "n": 4}), "50.0 % (25.0 to 100.0, n = 4)")
