"""Every figure equals that of scikit-learn or scipy, on the data and on each resample, and its interval does what it says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal, assert_array_less, assert_equal
from scipy import stats
from sklearn import metrics as reference

from happysad import metrics
from happysad.metrics import Resamples

EXACT = {"rtol": 0, "atol": 1e-12}


def answers(n: int, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    true = rng.integers(k, size=n)
    return true, np.where(rng.random(n) < 0.7, true, rng.integers(k, size=n))


def scores(n: int, seed: int, ties: bool = True) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    true = rng.random(n) < 0.4
    score = np.clip(0.35 * true + rng.random(n) * 0.65, 0, 1)
    return true, score.round(1) if ties else score


def on_the_data(measure: metrics.Measure, n: int) -> dict[str, float]:
    with np.errstate(invalid="ignore"):
        return {name: float(values[0]) for name, values in measure(np.ones((1, n))).items()}


# ---- against references


@pytest.mark.parametrize("k", [2, 3, 5])
def test_hard_answers_agree_with_scikit_learn(k: int) -> None:
    true, said = answers(501, k, seed=k)
    ours = on_the_data(metrics.classification(true, said, k), 501)
    precision, recall, f1, _ = reference.precision_recall_fscore_support(true, said)
    assert_allclose(ours["accuracy"], reference.accuracy_score(true, said), **EXACT)
    assert_allclose(ours["balanced_accuracy"], reference.balanced_accuracy_score(true, said), **EXACT)
    assert_allclose(ours["lowest_recall"], recall.min(), **EXACT)
    assert_allclose(ours["macro_precision"], precision.mean(), **EXACT)
    assert_allclose(ours["macro_f1"], reference.f1_score(true, said, average="macro"), **EXACT)
    assert_allclose(ours["mcc"], reference.matthews_corrcoef(true, said), **EXACT)
    for i in range(k):
        assert_allclose(
            [ours[f"{name}_{i}"] for name in ("precision", "recall", "f1")], [precision[i], recall[i], f1[i]], **EXACT
        )


def test_a_class_that_was_never_said_has_precision_0_and_one_that_never_occurs_has_no_figure() -> None:
    ours = on_the_data(metrics.classification(np.array([0, 0, 1]), np.array([0, 0, 0]), 3), 3)
    assert_equal([ours["precision_1"], ours["f1_1"], ours["mcc"]], [0, 0, 0])
    assert_equal([ours["recall_2"], ours["precision_2"]], [np.nan, np.nan])
    assert_allclose(ours["balanced_accuracy"], 0.5)


def test_ordered_grades_agree_with_scikit_learn() -> None:
    true, said = answers(400, 5, seed=4)
    ours = on_the_data(metrics.steps(true, said, 5), 400)
    assert_allclose(ours["kappa"], reference.cohen_kappa_score(true, said, weights="quadratic"), **EXACT)
    assert_allclose(ours["exact"], np.mean(true == said), **EXACT)
    assert_allclose(ours["within_one"], np.mean(abs(true - said) <= 1), **EXACT)


@pytest.mark.parametrize("ties", [True, False])
def test_rankings_agree_with_scikit_learn(ties: bool) -> None:
    true, score = scores(700, 1, ties)
    ours = on_the_data(metrics.ranking(true, score), 700)
    assert_allclose(ours["auc"], reference.roc_auc_score(true, score), **EXACT)
    assert_allclose(ours["average_precision"], reference.average_precision_score(true, score), **EXACT)


def test_probabilities_agree_with_scikit_learn() -> None:
    true, p = scores(300, 2, ties=False)
    ours = on_the_data(metrics.probability(true, p), 300)
    assert_allclose(ours["brier"], reference.brier_score_loss(true, p), **EXACT)
    assert_allclose(ours["log_loss"], reference.log_loss(true, p), **EXACT)


def test_graded_answers_agree_with_scipy_and_with_the_formula_of_lin() -> None:
    rng = np.random.default_rng(3)
    true = rng.integers(-5, 6, 350) / 5
    said = np.clip(true * 0.8 + rng.normal(0, 0.2, 350), -1, 1).round(2)
    ours = on_the_data(metrics.agreement(said, true), 350) | on_the_data(metrics.rank_correlation(said, true), 350)
    covariance = np.cov(said, true, bias=True)
    lin = 2 * covariance[0, 1] / (covariance[0, 0] + covariance[1, 1] + (said.mean() - true.mean()) ** 2)
    assert_allclose(ours["ccc"], lin, **EXACT)
    assert_allclose(metrics.concordance(said, true), lin, **EXACT)
    assert_allclose(ours["spearman"], stats.spearmanr(said, true).statistic, **EXACT)
    assert_allclose(ours["mae"], reference.mean_absolute_error(true, said), **EXACT)
    assert_allclose(ours["bias"], np.mean(said - true), **EXACT)


def test_the_calibration_error_is_the_mean_distance_in_bins_of_equally_many_faces() -> None:
    true, p = scores(150, 5, ties=False)
    order = np.argsort(p)
    by_hand = sum(abs(p[rows].mean() - true[rows].mean()) * len(rows) for rows in np.array_split(order, 15)) / 150
    assert_allclose(on_the_data(metrics.calibration_error(p, true), 150)["ece"], by_hand, **EXACT)
    two = np.stack([p, 1 - p], axis=1), np.stack([true, ~true], axis=1)
    assert_allclose(on_the_data(metrics.calibration_error(*two), 150)["ece"], by_hand, **EXACT)


def test_reliability_bins_hold_what_the_calibration_error_sums_up() -> None:
    true, p = scores(157, 5, ties=False)
    table = metrics.reliability(p, true)
    by_table = sum(abs(row["promised"] - row["true"]) * row["n"] for row in table) / 157
    assert_allclose(by_table, on_the_data(metrics.calibration_error(p, true), 157)["ece"], **EXACT)
    assert_equal(sum(row["n"] for row in table), 157)


def test_the_interval_of_a_share_agrees_with_scipy() -> None:
    for hits, n in ((0, 9), (5, 9), (9, 9), (997, 1000)):
        scipys = stats.binomtest(hits, n).proportion_ci(method="wilson")
        assert_allclose(metrics.wilson(hits, n), (scipys.low, scipys.high), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["mcc", "kappa", "auc", "average_precision", "spearman", "ccc", "aurc"])
def test_a_resample_gives_what_the_repeated_rows_give(name: str) -> None:
    true, said = answers(60, 5, seed=9)
    yes, score = scores(60, 9)
    full = {
        "mcc": lambda rows: metrics.classification(true[rows], said[rows], 5),
        "kappa": lambda rows: metrics.steps(true[rows], said[rows], 5),
        "auc": lambda rows: metrics.ranking(yes[rows], score[rows]),
        "average_precision": lambda rows: metrics.ranking(yes[rows], score[rows]),
        "spearman": lambda rows: metrics.rank_correlation(true[rows], said[rows]),
        "ccc": lambda rows: metrics.agreement(true[rows], said[rows]),
        "aurc": lambda rows: metrics.selective_risk(score[rows], yes[rows]),
    }[name]
    times = np.random.default_rng(0).multinomial(60, np.full(60, 1 / 60), size=4)
    weighted = full(np.arange(60))(times.astype(float))[name]
    repeated = [on_the_data(full(np.repeat(np.arange(60), one)), 60)[name] for one in times]
    assert_allclose(weighted, repeated, **EXACT)


# ---- intervals


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    held = []
    for seed in range(200):
        true = rng.normal(size=120)
        said = true + rng.normal(size=120)  # the true CCC is 2 / 3
        one = Resamples(120, count=200, seed=seed).estimates(metrics.agreement(said, true))["ccc"]
        held.append(one["low"] <= 2 / 3 <= one["high"])
    assert 0.89 <= np.mean(held) <= 0.99


def test_photos_of_the_same_people_make_the_interval_wider() -> None:
    rng = np.random.default_rng(2)
    hits = np.repeat(rng.random(40) < 0.8, 10)
    alone, together = Resamples(400).share(hits), Resamples(400, np.repeat(np.arange(40), 10)).share(hits)
    assert_equal(alone["value"], together["value"])
    assert together["high"] - together["low"] > 2 * (alone["high"] - alone["low"])


def test_a_subject_is_drawn_whole_and_who_is_not_named_is_drawn_alone() -> None:
    resamples = Resamples(5, ["ann", "ann", "", "", None])
    first, second, third, fourth, _ = resamples._times.T
    assert_array_equal(first, second)
    assert (third != fourth).any()
    assert_equal(resamples.units, 4)


def test_resamples_are_the_same_on_every_run_and_through_a_part_of_the_faces() -> None:
    mask = np.array([True, False, True, True])
    assert_array_equal(Resamples(4).only(mask)._times, Resamples(4)._times[:, mask])


def test_no_errors_seen_are_not_no_errors_possible() -> None:
    perfect = Resamples(20).estimates(metrics.classification(np.arange(20) % 2, np.arange(20) % 2, 2))["macro_f1"]
    assert_equal([perfect["value"], perfect["high"]], [1, 1])
    assert_allclose(perfect["low"], stats.binomtest(20, 20).proportion_ci(method="wilson").low)


def test_no_faces_give_no_figures_and_no_error() -> None:
    none = np.array([], int)
    everything = (
        *(metrics.classification(none, none, 2), metrics.steps(none, none, 5), metrics.ranking(none, none * 1.0)),
        *(metrics.calibration_error(none * 1.0, none), metrics.agreement(none, none), metrics.rank_correlation(none, none)),
    )
    for measure in everything:
        assert_equal(Resamples(0).estimates(measure)["ccc"], {"value": None, "low": None, "high": None, "n": 0})
    assert_equal(Resamples(0).share(none)["value"], None)


def test_one_class_only_leaves_the_ranking_without_a_figure() -> None:
    one = Resamples(10).estimates(metrics.ranking(np.ones(10, bool), np.arange(10.0)))["auc"]
    assert_equal(one, {"value": None, "low": None, "high": None, "n": 10})


def test_a_calibration_error_lies_within_its_interval_although_resamples_are_larger() -> None:
    rng = np.random.default_rng(6)
    p = rng.random(500)
    one = Resamples(500).estimates(metrics.calibration_error(p, rng.random(500) < p), centred=True)["ece"]
    assert one["low"] < one["value"] < one["high"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=40))
def test_a_value_lies_in_its_interval_and_in_its_range(rows: list[tuple[bool, float]]) -> None:
    true, p = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    resamples = Resamples(len(rows), count=30)
    for measure in (metrics.ranking(true, p), metrics.calibration_error(p, true), metrics.classification(true * 1, p > 0.5, 2)):
        for name, one in resamples.estimates(measure).items():
            if one["value"] is not None:
                assert (-1 if name == "mcc" else 0) - 1e-9 <= one["low"] <= one["value"] <= one["high"] <= 1 + 1e-9


# ---- curves, sets, voters


def test_dropping_the_least_confident_answers_gives_the_risk_of_the_rest() -> None:
    coverage, risk = metrics.risk_coverage(np.array([0.9, 0.6, 0.8, 0.7]), np.array([True, False, True, False]))
    assert_allclose(coverage, [0.25, 0.5, 0.75, 1])
    assert_allclose(risk, [0, 0, 1 / 3, 1 / 2])
    area = on_the_data(metrics.selective_risk(np.array([0.9, 0.6, 0.8, 0.7]), np.array([True, False, True, False])), 4)["aurc"]
    assert_allclose(area, risk.mean())


def test_conformal_sets_hold_the_truth_as_often_as_promised() -> None:
    rng = np.random.default_rng(7)
    held = []
    for _ in range(400):
        p = rng.beta(4, 1, size=200)
        threshold = metrics.conformal_threshold(p[:100], 0.9)
        held.append(np.mean(p[100:] >= threshold))
    assert_allclose(np.mean(held), 91 / 101, atol=0.008)  # the least rank that holds 90 % of 100 is the 91st of 101


def test_too_few_faces_for_a_conformal_promise_put_every_class_into_the_set() -> None:
    assert_equal(metrics.conformal_threshold(np.array([0.5, 0.9]), 0.9), 0.0)


def test_voters_are_drawn_without_replacement() -> None:
    votes = np.array([[6, 3, 1, 0], [0, 0, 10, 0], [1, 1, 1, 1]])
    drawn = metrics.drawn_voters(votes, np.array([5, 9, 4]))
    assert_array_equal(drawn.sum(axis=1), [5, 9, 4])
    assert_array_less(drawn, votes + 1)
    assert_array_equal(drawn[2], votes[2])
    one = np.stack([metrics.drawn_voters(votes, 1, seed) for seed in range(400)]).mean(axis=0)
    assert_allclose(one, votes / votes.sum(axis=1, keepdims=True), atol=0.08)
