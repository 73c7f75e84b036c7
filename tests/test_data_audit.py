"""The audit sees what was planted, the review keeps what was decided, and apply does what it says."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from datasets import face, folder_of, happy_sad, jpeg, photo, zip_of
from PIL import Image, ImageDraw
from sklearn.metrics import cohen_kappa_score

from happysad import label_errors
from happysad.audit import KINDS, Case, Finding, findings
from happysad.cli import main
from happysad.contract import Contract
from happysad.duplicates import find_pairs
from happysad.errors import DataError
from happysad.examine import MEASURES, examine
from happysad.importing import import_data
from happysad.manifest import read_manifest, write_manifest
from happysad.opinions import has_seen
from happysad.review import Review, applied, kappa, suspects_of
from happysad.reviewpage import serve
from happysad.show import entropy, summary


def run(*arguments: object) -> Any:
    return CliRunner().invoke(main, ["data", *map(str, arguments)])


def imported(tmp_path: Path, files: dict[str, bytes]) -> Path:
    import_data(str(folder_of(tmp_path / "set", files)), tmp_path / "f.csv")
    return tmp_path / "f.csv"


def audited(manifest: Path) -> list[Finding]:
    """All but the opinions on labels, which need more rows than a test has."""
    frame = read_manifest(manifest)
    seen = examine(frame, manifest)
    return findings(Case(frame, seen, find_pairs(frame, manifest.parent, seen.described)))


def drawing() -> bytes:
    page = Image.new("RGB", (300, 300), "white")
    ImageDraw.Draw(page).ellipse((60, 60, 240, 240), fill="gold", outline="black", width=4)
    return jpeg(page)


# ---- findings


def test_planted_faults_are_found_by_kind_and_path(tmp_path: Path) -> None:
    laugh = face(1.0)
    dark = Image.open(folder_of(tmp_path / "x", {"d.jpg": laugh}) / "d.jpg").point(lambda value: value // 12)
    files = {
        "happy/good.jpg": laugh,
        "happy/drawing.jpg": drawing(),
        "happy/broken.jpg": laugh[:2000],
        "happy/named.png": face(0.8),
        "happy/empty.jpg": jpeg(Image.new("RGB", (80, 80), "grey")),
        "sad/copy.jpg": laugh,
        "sad/dark.jpg": jpeg(dark),
        "sad/landscape.jpg": jpeg(photo(1, 300)),
    }
    found = {(finding.kind, Path(finding.path).name) for finding in audited(imported(tmp_path, files)) if finding.path}
    expected = {
        ("not_a_photo", "drawing.jpg"),
        ("unreadable_photo", "broken.jpg"),
        ("misnamed_photo", "named.png"),
        ("not_a_photo", "empty.jpg"),
        ("label_conflict", "good.jpg"),
        ("exact_duplicate", "copy.jpg"),
        ("no_face", "landscape.jpg"),
    }
    assert expected <= found
    assert ("not_a_photo", "landscape.jpg") not in found


def test_findings_come_worst_first_with_known_kinds_and_severities(tmp_path: Path) -> None:
    found = audited(imported(tmp_path, {"happy/a.jpg": drawing(), "sad/b.jpg": drawing(), "sad/c.jpg": face(-1.0)}))
    severities = [finding.severity for finding in found]
    assert severities == sorted(severities, reverse=True)
    assert all(0 <= severity <= 1 for severity in severities)
    assert {finding.kind for finding in found} <= set(KINDS)


def test_a_label_against_clear_votes_is_found(tmp_path: Path) -> None:
    manifest = imported(tmp_path, happy_sad(2))
    frame = read_manifest(manifest)
    frame["votes_happy"], frame["votes_sad"] = [9.0, 9, 9, 1], [1.0, 1, 1, 9]
    write_manifest(frame, manifest)
    found = [finding for finding in audited(manifest) if finding.kind == "label_against_votes"]
    assert [(finding.path, finding.suggested, finding.probability) for finding in found] == [("set/sad/0.jpg", "happy", 0.9)]


def test_an_attribute_that_decides_the_label_is_a_shortcut(tmp_path: Path) -> None:
    manifest = imported(tmp_path, happy_sad(25))
    frame = read_manifest(manifest)
    frame["camera"] = ["old" if label == "sad" else "new" for label in frame["label"]]
    frame["room"] = ["a", "b"] * 25
    write_manifest(frame, manifest)
    messages = [finding.message for finding in audited(manifest) if finding.kind == "label_shortcut"]
    assert len(messages) == 1
    assert messages[0].startswith("camera alone tells the label (100%")


def test_one_class_and_a_small_class_are_said(tmp_path: Path) -> None:
    found = [
        finding.message
        for finding in audited(imported(tmp_path, {"happy/a.jpg": jpeg(photo(1))}))
        if finding.kind == "rare_label"
    ]
    assert any("only one class, happy" in message for message in found)


def test_a_photo_that_vanished_after_import_is_a_finding(tmp_path: Path) -> None:
    manifest = imported(tmp_path, happy_sad(2))
    (tmp_path / "set/sad/1.jpg").unlink()
    found = [finding for finding in audited(manifest) if finding.kind == "unreadable_photo"]
    assert [(finding.path, finding.message[:21]) for finding in found] == [("set/sad/1.jpg", "there is no such file")]


def test_looking_again_remembers_and_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = imported(tmp_path, happy_sad(3))
    frame = read_manifest(manifest)
    first = examine(frame, manifest)
    monkeypatch.setattr("happysad.examine.read_image", None)  # would fail if a photo were opened
    again = examine(frame, manifest)
    np.testing.assert_array_equal(first.measures, again.measures)
    np.testing.assert_array_equal(first.described, again.described)
    assert first.measures.shape == (6, len(MEASURES))
    assert not list(manifest.parent.glob(".f.csv.seen/*.jpg"))


# ---- label errors


def test_swapped_labels_rank_first_among_separable_features() -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 2, 400)
    features = rng.normal(size=(400, 8)) + 3 * true[:, None]
    given = np.array(["happy", "sad"])[true]
    wrong = rng.choice(400, 20, replace=False)
    given[wrong] = np.where(given[wrong] == "happy", "sad", "happy")
    classes = ("happy", "sad")
    p = label_errors.cross_validated(features, given, np.arange(400), classes, label_errors.linear_model())
    suspects = label_errors.suspects(given, p, classes)
    assert set(np.argsort(suspects.quality)[:20]) == set(wrong)
    assert set(np.flatnonzero(suspects.is_error)) == set(wrong)
    np.testing.assert_array_equal(suspects.suggested[wrong], np.where(given[wrong] == "happy", "sad", "happy"))


def test_copies_cannot_vouch_for_each_other() -> None:
    """Labels are noise, each row has a copy: only a model that has seen the copy could be right more often than by chance."""
    rng = np.random.default_rng(1)
    features, labels = np.repeat(rng.normal(size=(150, 200)), 2, axis=0), np.repeat(rng.choice(["happy", "sad"], 150), 2)
    p = label_errors.cross_validated(
        features, labels, np.repeat(np.arange(150), 2), ("happy", "sad"), label_errors.linear_model()
    )
    assert (p.argmax(axis=1) == (labels == "sad")).mean() < 0.65


def test_looks_without_a_class_count_for_the_nearest() -> None:
    p = np.array([[0.1, 0.6, 0.1, 0.2]])
    np.testing.assert_allclose(label_errors.opinion_on(("happy", "sad"), p), [[0.1, 0.9]], atol=1e-3)
    np.testing.assert_allclose(label_errors.opinion_on(("happy", "neutral", "sad"), p), [[0.1, 0.6, 0.3]], atol=1e-3)
    np.testing.assert_allclose(label_errors.opinion_on(("happy", "not_happy"), p), [[0.1, 0.9]], atol=1e-3)


def test_the_model_is_not_asked_about_data_that_it_was_trained_on(tmp_path: Path) -> None:
    frame = read_manifest(imported(tmp_path, happy_sad(1)))
    contract = Contract("m", trained_on=("FER2013 (Goodfellow et al. 2013)", "FER+ (votes)"))
    assert not has_seen(contract, frame)
    assert has_seen(contract, frame.assign(source="my_fer-2013_copy.zip"))
    assert not has_seen(contract, frame.assign(source="different.zip"))
    assert has_seen(Contract("m"), frame)  # a model that does not say


# ---- the command


def test_audit_prints_json_lines_with_the_fixed_names_and_writes_csv_and_html(tmp_path: Path) -> None:
    manifest = imported(tmp_path, {"happy/a\n<b>.jpg": drawing(), "sad/c.jpg": face(-1.0)})
    before = manifest.read_bytes()
    done = run("audit", manifest, "--json", "--csv", tmp_path / "a.csv", "--html", tmp_path / "a.html")
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"kind", "severity", "path", "message", "related"} <= set.intersection(*map(set, rows))
    assert len(pd.read_csv(tmp_path / "a.csv")) == len(rows)
    html = (tmp_path / "a.html").read_text()
    assert "data:image/jpeg;base64," in html
    assert "a\n<b>" not in html
    assert "http://" not in html
    assert "https://" not in html
    assert manifest.read_bytes() == before


def test_fail_on_gives_status_3_at_the_limit_and_knows_its_kinds(tmp_path: Path) -> None:
    manifest = imported(tmp_path, {"happy/a.jpg": drawing(), "sad/c.jpg": face(-1.0)})
    assert run("audit", manifest, "--fail-on", "not_a_photo").exit_code == 3
    assert run("audit", manifest, "--fail-on", "not_a_photo:3").exit_code == 0
    assert "there is no kind drawings of finding" in run("audit", manifest, "--fail-on", "drawings").output


def test_show_counts_and_its_page_needs_no_other_file(tmp_path: Path) -> None:
    manifest = imported(tmp_path, {**happy_sad(4), "sad/no.jpg": jpeg(photo(9, 300))})
    done = run("show", manifest, "--json", "--html", tmp_path / "s.html")
    numbers = json.loads(done.stdout)
    assert numbers["labels"] == {"happy": {"none": 4}, "sad": {"none": 5}}
    assert (numbers["rows"], numbers["without_face"]) == (9, 1)
    assert numbers["measures"]["width"]["median"] == 96
    html = (tmp_path / "s.html").read_text()
    assert "mean of 4 faces" in html
    assert 'src="http' not in html


def test_entropy_of_votes_is_that_of_scipy() -> None:
    from scipy.stats import entropy as reference

    votes = np.array([[10.0, 0, 0, 0], [5, 5, 0, 0], [1, 2, 3, 4], [3, 3, 3, 3]])
    np.testing.assert_allclose(entropy(votes), reference(votes, base=2, axis=1), atol=1e-12)


def test_a_rare_class_is_warned_about(tmp_path: Path) -> None:
    files = {f"happy/{i}.jpg": jpeg(photo(i)) for i in range(8)} | {"sad/1.jpg": jpeg(photo(99))}
    manifest = imported(tmp_path, files)
    frame = read_manifest(manifest)
    assert any("happy has 8.0 times as many rows as sad" in text for text in summary(frame, examine(frame, manifest))["warnings"])


# ---- review and apply


def test_decisions_are_kept_undone_and_counted_per_reviewer(tmp_path: Path) -> None:
    review = Review(tmp_path / "f.csv")
    review.decide("a.jpg", "", "happy", "ann")
    review.decide("b.jpg", "", "skip", "ann")
    review.decide("b.jpg", "", "undo", "ann")
    review.decide("a.jpg", "", "sad", "bob")
    assert Review(tmp_path / "f.csv").choices() == {"ann": {"a.jpg": "happy"}, "bob": {"a.jpg": "sad"}}
    assert review.last_path("ann") == "a.jpg"
    with pytest.raises(DataError, match="expected one of keep"):
        review.decide("a.jpg", "", "joyful", "ann")


def test_two_reviewers_at_once_lose_nothing(tmp_path: Path) -> None:
    def work(name: str) -> None:
        for i in range(40):
            Review(tmp_path / "f.csv").decide(f"{i}.jpg", "", "keep", name)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("ann", "bob", "eve")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: len(of) for name, of in Review(tmp_path / "f.csv").choices().items()} == {"ann": 40, "bob": 40, "eve": 40}


def test_kappa_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(2)
    first = rng.choice(["keep", "happy", "sad"], 60)
    second = np.where(rng.random(60) < 0.7, first, rng.choice(["keep", "happy", "sad", "skip"], 60))
    np.testing.assert_allclose(kappa(first, second), cohen_kappa_score(first, second))
    assert np.isnan(kappa(["keep"], ["keep"]))


def test_apply_puts_labels_right_leaves_rows_out_and_says_so(tmp_path: Path) -> None:
    manifest = imported(tmp_path, happy_sad(3))
    review = Review(manifest)
    review.decide("set/happy/0.jpg", "", "sad", "ann")
    review.decide("set/happy/1.jpg", "", "skip", "ann")
    review.decide("set/sad/0.jpg", "", "happy", "ann")
    review.decide("set/sad/0.jpg", "", "keep", "bob")  # a tie
    (tmp_path / "deep").mkdir()
    done = run("apply", manifest, "-o", tmp_path / "deep" / "clean.csv")
    assert done.exit_code == 0, done.output
    for sentence in (
        "1 rows: happy became sad",
        "1 rows were left out",
        "1 photos were left as they are, because the reviewers disagree",
    ):
        assert sentence in done.output
    clean = read_manifest(tmp_path / "deep" / "clean.csv")
    assert dict(zip(clean["path"], clean["label"], strict=True)) == {
        "../set/happy/0.jpg": "sad",
        "../set/happy/2.jpg": "happy",
        "../set/sad/0.jpg": "sad",
        "../set/sad/1.jpg": "sad",
        "../set/sad/2.jpg": "sad",
    }
    assert len(read_manifest(manifest)) == 6


def test_apply_without_a_kind_leaves_those_rows_out(tmp_path: Path) -> None:
    manifest = imported(tmp_path, {**happy_sad(2), "happy/d.jpg": drawing()})
    done = run("apply", manifest, "-o", tmp_path / "clean.csv", "--without", "not_a_photo")
    assert "1 rows were left out for not_a_photo" in done.output
    assert len(read_manifest(tmp_path / "clean.csv")) == 4


def test_apply_with_nothing_decided_says_what_to_do_first(tmp_path: Path) -> None:
    done = run("apply", imported(tmp_path, happy_sad(1)), "-o", tmp_path / "clean.csv")
    assert "nobody has decided anything" in done.output
    assert not (tmp_path / "clean.csv").exists()


def test_ties_and_unknown_photos_change_nothing(tmp_path: Path) -> None:
    frame = read_manifest(imported(tmp_path, happy_sad(1)))
    same, notes = applied(frame, {"ann": {"gone.jpg": "sad"}})
    pd.testing.assert_frame_equal(same, frame)
    assert notes[-1] == "1 decisions are about photos that the manifest does not have"


# ---- the page


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Any]:
    """A running review page for three suspects; call it with a path, and a body to post."""
    manifest = tmp_path / "f.csv"
    import_data(str(zip_of(tmp_path / "w.zip", happy_sad(3))), manifest)
    frame = read_manifest(manifest)
    found = [
        Finding("label_error", 0.9 - i / 10, path, "labelled happy, looks sad", (), "happy", "sad")
        for i, path in enumerate(frame["path"][:3])
    ]
    with serve(suspects_of(frame, found), {}, manifest, "ann", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()

        def ask(path: str, body: Any = None, token: str | None = None) -> Any:
            url = f"http://127.0.0.1:{server.server_port}{path}"
            headers = {} if token is None else {"X-Token": token}
            data = None if body is None else json.dumps(body).encode()
            with urllib.request.urlopen(urllib.request.Request(url, data, headers)) as answer:
                content = answer.read()
            return json.loads(content) if answer.headers["Content-Type"] == "application/json" else content

        ask.token = ask("/").decode().split('const token = "')[1].split('"')[0]
        ask.manifest = manifest
        yield ask
        server.shutdown()
        thread.join()


def test_the_page_gives_the_next_suspect_after_each_decision_and_undo_goes_back(page: Any) -> None:
    state = page("/state")
    assert (state["total"], state["done"], state["suspect"]["path"]) == (3, 0, "w.zip::happy/0.jpg")
    assert page("/picture?number=0").startswith(b"\xff\xd8")
    state = page("/decide", {"number": 0, "choice": "sad"}, page.token)
    assert (state["done"], state["suspect"]["number"]) == (1, 1)
    state = page("/undo", {}, page.token)
    assert (state["done"], state["suspect"]["number"]) == (0, 0)
    page("/decide", {"number": 0, "choice": "skip"}, page.token)
    assert Review(page.manifest).choices() == {"ann": {"w.zip::happy/0.jpg": "skip"}}


@pytest.mark.parametrize(
    ("path", "body", "with_token", "status"),
    [
        ("/decide", {"number": 0, "choice": "sad"}, False, 403),
        ("/decide", {"number": 99, "choice": "sad"}, True, 400),
        ("/decide", {"choice": "sad"}, True, 400),
        ("/decide", {"number": 0, "choice": "joyful"}, True, 500),
        ("/picture?number=99", None, False, 404),
        ("/picture?number=../../etc", None, False, 404),
        ("/anything", None, False, 404),
    ],
)
def test_the_page_refuses_what_is_not_its_own(page: Any, path: str, body: Any, with_token: bool, status: int) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        page(path, body, page.token if with_token else None)
    assert caught.value.code == status
    assert Review(page.manifest).choices() == {}
