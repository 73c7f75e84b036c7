"""Duplicates are found, and splits part neither them nor a person."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from datasets import folder_of, happy_sad, jpeg, photo
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps

from happysad.cli import main
from happysad.duplicates import MIN_SIMILARITY, candidates, confirm_view, descriptors, find_pairs, groups, mirrored, similarity
from happysad.errors import DataError
from happysad.examine import examine
from happysad.importing import import_data
from happysad.manifest import read_manifest, typed
from happysad.split import kept_together, leaks, split_of


def run(*arguments: object) -> Any:
    return CliRunner().invoke(main, ["data", *map(str, arguments)])


def pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("RGB"))


CHANGES = {
    "re-encoded": lambda one: Image.open(io.BytesIO(jpeg(one, quality=35))),
    "made smaller": lambda one: one.resize((58, 58), Image.Resampling.LANCZOS),
    "mirrored": ImageOps.mirror,
    "cropped at a corner": lambda one: one.crop((5, 0, 96, 91)),
    "cropped on all sides": lambda one: one.crop((5, 5, 91, 91)),
    "made brighter": lambda one: ImageEnhance.Brightness(one).enhance(1.3),
    "made darker": lambda one: ImageEnhance.Brightness(one).enhance(0.6),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_altered_copy_is_found_among_others(change: str) -> None:
    pictures = [photo(i) for i in range(40)] + [CHANGES[change](photo(7))]
    found = np.unique(np.concatenate(list(candidates(np.stack([descriptors(pixels(one)) for one in pictures])))), axis=0)
    assert [7, 40] in found[:, :2].tolist()
    first, second = (confirm_view(pixels(pictures[i])) for i in (7, 40))
    second = second[:, ::-1] if change == "mirrored" else second
    assert similarity(first, second) >= MIN_SIMILARITY


def test_unrelated_photos_are_not_alike() -> None:
    views = [confirm_view(pixels(photo(i))) for i in range(12)]
    assert max(similarity(a, b) for i, a in enumerate(views) for b in views[:i]) < 0.8


def test_descriptors_of_a_mirrored_photo_are_the_mirrored_descriptors() -> None:
    one = photo(3)
    np.testing.assert_allclose(
        mirrored(descriptors(pixels(one)))[0].astype(int), descriptors(pixels(ImageOps.mirror(one)))[0].astype(int), atol=1
    )


def test_a_flat_photo_has_no_partners() -> None:
    flat = descriptors(np.full((50, 50, 3), 200, np.uint8))
    np.testing.assert_array_equal(flat, 0)
    assert list(candidates(np.stack([flat, flat]))) == []


def test_groups_connect_pairs_of_pairs() -> None:
    np.testing.assert_array_equal(groups(6, np.array([[0, 2], [2, 5], [1, 3]])), [0, 1, 0, 1, 2, 0])


def manifest_with_copies(tmp_path: Path) -> Path:
    files = happy_sad(6)
    files["sad/same.jpg"] = files["happy/0.jpg"]
    files["happy/again.jpg"] = jpeg(photo(1), quality=40)
    import_data(str(folder_of(tmp_path / "set", files)), tmp_path / "f.csv")
    return tmp_path / "f.csv"


def test_pairs_name_exact_and_altered_copies_and_nothing_else(tmp_path: Path) -> None:
    manifest = manifest_with_copies(tmp_path)
    frame = read_manifest(manifest)
    pairs = find_pairs(frame, tmp_path, examine(frame, manifest).described)
    named = {
        tuple(sorted(Path(frame["path"][i]).name for i in row)): bool(exact)
        for row, exact in zip(pairs.rows, pairs.exact, strict=True)
    }
    assert named == {("0.jpg", "same.jpg"): True, ("1.jpg", "again.jpg"): False}


# ---- splits


def table(labels: list[str], subjects: list[str]) -> pd.DataFrame:
    paths = [f"{i}.jpg" for i in range(len(labels))]
    return typed(pd.DataFrame({"path": paths, "label": labels, "subject": subjects}, dtype=object), "f.csv")


ROWS = st.lists(
    st.tuples(st.sampled_from(["happy", "sad", "neutral", ""]), st.sampled_from(["", *"abcdefghijklmnop"])),
    min_size=12,
    max_size=80,
)


@settings(deadline=None, max_examples=150)
@given(ROWS, st.data(), st.integers(0, 5), st.sampled_from([(0.7, 0.15, 0.15), (0.8, 0.2), (1, 1, 1, 1)]))
def test_no_split_ever_separates_a_subject_or_a_duplicate_group(
    rows: list[tuple[str, str]], data: st.DataObject, seed: int, shares: tuple[float, ...]
) -> None:
    frame = table([label for label, _ in rows], [subject for _, subject in rows])
    index = st.integers(0, len(rows) - 1)
    pairs = np.array(data.draw(st.lists(st.tuples(index, index), max_size=8)), np.int64).reshape(-1, 2)
    try:
        part = split_of(frame, pairs, shares, seed)
    except DataError:
        assume(False)
    used = part >= 0
    np.testing.assert_array_equal(used, frame["label"] != "")
    for first, second in pairs[used[pairs].all(axis=1)]:
        assert part[first] == part[second]
    for subject in set(frame["subject"]) - {""}:
        assert len(set(part[used & (frame["subject"] == subject).to_numpy()])) <= 1
    for label in set(frame["label"]) - {""}:
        assert set(part[(frame["label"] == label).to_numpy()]) == set(range(len(shares)))
    np.testing.assert_array_equal(part, split_of(frame, pairs, shares, seed))
    frame["split"] = [f"fold{i}" if i >= 0 else "" for i in part]
    in_use = pairs[used[pairs].all(axis=1)]
    assert leaks(frame, in_use) == []


def test_shares_are_kept_for_each_label() -> None:
    frame = table(["happy"] * 600 + ["sad"] * 200, [f"{i // 4}" for i in range(800)])
    part = split_of(frame, np.empty((0, 2)), (0.7, 0.15, 0.15))
    for label, n in (("happy", 600), ("sad", 200)):
        shares = np.bincount(part[(frame["label"] == label).to_numpy()], minlength=3) / n
        np.testing.assert_allclose(shares, [0.7, 0.15, 0.15], atol=0.011)


@pytest.mark.parametrize(
    ("labels", "subjects", "sentence"),
    [
        (["happy"] * 5, [""] * 5, "has only the class happy: there is nothing to tell apart"),
        (["", ""], ["", ""], "no row with a label and a photo that can be read"),
        (["happy", "sad"] * 5, ["ann"] * 10, "all rows show one person, ann"),
        (
            ["happy"] * 8 + ["sad"] * 4,
            [*"abcdefgh", *"xxyy"],
            "the class sad has 2 people or unrelated photos, and 3 parts need at least 3",
        ),
    ],
)
def test_what_cannot_be_split_honestly_is_refused_with_the_reason(labels: list[str], subjects: list[str], sentence: str) -> None:
    with pytest.raises(DataError) as caught:
        split_of(table(labels, subjects), np.empty((0, 2)), (0.7, 0.15, 0.15))
    assert sentence in str(caught.value)


def test_subjects_and_pairs_join_into_one_group() -> None:
    group = kept_together(table(["happy"] * 5, ["a", "b", "b", "", ""]), np.array([[0, 1], [3, 2]]))
    np.testing.assert_array_equal(group, [0, 0, 0, 0, 1])


def test_leaks_name_the_person_and_the_splits() -> None:
    frame = table(["happy"] * 4, ["ann", "ann", "bob", ""])
    frame["split"] = ["train", "test", "test", "train"]
    subject, duplicate = leaks(frame, np.array([[2, 3]]))
    assert (subject.kind, subject.name, subject.splits) == ("subject", "ann", ("test", "train"))
    assert duplicate.rows.tolist() == [2, 3]


# ---- the commands


def test_split_then_check_finds_no_leak_and_a_bad_split_is_status_3(tmp_path: Path) -> None:
    manifest = manifest_with_copies(tmp_path)
    done = run("split", manifest, "-o", tmp_path / "split.csv", "--seed", 3)
    assert done.exit_code == 0, done.output
    assert "2 pairs of duplicates were kept together" in done.output
    assert run("check", tmp_path / "split.csv").exit_code == 0
    frame = read_manifest(tmp_path / "split.csv")
    bad = frame.assign(split=["test" if "sad" in path else "train" for path in frame["path"]])
    bad.to_csv(tmp_path / "bad.csv", index=False)
    done = run("check", tmp_path / "bad.csv")
    assert done.exit_code == 3
    assert "the same photo is in test and train" in done.output


def test_folds_are_named_and_the_same_seed_gives_the_same_file(tmp_path: Path) -> None:
    manifest = manifest_with_copies(tmp_path)
    for name in ("a.csv", "b.csv"):
        assert run("split", manifest, "-o", tmp_path / name, "--folds", 3).exit_code == 0
    assert set(read_manifest(tmp_path / "a.csv")["split"]) == {"fold0", "fold1", "fold2"}
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
