"""Gaps that are there are found, gaps that are not there are not, and what the figures mean is what fairlearn means."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fairlearn import metrics as reference
from made_up import scored, told
from numpy.testing import assert_allclose, assert_array_equal, assert_equal

from happysad.answers import Answers, Truth
from happysad.contract import Contract
from happysad.errors import DataError
from happysad.evaluate import P
from happysad.fairness import crossed, fairness, parse_limit
from happysad.metrics import Resamples


def audit(frame: pd.DataFrame, by: list[str], count: int = 60) -> dict:
    found = frame["found"].to_numpy(bool)
    seen = frame[found]
    answers = Answers.of(seen[list(P)].to_numpy(), Contract("made up"), seen["certain"].to_numpy(bool))
    return fairness(answers, Truth.of(frame), found, frame[by], Resamples(len(frame), frame["subject"].to_numpy(), count=count))


def two_groups(accuracies: tuple[float, float], seed: int, n: int = 300) -> pd.DataFrame:
    truth, said = (
        first + second
        for first, second in zip(told(n, accuracies[0], 2 * seed), told(n, accuracies[1], 2 * seed + 1), strict=True)
    )
    return scored(truth, said, gender=["f"] * n + ["m"] * n)


def test_a_planted_gap_of_10_points_is_found_and_one_that_is_not_there_is_not() -> None:
    planted = [audit(two_groups((0.97, 0.87), seed), ["gender"], 25)["attributes"]["gender"]["gaps"] for seed in range(200)]
    assert np.mean([gaps["accuracy"]["found"] for gaps in planted]) >= 0.95
    level = [audit(two_groups((0.92, 0.92), seed), ["gender"], 25)["attributes"]["gender"]["gaps"] for seed in range(200, 400)]
    assert np.mean([any(gap["found"] for gap in gaps.values() if gap) for gaps in level]) <= 0.05


def test_figures_and_gaps_are_those_of_fairlearn() -> None:
    frame = two_groups((0.95, 0.8), 3)
    happy, said = frame["label"] == "happy", frame["p_happy"] >= frame["p_sad"]
    one = audit(frame, ["gender"])["attributes"]["gender"]
    theirs = reference.MetricFrame(
        metrics={
            "selection_rate": reference.selection_rate,
            "recall_happy": reference.true_positive_rate,
            "false_happy": reference.false_positive_rate,
        },
        y_true=happy,
        y_pred=said,
        sensitive_features=frame["gender"],
    ).by_group
    for group in ("f", "m"):
        for name in theirs.columns:
            assert_allclose(one["subgroups"][group][name]["value"], theirs.loc[group, name], atol=1e-12)
    parity, odds = one["demographic_parity"], one["equalized_odds"]
    arguments = {"y_true": happy, "y_pred": said, "sensitive_features": frame["gender"]}
    assert_allclose(parity["difference"]["value"], reference.demographic_parity_difference(**arguments), atol=1e-12)
    assert_allclose(parity["ratio"]["value"], reference.demographic_parity_ratio(**arguments), atol=1e-12)
    assert_allclose(odds["difference"]["value"], reference.equalized_odds_difference(**arguments), atol=1e-12)
    assert_allclose(odds["ratio"]["value"], reference.equalized_odds_ratio(**arguments), atol=1e-12)


def test_more_comparisons_make_wider_intervals() -> None:
    frame = two_groups((0.95, 0.85), 1).assign(hand=["left", "right"] * 300)
    alone, crossed_too = audit(frame, ["gender"]), audit(frame, ["gender", "hand"])
    assert_equal([alone["comparisons"]["accuracy"], crossed_too["comparisons"]["accuracy"]], [1, 8])
    gap, wider = (each["attributes"]["gender"]["gaps"]["accuracy"]["difference"] for each in (alone, crossed_too))
    assert_equal(gap["value"], wider["value"])
    assert wider["low"] < gap["low"] < gap["high"] < wider["high"]
    assert_equal(list(crossed_too["attributes"]), ["gender", "hand", "gender × hand"])


def test_the_smallest_gap_that_could_have_been_seen_is_seen_about_as_often_as_said() -> None:
    power = audit(two_groups((0.9, 0.9), 7), ["gender"])["attributes"]["gender"]["gaps"]["accuracy"]["smallest_detectable"]
    found = [audit(two_groups((0.9 + power / 2, 0.9 - power / 2), seed), ["gender"], 10) for seed in range(100)]
    share = np.mean([each["attributes"]["gender"]["gaps"]["accuracy"]["found"] for each in found])
    assert 0.65 <= share <= 0.95


def test_numbers_are_banded_and_rows_without_the_attribute_are_counted() -> None:
    frame = two_groups((0.9, 0.9), 2).assign(age=[str(20 + i % 40) if i % 10 else "" for i in range(600)])
    age = audit(frame, ["age"])["attributes"]["age"]
    assert_equal(age["missing"], 60)
    assert_equal(next(iter(age["subgroups"])).split(" to ")[0], "21")
    assert_equal(len(age["subgroups"]), 4)
    assert_equal(sum(group["n"] for group in age["subgroups"].values()), 540)


def test_what_cannot_be_compared_is_said() -> None:
    frame = two_groups((0.9, 0.9), 2).assign(country="is", name=[str(i) + "x" for i in range(600)], hat="")
    notes = audit(frame, ["country", "name", "hat"])["notes"]
    assert_array_equal(
        notes,
        [
            "The attribute country has only one value, is: there is nobody to compare with.",
            "The attribute name has 600 values: put them into at most 40 groups first.",
            "The attribute hat is empty in all 600 rows.",
        ],
    )


def test_a_subgroup_of_few_faces_has_figures_but_is_not_compared() -> None:
    frame = two_groups((0.9, 0.9), 2)
    frame.loc[:4, "gender"] = "x"
    one = audit(frame, ["gender"])["attributes"]["gender"]
    assert_equal(one["subgroups"]["x"]["n"], 5)
    assert all("x" not in pair["between"] for pair in one["gaps"]["accuracy"]["pairs"])


def test_faces_not_found_are_counted_by_subgroup() -> None:
    frame = two_groups((0.9, 0.9), 2)
    lost = np.arange(600) < 30
    frame.loc[lost, list(P)] = np.nan
    frame.loc[lost, ["found", "certain"]] = False
    one = audit(frame, ["gender"])["attributes"]["gender"]
    assert_equal([one["subgroups"][group]["not_found"]["value"] for group in "fm"], [0.1, 0.0])
    assert one["gaps"]["not_found"]["found"]


def test_a_limit_is_crossed_only_when_the_interval_excludes_it() -> None:
    report = audit(two_groups((0.98, 0.80), 4), ["gender"])
    gap = report["attributes"]["gender"]["gaps"]["accuracy"]["difference"]
    assert_equal(len(crossed(report, "accuracy", gap["low"] - 1e-9)), 1)
    assert_equal(crossed(report, "accuracy", gap["low"] + 1e-9), [])
    assert "gender: accuracy of f is" in crossed(report, "accuracy", 0.05)[0]


def test_a_limit_is_read_or_refused_in_one_sentence() -> None:
    assert_equal(parse_limit("gap:recall_sad > 0.1"), ("recall_sad", 0.1))
    with pytest.raises(
        DataError, match=r"expected a limit such as gap:accuracy>0\.05, got gap:kindness>0\.1; the measures are accuracy, "
    ):
        parse_limit("gap:kindness>0.1")
