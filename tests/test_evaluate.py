"""The report of a model holds what scikit-learn finds in the same answers, and says what these data cannot say."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import folder_of, jpeg, photo
from made_up import scored, told
from numpy.testing import assert_allclose, assert_array_equal, assert_equal
from sklearn import metrics as reference

from happysad.answers import Answers, grades
from happysad.contract import Contract
from happysad.errors import DataError, ModelError
from happysad.evaluate import evaluate, evaluate_file, key_figures
from happysad.manifest import write_manifest
from happysad.predict import GRADES, Predictor, grade

CONTRACT = Contract("made up")
LOOKS = ["happy", "neutral", "sad", "other"]


@pytest.fixture(scope="module")
def mixed() -> Any:
    rng = np.random.default_rng(5)
    truth = list(rng.choice(LOOKS, 400, p=[0.35, 0.3, 0.25, 0.1]))
    said = [one if right else rng.choice(LOOKS) for one, right in zip(truth, rng.random(400) < 0.8, strict=True)]
    return scored(truth, said)


@pytest.fixture(scope="module")
def report(mixed: Any) -> dict[str, Any]:
    return evaluate(mixed, CONTRACT, resamples=100)


def estimates(part: Any) -> Iterator[dict[str, Any]]:
    """All estimates in a report, however deep."""
    if isinstance(part, dict):
        if set(part) == {"value", "low", "high", "n"}:
            yield part
        for inner in part.values():
            yield from estimates(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from estimates(inner)


def test_two_way_figures_are_those_of_scikit_learn_on_the_faces_that_are_one_of_the_two(mixed: Any, report: Any) -> None:
    rows = mixed[mixed["label"].isin(["happy", "sad"])]
    happy, score = rows["label"] == "happy", rows["p_happy"] / (rows["p_happy"] + rows["p_sad"])
    two = report["two_way"]
    assert_allclose(two["accuracy"]["value"], reference.accuracy_score(happy, score >= 0.5), atol=1e-12)
    assert_allclose(two["auc"]["value"], reference.roc_auc_score(happy, score), atol=1e-12)
    assert_allclose(two["average_precision"]["value"], reference.average_precision_score(happy, score), atol=1e-12)
    assert_allclose(two["sad"]["recall"]["value"], reference.recall_score(~happy, score < 0.5), atol=1e-12)
    assert_array_equal(two["confusion"]["counts"], reference.confusion_matrix(~happy, score < 0.5))
    assert_equal(two["accuracy"]["n"], len(rows))
    assert_equal(two["sad"]["recall"]["n"], int((~happy).sum()))


def test_other_figures_are_those_of_scikit_learn_on_their_own_faces(mixed: Any, report: Any) -> None:
    p = mixed[[f"p_{look}" for look in LOOKS]].to_numpy()
    truth, said = mixed["label"], np.array(LOOKS)[p.argmax(axis=1)]
    three = truth != "other"
    of_three = np.array(LOOKS)[p[:, :3].argmax(axis=1)]
    assert_allclose(report["three_way"]["accuracy"]["value"], np.mean(of_three[three] == truth[three]), atol=1e-12)
    assert_allclose(report["looks"]["macro"]["recall"]["value"], reference.balanced_accuracy_score(truth, said), atol=1e-12)
    assert_allclose(
        report["happy_or_not"]["mcc"]["value"], reference.matthews_corrcoef(truth == "happy", said == "happy"), atol=1e-12
    )
    recalls = reference.recall_score(truth[three], said[three], labels=LOOKS[:3], average=None)
    assert_allclose(report["key_figures"]["look_macro_recall"]["value"], recalls.mean(), atol=1e-12)
    assert_allclose(report["key_figures"]["look_lowest_recall"]["value"], recalls.min(), atol=1e-12)


def test_every_estimate_lies_in_its_interval_and_the_report_is_json(report: Any) -> None:
    found = list(estimates(report))
    assert len(found) > 100
    for one in found:
        assert one["value"] is None or one["low"] <= one["value"] <= one["high"]
    assert_equal(json.loads(json.dumps(report, allow_nan=False)), report)


def test_a_face_that_was_not_found_is_an_error_only_in_the_end_to_end_figures() -> None:
    one = evaluate(scored(["happy"] * 6 + ["sad"] * 4, ["happy"] * 5 + [""] + ["sad"] * 4), CONTRACT, resamples=50)
    assert_equal(one["two_way"]["accuracy"]["value"], 1.0)
    assert_equal([one["end_to_end"]["accuracy"]["value"], one["end_to_end"]["happy"]["recall"]["value"]], [0.9, 5 / 6])
    assert_equal(one["data"]["not_found"], 1)


def test_people_who_all_agree_make_perfect_voters_and_the_model_is_measured_by_the_same_votes(mixed: Any, report: Any) -> None:
    person, model = (report["people"]["one_against_rest"][who] for who in ("person", "model"))
    assert_equal([person["three_way"]["value"], person["happy_sad"]["value"]], [1, 1])
    assert_allclose(person["mood_ccc"]["value"], 1)
    assert_allclose(model["happy_sad"]["value"], report["two_way"]["accuracy"]["value"])


def test_conformal_sets_hold_the_truth_as_often_as_promised() -> None:
    rng = np.random.default_rng(8)
    p = rng.dirichlet([0.7] * 4, 1500)
    frame = scored([LOOKS[rng.choice(4, p=row)] for row in p], ["happy"] * 1500).assign(
        **{f"p_{look}": p[:, k] for k, look in enumerate(LOOKS)}
    )
    sets = evaluate(frame, CONTRACT, resamples=20)["conformal"]
    for promised in (0.9, 0.95):
        held = sets[f"{promised:g}"]["coverage"]
        assert_allclose(held["value"], promised, atol=3 * (promised * (1 - promised) / 1500) ** 0.5)


def test_one_class_only_is_said_and_the_rest_is_computed() -> None:
    one = evaluate(scored(["happy"] * 20, ["happy"] * 19 + ["sad"]), CONTRACT, resamples=50)
    assert_equal(one["two_way"]["accuracy"]["value"], 0.95)
    assert_equal(one["two_way"]["auc"]["value"], None)
    assert "All 20 faces that are happy or sad are happy: how well the two are told apart cannot be said." in one["notes"]


def test_no_votes_is_said_and_the_rest_is_computed() -> None:
    truth, said = told(40, 0.9, 0)
    one = evaluate(scored(truth, said, voters=0), CONTRACT, resamples=50)
    assert_equal([one["graded"], one["people"], one["key_figures"]], [None, None, None])
    assert one["two_way"]["accuracy"]["value"] > 0.7
    assert any(note.startswith("There are no votes") for note in one["notes"])


def test_no_labels_at_all_is_one_sentence() -> None:
    with pytest.raises(DataError, match="no row that can be read has a label or votes"):
        evaluate(scored([""] * 5, ["happy"] * 5, voters=0), CONTRACT)


@pytest.mark.parametrize("p", [[0.5, 0.5, 0.5, 0.5], [1.2, -0.2, 0, 0], [np.nan, 0, 0, 1]])
def test_probabilities_that_are_none_are_one_sentence(p: list[float]) -> None:
    with pytest.raises(DataError, match=r"1 of 2 rows are not probabilities, the first is row 2 .* from 0 to 1 that sum to 1"):
        Answers.of(np.array([[1, 0, 0, 0], p]), CONTRACT)


def test_a_model_of_other_classes_is_one_sentence() -> None:
    other = Contract("cats", classes=("cat", "dog"), look_weights=(1, 1))
    with pytest.raises(
        ModelError, match="the model answers cat, dog; expected happy and sad, and nothing but happy, neutral, sad, other"
    ):
        Answers.of(np.array([[1, 0, 0, 0]]), other)


def test_a_model_that_knows_two_looks_is_measured_without_the_third() -> None:
    frame = scored(["happy", "sad", "neutral"] * 20, ["happy", "sad", "sad"] * 20)
    frame[["p_neutral", "p_other"]] = 0.0
    frame["p_sad"] = 1 - frame["p_happy"]
    one = evaluate(frame, Contract("two", classes=("happy", "sad"), look_weights=(1, 1)), resamples=50)
    assert_equal([one["three_way"], one["two_way"]["accuracy"]["value"]], [None, 1.0])
    assert "The model does not know neutral: there is no three-way figure." in one["notes"]


def test_grades_of_arrays_are_those_of_single_moods_and_edges_of_ten_votes_do_not_hang_on_the_last_digit() -> None:
    moods = np.linspace(-1, 1, 997)
    assert_array_equal(np.array(GRADES)[grades(moods)], [grade(mood) for mood in moods])
    assert_equal(
        np.array(GRADES)[grades(np.array([0.8 - 0.2, 0.1 + 0.1, -0.2, -0.6]))].tolist(),
        ["slightly happy", "neutral", "neutral", "slightly sad"],
    )


def test_answers_of_arrays_are_those_of_the_contract_for_single_faces() -> None:
    contract = Contract("m", look_weights=(0.7, 1.0, 1.6, 0.9), confidence=(1.3, -0.2), min_confidence=0.8)
    p = np.random.default_rng(0).dirichlet([1] * 4, 50)
    answers = Answers.of(p, contract)
    assert_array_equal(np.array(LOOKS)[answers.look], [contract.look_of(row) for row in p])
    assert_allclose(answers.confidence, [contract.confidence_of(row[0], row[2]) for row in p])
    assert_array_equal(
        answers.certain, [contract.look_of(row) != "other" and contract.confidence_of(row[0], row[2]) >= 0.8 for row in p]
    )


# ---- from files


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    folder_of(folder, {f"{i}.jpg": jpeg(photo(i, 48)) for i in range(12)})
    frame = scored(["happy", "sad"] * 6, ["happy"] * 12, gender=["f", "m", "m"] * 4).drop(columns=["certain", "found"])
    frame = frame.drop(columns=[name for name in frame if name.startswith("p_")])
    frame["path"] = [f"{i}.jpg" for i in range(11)] + ["missing.jpg"]
    frame["cropped"], frame["split"] = True, ["test"] * 8 + ["valid"] * 4
    write_manifest(frame, folder / "faces.csv")
    return folder / "faces.csv"


def test_the_figures_of_a_file_are_those_of_the_way_that_photos_go(manifest: Path, predictor: Predictor) -> None:
    done = evaluate_file(manifest, split="all", resamples=20)
    by_hand = [predictor.predict(manifest.parent / f"{i}.jpg", cropped=True).faces[0] for i in range(11)]
    right = [face.label == truth for face, truth in zip(by_hand, ["happy", "sad"] * 6, strict=False)]
    assert_allclose(done.report["two_way"]["accuracy"]["value"], np.mean(right))
    assert_allclose(done.scored["p_happy"][:11], [face.p["happy"] for face in by_hand])
    assert_equal([done.report["data"]["n"], done.report["data"]["unreadable"]], [12, 1])


def test_the_test_rows_are_taken_where_there_are_some(manifest: Path) -> None:
    assert_equal(evaluate_file(manifest, resamples=20).report["data"]["n"], 8)


def test_the_command_prints_json_alone_on_stdout(manifest: Path, happysad: Callable[..., Any], tmp_path: Path) -> None:
    done = happysad("evaluate", manifest, "--split", "valid", "--by", "gender", "--out", tmp_path / "out", "--html", "--json")
    assert_equal(done.returncode, 0, done.stderr)
    report = json.loads(done.stdout)
    assert_equal(set(report["two_way"]["accuracy"]), {"value", "low", "high", "n"})
    assert_equal(json.loads((tmp_path / "out" / "metrics.json").read_text()), report)
    assert_equal(
        sorted(path.name for path in (tmp_path / "out").iterdir()),
        ["data-sheet.md", "metrics.json", "model-card.md", "report.html"],
    )


def test_an_attribute_that_is_not_there_is_said_and_the_rest_is_computed(manifest: Path, happysad: Callable[..., Any]) -> None:
    done = happysad("evaluate", manifest, "--by", "age", "--json")
    assert_equal(done.returncode, 1)
    assert b"There is no attribute age in faces.csv; there are: gender." in done.stderr
    assert_equal(json.loads(done.stdout)["data"]["n"], 8)


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["--split", "train"], 1, "there are no train rows in the manifest (rows: test 8, valid 4)"),
        (["--html"], 2, "--html needs a folder to write into: add --out DIR"),
        (["--fail-on", "gap:accuracy>0.05"], 2, "--fail-on compares subgroups: add --by ATTRIBUTE"),
        (["--by", "gender", "--fail-on", "accuracy<0.9"], 2, "expected a limit such as gap:accuracy>0.05, got accuracy<0.9"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    manifest: Path, happysad: Callable[..., Any], arguments: list[str], status: int, sentence: str
) -> None:
    done = happysad("evaluate", manifest, *arguments)
    assert_equal(done.returncode, status)
    assert sentence in " ".join(done.stderr.decode().split())
    assert b"Traceback" not in done.stderr


def test_the_conformal_sets_of_the_bundled_model_hold_on_votes_of_people(shared_data: Path, predictor: Predictor) -> None:
    from happysad.train import fer2013

    faces = fer2013.load(shared_data, "valid")
    rows = np.random.default_rng(0).choice(len(faces), 600, replace=False)
    p, shares = predictor.classify(faces.images[rows][..., None]), faces.look_shares()[rows]
    truth = [LOOKS[k] for k in shares.argmax(axis=1)]
    frame = scored(truth, truth).assign(**{f"p_{look}": p[:, k] for k, look in enumerate(LOOKS)})
    held = evaluate(frame, predictor.contract, resamples=20)["conformal"]["0.9"]["coverage"]
    assert abs(held["value"] - 0.9) < 3 * (0.9 * 0.1 / 600 * 2) ** 0.5  # the threshold comes from as few faces as the measure
    figures = key_figures(p, shares, shares.argmax(axis=1), predictor.contract)
    assert figures["happy_sad_votes"]["value"] > 0.8
