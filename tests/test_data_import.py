"""Bringing labelled faces in: each usual form becomes the same kind of table, and nothing is half written."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from datasets import face, folder_of, happy_sad, jpeg, photo, zip_of
from hypothesis import given, settings
from hypothesis import strategies as st

from happysad import importing
from happysad.archive import read_member
from happysad.cli import main
from happysad.errors import DataError, ImageError
from happysad.importing import import_data
from happysad.manifest import moved, photo_bytes, read_manifest, read_photo, typed, write_manifest
from happysad.sources import Wishes

TEXT = st.characters(exclude_characters="\0", exclude_categories=["Cs"])


def imported(source: Path, target: Path, **wishes: Any) -> pd.DataFrame:
    import_data(str(source), target, Wishes(**wishes))
    return read_manifest(target)


def run(*arguments: object) -> Any:
    return CliRunner().invoke(main, ["data", *map(str, arguments)])


# ---- the usual forms


def test_folders_by_class_become_rows_with_hash_size_and_label(tmp_path: Path) -> None:
    files = {"Happiness/a.jpg": face(1.0), "02_sad faces/b.jpg": face(-1.0)}
    frame = imported(folder_of(tmp_path / "set", files), tmp_path / "faces.csv")
    assert frame["label"].tolist() == ["sad", "happy"]
    assert frame["path"].tolist() == ["set/02_sad faces/b.jpg", "set/Happiness/a.jpg"]
    assert frame["sha256"][1] == hashlib.sha256(files["Happiness/a.jpg"]).hexdigest()
    assert (frame["width"][0], frame["height"][0]) == (480, 360)
    assert frame["source"].unique().tolist() == ["set"]


def test_the_found_face_is_in_the_row(tmp_path: Path) -> None:
    row = imported(folder_of(tmp_path / "set", {"happy/a.jpg": face(1.0)}), tmp_path / "faces.csv").iloc[0]
    assert (row["faces"], row["cropped"]) == (1, False)
    assert 0 <= row["x0"] < row["x1"] <= 480
    assert 0.5 <= row["detector_score"] <= 1
    assert np.array(json.loads(row["landmarks"])).shape == (5, 2)


def test_small_square_photos_count_as_crops_unless_told_otherwise(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "set", {"happy/a.jpg": jpeg(photo(1))})
    assert imported(source, tmp_path / "a.csv")["cropped"].tolist() == [True]
    assert imported(source, tmp_path / "b.csv", cropped=False)["cropped"].tolist() == [False]


def test_split_folders_are_kept_as_splits(tmp_path: Path) -> None:
    files = {f"{folder}/happy/1.jpg": jpeg(photo(1)) for folder in ("train", "validation", "PublicTest", "TEST")}
    frame = imported(folder_of(tmp_path / "set", files), tmp_path / "faces.csv")
    assert sorted(zip(frame["path"].str.split("/").str[1], frame["split"], strict=True)) == [
        ("PublicTest", "valid"),
        ("TEST", "test"),
        ("train", "train"),
        ("validation", "valid"),
    ]


def test_the_deepest_folder_that_names_a_class_counts(tmp_path: Path) -> None:
    frame = imported(folder_of(tmp_path / "set", {"sad/happy/john/1.jpg": jpeg(photo(1))}), tmp_path / "faces.csv")
    assert frame["label"].tolist() == ["happy"]


def test_map_names_classes_and_skips(tmp_path: Path) -> None:
    files = {"glücklich/1.jpg": jpeg(photo(1)), "sad/2.jpg": jpeg(photo(2)), "rest/3.jpg": jpeg(photo(3))}
    frame = imported(folder_of(tmp_path / "s", files), tmp_path / "f.csv", words={"glücklich": "happy", "rest": "skip"})
    assert sorted(frame["label"]) == ["happy", "sad"]


def test_a_zip_is_read_as_it_is_and_its_photos_can_be_opened_by_their_path(tmp_path: Path) -> None:
    files = happy_sad(2)
    frame = imported(zip_of(tmp_path / "web.zip", files), tmp_path / "faces.csv")
    assert frame["path"].tolist() == [f"web.zip::{name}" for name in files]
    for path, content in zip(frame["path"], files.values(), strict=True):
        assert photo_bytes(path, tmp_path) == content
    assert read_photo(frame["path"][0], tmp_path).pixels.shape == (96, 96, 3)


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tgz", "tar.xz"])
def test_a_tar_is_read_as_it_is(tmp_path: Path, ending: str) -> None:
    folder_of(tmp_path / "set", happy_sad(2))
    with tarfile.open(
        tmp_path / f"web.{ending}", f"w:{ending.partition('.')[2]}" if "." in ending else "w:gz" if ending == "tgz" else "w"
    ) as tar:
        tar.add(tmp_path / "set", "set")
    frame = imported(tmp_path / f"web.{ending}", tmp_path / "faces.csv")
    assert sorted(frame["label"]) == ["happy", "happy", "sad", "sad"]
    assert photo_bytes(frame["path"][0], tmp_path).startswith(b"\xff\xd8")


def fer_csv(tmp_path: Path, n: int = 4) -> Path:
    rng = np.random.default_rng(0)
    lines = ["emotion,pixels,Usage"]
    for i in range(n):
        pixels = " ".join(map(str, rng.integers(0, 256, 48 * 48)))
        lines.append(f"{(3, 4, 6, 0)[i % 4]},{pixels},{('Training', 'PublicTest', 'PrivateTest')[i % 3]}")
    (tmp_path / "fer2013.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "fer2013.csv"


def test_fer2013_rows_become_photos_with_their_pixels(tmp_path: Path) -> None:
    frame = imported(fer_csv(tmp_path), tmp_path / "faces.csv")
    assert frame["label"].tolist() == ["happy", "sad", "neutral", "other"]
    assert frame["split"].tolist() == ["train", "valid", "test", "train"]
    assert frame["path"].tolist() == [f"fer2013.csv::{i}" for i in range(4)]
    expected = np.random.default_rng(0).integers(0, 256, 48 * 48).reshape(48, 48)
    np.testing.assert_array_equal(read_photo("fer2013.csv::0", tmp_path).pixels[..., 1], expected)
    assert frame["cropped"].all()


def test_ferplus_votes_beside_fer2013_are_joined_by_row(tmp_path: Path) -> None:
    names = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    rows = [
        "Training,a.png,1,7,1,0,1,0,0,0,0,0",
        "PublicTest,,0,0,0,0,0,0,0,0,0,10",
        "x,,1,0,0,8,0,0,1,0,0,0",
        "x,,0,0,0,0,4,3,2,1,0,0",
    ]
    source = fer_csv(tmp_path)
    (tmp_path / "fer2013new.csv").write_text("\n".join([names, *rows]))
    frame = imported(source, tmp_path / "faces.csv")
    votes = frame[["votes_happy", "votes_neutral", "votes_sad", "votes_other"]].to_numpy()
    np.testing.assert_array_equal(votes[[0, 2, 3]], [[7, 1, 0, 2], [0, 1, 8, 1], [0, 0, 0, 10]])
    assert np.isnan(votes[1]).all()
    assert frame["label"].tolist() == ["happy", "sad", "neutral", "other"]  # the original labels stay


def test_a_table_gives_labels_subjects_and_attributes(tmp_path: Path) -> None:
    folder_of(tmp_path, {"p/1.jpg": jpeg(photo(1)), "p/2.jpg": jpeg(photo(2))})
    (tmp_path / "t.csv").write_text("file,emotion,who,age\np/1.jpg,Happiness,ann,007\np/2.jpg,anger,bob,\n")
    done = run("import", tmp_path / "t.csv", "--columns", "label=emotion", "subject=who", "-o", tmp_path / "f.csv")
    assert done.exit_code == 0, done.output
    frame = read_manifest(tmp_path / "f.csv")
    assert frame["label"].tolist() == ["happy", "other"]
    assert frame["subject"].tolist() == ["ann", "bob"]
    assert frame["age"].tolist() == ["007", ""]
    assert "file" not in frame.columns


def test_a_table_inside_a_zip_names_its_photos(tmp_path: Path) -> None:
    table = b"image,expression,subject\nimages/1.jpg,sadness,A\nimages/2.jpg,joy,B\n"
    source = zip_of(tmp_path / "l.zip", {"labels.csv": table, "images/1.jpg": jpeg(photo(1)), "images/2.jpg": jpeg(photo(2))})
    frame = imported(source, tmp_path / "f.csv")
    assert frame["path"].tolist() == ["l.zip::images/1.jpg", "l.zip::images/2.jpg"]
    assert frame["label"].tolist() == ["sad", "happy"]
    assert frame["subject"].tolist() == ["A", "B"]


def test_csv_and_parquet_hold_the_same(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "set", happy_sad(2))
    pd.testing.assert_frame_equal(imported(source, tmp_path / "a.csv"), imported(source, tmp_path / "a.parquet"))


# ---- again, and after an interruption


def test_a_second_import_changes_nothing_and_says_so(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "set", happy_sad(2))
    import_data(str(source), tmp_path / "f.csv")
    before = (tmp_path / "f.csv").stat().st_mtime_ns, (tmp_path / "f.csv").read_bytes()
    notes = import_data(str(source), tmp_path / "f.csv")
    assert before == ((tmp_path / "f.csv").stat().st_mtime_ns, (tmp_path / "f.csv").read_bytes())
    assert "nothing changed" in notes[-1]


def test_a_different_manifest_is_not_replaced_unless_forced(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "set", happy_sad(2))
    (tmp_path / "f.csv").write_text("mine")
    with pytest.raises(DataError, match="exists and is different; give another name, or --force"):
        import_data(str(source), tmp_path / "f.csv")
    assert (tmp_path / "f.csv").read_text() == "mine"
    import_data(str(source), tmp_path / "f.csv", force=True)
    assert len(read_manifest(tmp_path / "f.csv")) == 4


def test_an_interrupted_import_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = folder_of(tmp_path / "set", happy_sad(3))
    import_data(str(source), tmp_path / "whole.csv")
    see, seen = importing.see, []

    def breaks(path: str, *rest: Any) -> dict[str, Any]:
        seen.append(path)
        if path.endswith("sad/1.jpg"):
            raise KeyboardInterrupt
        return see(path, *rest)

    monkeypatch.setattr(importing, "see", breaks)
    with pytest.raises(KeyboardInterrupt):
        import_data(str(source), tmp_path / "f.csv")
    assert not (tmp_path / "f.csv").exists()
    seen.clear()
    monkeypatch.setattr(importing, "see", lambda path, *rest: seen.append(path) or see(path, *rest))
    import_data(str(source), tmp_path / "f.csv")
    assert "set/happy/0.jpg" not in seen
    assert (tmp_path / "f.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert not list(tmp_path.glob(".f.csv*"))


# ---- bad input: one sentence, nothing half written


def test_each_bad_source_gets_its_sentence_and_no_file(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    folder_of(tmp_path / "unknown", {"x/1.jpg": jpeg(photo(1)), "y/2.jpg": jpeg(photo(2))})
    folder_of(tmp_path / "thousand", {f"c{i}x/1.jpg": b"" for i in range(1000)})
    zip_of(tmp_path / "nested.zip", {"inner.zip": b"PK"})
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 not really")
    folder_of(tmp_path / "p", {"1.jpg": jpeg(photo(1))})
    tables = {
        "width": "path,label\np/1.jpg,happy,3\n",
        "column": "file_of_face,label\np/1.jpg,happy\n",
        "nolabel": "path,age\np/1.jpg,3\n",
        "negative": "path,votes_happy,votes_sad\np/1.jpg,-1,3\n",
        "zero": "path,votes_happy,votes_sad\np/1.jpg,0,0\n",
        "missing": "path,label\nq/1.jpg,happy\n",
        "norows": "path,label\n",
        "nothing": "",
    }
    for name, text in tables.items():
        (tmp_path / f"{name}.csv").write_text(text)
    (tmp_path / "utf16.csv").write_text("path,label\np/1.jpg,happy\n", "utf-16")
    for source, sentence in {
        "empty": "has no photos in it",
        "unknown": "these folders name no class that is known: 'x' (1), 'y' (1); say what they mean, such as --map 'x'=happy",
        "thousand": "and 988 more",
        "nested.zip": "holds another archive, inner.zip",
        "broken.zip": "cannot be read as an archive",
        "absent": "there is no such file or folder",
        "width.csv": "width.csv, line 2: 3 fields, the header has 2",
        "column.csv": "has no column of photos; say which with --columns path=NAME; its columns are file_of_face, label",
        "nolabel.csv": "has no labels or votes",
        "negative.csv": "row 1: its votes are negative",
        "zero.csv": "row 1: all its votes are 0",
        "missing.csv": "none of its photos exist, the first is 'q/1.jpg'",
        "norows.csv": "has a header and no rows",
        "nothing.csv": "is empty",
        "utf16.csv": "is not CSV in UTF-8",
    }.items():
        done = run("import", tmp_path / source, "-o", tmp_path / "out.csv")
        assert sentence in done.output, source
        assert done.exit_code == 1, source
        assert not list(tmp_path.glob("*out.csv*")), source


def test_one_class_is_imported_and_said(tmp_path: Path) -> None:
    notes = import_data(str(folder_of(tmp_path / "s", {"happy/1.jpg": jpeg(photo(1))})), tmp_path / "f.csv")
    assert "only one class was found, happy: nothing can be learnt from it alone" in notes


def test_an_unreadable_photo_is_a_row_with_its_reason(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "s", {"happy/1.jpg": b"<html>gone</html>", "sad/2.jpg": jpeg(photo(1))})
    frame = imported(source, tmp_path / "f.csv")
    assert frame["error"][0].startswith("the file is not a photo, it looks like an HTML page")
    assert frame["error"][1] == ""


def test_names_with_newlines_emoji_and_right_to_left_text_come_back_as_they_were(tmp_path: Path) -> None:
    names = ["a\nb.jpg", '😀,".jpg', "שלום.jpg", os.fsdecode(b"\xff.jpg"), "a::b.jpg", "x.zip::y.jpg"]
    source = folder_of(tmp_path / "s", {f"happy/{name}": jpeg(photo(i)) for i, name in enumerate(names)})
    frame = imported(source, tmp_path / "f.csv")
    assert {Path(path).name for path in frame["path"]} == set(names)
    assert (frame["error"] == "").all()


def test_members_that_lead_out_and_links_are_harmless(tmp_path: Path) -> None:
    zip_of(tmp_path / "evil.zip", {"../../happy/out.jpg": jpeg(photo(1)), "happy/in.jpg": jpeg(photo(2))})
    before = sorted(tmp_path.parent.rglob("*"))
    frame = imported(tmp_path / "evil.zip", tmp_path / "f.csv")
    assert len(frame) == 2
    assert set(tmp_path.parent.rglob("*")) - set(before) == {tmp_path / "f.csv"}
    with tarfile.open(tmp_path / "links.tar", "w") as tar:
        link = tarfile.TarInfo("happy/secret.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(DataError, match="no photos in it"):
        import_data(str(tmp_path / "links.tar"), tmp_path / "g.csv")


def test_a_member_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("happysad.archive.MAX_MEMBER_BYTES", 1000)
    zip_of(tmp_path / "bomb.zip", {"happy/1.jpg": b"\0" * 5000})
    with pytest.raises(ImageError, match="the file unpacks to"):
        read_member(tmp_path / "bomb.zip", "happy/1.jpg")


def test_a_target_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "s", happy_sad(1))
    done = run("import", source, "-o", tmp_path / "nowhere" / "f.csv")
    assert done.exit_code == 1
    assert "does not exist; make it first" in done.output
    done = run("import", source, "-o", tmp_path / "f.txt")
    assert "a manifest is a .csv or a .parquet file, got f.txt" in done.output


def test_a_full_disk_leaves_the_old_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = typed(pd.DataFrame({"path": ["a.jpg"]}), "f.csv")
    write_manifest(frame, tmp_path / "f.csv")
    before = (tmp_path / "f.csv").read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(DataError, match=r"f.csv cannot be written: No space left on device"):
        write_manifest(frame, tmp_path / "f.csv")
    assert (tmp_path / "f.csv").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_kaggle_without_a_token_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    done = run("import", "kaggle:owner/name", "-o", tmp_path / "f.csv")
    assert "Kaggle wants a token, and none was found" in done.output
    assert done.exit_code == 1


# ---- the table itself


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("label\nhappy\n", "has no column path"),
        (
            "path,label\na,joy\n",
            "row 1, column label: expected one of happy, neutral, sad, other, not_happy, or nothing, got 'joy'",
        ),
        ("path,votes_happy\na,-1\n", "column votes_happy: expected 0 or more"),
        ("path,votes_happy\na,0\n", "column votes: expected at least one vote"),
        ("path,width\na,many\n", "column width: expected a number, got 'many'"),
        ("path,split\na,later\n", "column split: expected one of train, valid, test"),
        ("path,x0,y0,x1,y1\na,5,0,5,9\n", "expected a box with x0 < x1"),
        ("path,path\na,b\n", "two columns of the same name: path"),
    ],
)
def test_what_is_no_manifest_is_refused_with_the_first_wrong_row(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "f.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        read_manifest(tmp_path / "f.csv")
    assert sentence in str(caught.value)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.text(TEXT, min_size=1), min_size=1, max_size=5), st.text(TEXT))
def test_any_text_survives_writing_and_reading(tmp_path_factory: pytest.TempPathFactory, paths: list[str], subject: str) -> None:
    target = tmp_path_factory.mktemp("f") / "f.csv"
    frame = typed(pd.DataFrame({"path": paths, "subject": subject}, dtype=object), "f.csv")
    write_manifest(frame, target)
    pd.testing.assert_frame_equal(read_manifest(target), frame)


def test_a_manifest_that_moves_still_finds_its_photos(tmp_path: Path) -> None:
    imported(zip_of(tmp_path / "w.zip", happy_sad(1)), tmp_path / "f.csv")
    (tmp_path / "deep").mkdir()
    frame = moved(read_manifest(tmp_path / "f.csv"), tmp_path, tmp_path / "deep")
    assert frame["path"][0] == "../w.zip::happy/0.jpg"
    assert photo_bytes(frame["path"][0], tmp_path / "deep") == photo_bytes("w.zip::happy/0.jpg", tmp_path)
