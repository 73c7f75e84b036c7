"""What is in a source of labelled faces, before any photo is opened: which photos there are, and what is said about each."""

from __future__ import annotations

import csv
import io
import os
import re
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from happysad.archive import SIGN, Container, is_archive, open_container
from happysad.errors import DataError
from happysad.image import IMAGE_ENDINGS, find_images
from happysad.manifest import COLUMNS, LABELS, VOTES, listed, pandas, read_table

if TYPE_CHECKING:
    import pandas as pd

MAX_BROKEN_NAMES = 3

WORDS = {
    "happy": "happy happiness happyness smile smiling smiles joy joyful joyous glad cheerful",
    "neutral": "neutral neutrality normal calm",
    "sad": "sad sadness unhappy sorrow sorrowful crying",
    "other": "other others angry anger surprise surprised fear fearful afraid scared disgust disgusted contempt contemptuous",
    "not_happy": "not_happy nothappy non_happy nonhappy not_smiling non_smiling not_smile non_smile nosmile no_smile",
}
_LABEL_OF = {word: label for label, words in WORDS.items() for word in words.split()}
_NOISE = {
    "face",
    "faces",
    "image",
    "images",
    "photo",
    "photos",
    "pic",
    "pics",
    "people",
    "person",
    "expression",
    "emotion",
    "class",
}
_SPLIT_OF = {
    **dict.fromkeys(("train", "training", "fer2013train"), "train"),
    **dict.fromkeys(("valid", "validation", "val", "dev", "publictest", "fer2013valid"), "valid"),
    **dict.fromkeys(("test", "testing", "privatetest", "fer2013test"), "test"),
}
_GUESSES = {
    "path": ("path", "image", "file", "filename", "file_name", "image name", "image_path", "img", "pth"),
    "label": ("label", "expression", "emotion", "fer2013_label", "class", "target"),
    "subject": ("subject", "person", "identity", "subject_id", "person_id"),
    "split": ("split", "usage", "subset", "partition"),
    "licence": ("licence", "license"),
}
_UNCLEAR = {"unknown", "not_face", "nf", "unclear"}
_FER_LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
_FER_NUMBERED = re.compile(r"fer(\d{7})\.png$", re.IGNORECASE)


@dataclass(frozen=True)
class Wishes:
    """What the user says about a source.

    Attributes:
        words: class name → a label, ``skip``; beside the usual names in `WORDS`.
        columns: column of the manifest (``path``, ``label``, ``subject``, ``split``, ``votes_happy`` …) → column of a table.
        cropped: whether each photo is a face crop; None tells by its size.
        licence: the terms of the whole source.
    """

    words: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    cropped: bool | None = None
    licence: str = ""


@dataclass(frozen=True)
class Plan:
    """The photos of a source and what is said about each, before any is opened."""

    rows: list[dict[str, Any]]
    notes: list[str]


def make_plan(source: Path, base: Path, wishes: Wishes, name: str) -> Plan:
    """What is in the source; no photo is opened.

    Args:
        source: a folder or a file.
        base: the folder of the manifest, to which paths are relative where the source lies below it.
        name: for the column ``source``.

    Raises:
        DataError: no photos, unknown class names, a table without the needed columns …
    """
    for word, label in wishes.words.items():
        if label not in (*LABELS, "skip"):
            raise DataError(f"--map {word}={label}: expected one of {listed((*LABELS, 'skip'))}")
    if not source.exists():
        raise DataError(f"there is no such file or folder: {source}")
    if source.is_dir() or is_archive(source):
        plan = _plan_of_tree(_Tree.of(source), base, wishes)
    elif source.suffix.lower() in (".csv", ".parquet", ".tsv"):
        plan = _plan_of_file(source, base, wishes)
    else:
        raise DataError(
            f"{source.name} is no folder, zip, tar, CSV or Parquet file; pack photos into a folder with one folder per class"
        )
    for row in plan.rows:
        row.setdefault("source", name)
        row.setdefault("licence", wishes.licence)
    if not plan.rows:
        raise DataError(f"{source} has no photos to import: all were skipped")
    return plan


# ---- where files come from


@dataclass(frozen=True)
class _Tree:
    """A folder or an archive as names with slashes; ``container`` is None for a folder."""

    root: Path
    photos: list[str]
    tables: list[str]
    nested: list[str]
    container: Container | None

    @classmethod
    def of(cls, root: Path) -> _Tree:
        if root.is_dir():
            photos = [Path(path).relative_to(root).as_posix() for path in find_images([root])]
            tables = sorted(path.relative_to(root).as_posix() for pattern in ("*.csv", "*/*.csv") for path in root.glob(pattern))
            nested = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if is_archive(path))
            return cls(root, photos, tables, nested, None)
        container = open_container(root)
        names = [
            name
            for name in container.names()
            if not any(part.startswith((".", "__MACOSX")) and part != ".." and part != "." for part in name.split("/"))
        ]
        photos = [name for name in names if name.lower().endswith(IMAGE_ENDINGS)]
        return cls(root, photos, [n for n in names if n.lower().endswith(".csv")], [n for n in names if is_archive(n)], container)

    def path_of(self, name: str, base: Path) -> str:
        """What a manifest in the folder ``base`` calls this photo."""
        return _path_from(self.root / name, base) if self.container is None else f"{_path_from(self.root, base)}{SIGN}{name}"

    def table(self, name: str) -> pd.DataFrame:
        if self.container is None:
            return read_table(self.root / name)
        return _strings(io.BytesIO(self.container.read(name)), name)


def _strings(file: io.BytesIO, name: str) -> pd.DataFrame:
    """A CSV from an archive, as `read_table` gives it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, Path(name).name)
        path.write_bytes(file.getvalue())
        return read_table(path)


def _path_from(file: Path, base: Path) -> str:
    """Relative where the file lies in or below the manifest's folder, so that both can move together; absolute elsewhere."""
    full, base = Path(os.path.abspath(file)), base.resolve()  # noqa: PTH100  links stay links
    return str(full.relative_to(base)) if full.is_relative_to(base) else str(full)


# ---- folders by class


def _plan_of_tree(tree: _Tree, base: Path, wishes: Wishes) -> Plan:
    notes = [f"{len(tree.nested)} archives inside were left alone, such as {tree.nested[0]}"] if tree.nested else []
    fer = [name for name in tree.tables if Path(name).name.lower() == "fer2013.csv"]
    if fer and tree.container is None:
        return _plan_of_file(tree.root / fer[0], base, wishes)
    if not tree.photos:
        if tree.nested:
            raise DataError(
                f"{tree.root.name} holds another archive, {tree.nested[0]}, and no photos: unpack it and import what is inside"
            )
        raise DataError(f"{tree.root} has no photos in it (known are files that end in {listed(IMAGE_ENDINGS, 6)})")
    votes = _fer_votes([tree.table(name) for name in tree.tables if Path(name).name.lower() == "fer2013new.csv"])
    if votes is None and (table := _table_of_photos(tree)) is not None:
        name, content = table
        plan = _plan_of_table(content, _members(tree, name, base), wishes, Path(name).name)
        return Plan(plan.rows, [*notes, *plan.notes])
    rows, unknown = [], Counter[str]()
    words = _words(wishes)
    for photo in tree.photos:
        row = _row_of_photo(photo, words, unknown, votes)
        if row is not None:
            rows.append({"path": tree.path_of(photo, base)} | row)
    if unknown:
        raise DataError(_unknown_sentence("folders", unknown))
    return Plan(rows, notes)


def _row_of_photo(
    photo: str, words: Mapping[str, str], unknown: Counter[str], votes: list[dict[str, Any]] | None
) -> dict[str, Any] | None:
    """What the folders above a photo say; None to skip it. The deepest folder that names a class counts."""
    folders = [folder for folder in photo.split("/")[:-1] if folder not in (".", "..", "")]
    labels = [label for folder in folders if (label := words.get(_plain(folder))) is not None]
    split = [word for folder in folders if (word := _SPLIT_OF.get(_plain(folder))) is not None]
    numbered = _FER_NUMBERED.search(photo)
    if labels and labels[-1] == "skip":
        return None
    row: dict[str, Any] = {"label": labels[-1] if labels else "", "split": split[-1] if split else ""}
    if votes is not None and numbered is not None and int(numbered[1]) < len(votes):
        voted = votes[int(numbered[1])]
        return {**voted, **{name: value for name, value in row.items() if value}}
    if not labels:
        unknown[folders[-1] if folders else "(no folder)"] += 1
    return row


def _words(wishes: Wishes) -> dict[str, str]:
    return _LABEL_OF | {_plain(word): label for word, label in wishes.words.items()}


def _plain(name: str) -> str:
    """``03 - Happy_faces`` and ``happy`` mean the same; a name of digits only stays what it is."""
    words = [word for word in re.split(r"[\W_]+", name.strip().lower()) if word and word not in _NOISE]
    letters = [word for word in words if not word.isdigit()]
    return "_".join(letters or words)


def _unknown_sentence(what: str, unknown: Counter[str]) -> str:
    found = listed([f"{name!r} ({n})" for name, n in unknown.most_common()])
    first = next(iter(unknown))
    return f"these {what} name no class that is known: {found}; say what they mean, such as --map {first!r}=happy, or =skip"


# ---- tables


def _plan_of_file(source: Path, base: Path, wishes: Wishes) -> Plan:
    with source.open("rb") as file:
        head = file.readline(4096).decode("utf-8", "replace").lower()
    if source.suffix.lower() == ".csv" and "pixels" in [name.strip() for name in head.split(",")]:
        return _plan_of_fer2013(source, base)
    path = _path_from(source.parent, base)
    return _plan_of_table(read_table(source), _beside(source.parent, "" if path == "." else path), wishes, source.name)


class _Lookup:
    """Finds the manifest's name for what a table calls a photo; None where there is no such photo."""

    def __init__(self, exact: Mapping[str, str] | None, folder: Path | None, prefix: str) -> None:
        self._exact, self._folder, self._prefix = exact, folder, prefix

    def __call__(self, name: str) -> str | None:
        if self._exact is not None:
            return self._exact.get(name) or self._exact.get(name.removeprefix("./"))
        assert self._folder is not None
        try:
            there = (self._folder / name).exists()
        except (OSError, ValueError):
            there = False
        plain = name if Path(name).is_absolute() or not self._prefix else str(Path(self._prefix, name))
        return plain if there else None


def _beside(folder: Path, prefix: str) -> _Lookup:
    return _Lookup(None, folder, prefix)


def _members(tree: _Tree, table: str, base: Path) -> _Lookup:
    """Names in a table inside a tree: as they are, from the table's folder, or by the bare file name where that is unique."""
    home = f"{Path(table).parent.as_posix()}/".removeprefix("./")
    bare = Counter(Path(photo).name for photo in tree.photos)
    names: dict[str, str] = {}
    for photo in tree.photos:
        path = tree.path_of(photo, base)
        if bare[Path(photo).name] == 1:
            names[Path(photo).name] = path
        names[photo] = path
        if photo.startswith(home):
            names[photo.removeprefix(home)] = path
    return _Lookup(names, None, "")


def _table_of_photos(tree: _Tree) -> tuple[str, pd.DataFrame] | None:
    """The first table in the tree, top folder first, whose path column names photos of the tree."""
    for name in sorted(tree.tables, key=lambda name: name.count("/")):
        table = tree.table(name)
        column = _guessed(table, "path")
        if column is not None and len(table) and any(map(_members(tree, name, tree.root), table[column][:50])):
            return name, table
    return None


def _guessed(table: pd.DataFrame, wanted: str) -> str | None:
    columns = {column.strip().lower(): column for column in table.columns}
    return next((columns[guess] for guess in _GUESSES.get(wanted, (wanted,)) if guess in columns), None)


def _plan_of_table(table: pd.DataFrame, lookup: _Lookup, wishes: Wishes, name: str) -> Plan:
    if table.empty:
        raise DataError(f"{name} has a header and no rows")
    columns = _chosen_columns(table, wishes, name)
    votes = _votes_of(table, columns, name)
    words, unknown = _words(wishes), Counter[str]()
    ours = {*columns.values(), *votes.used}
    free = [column for column in table.columns if column not in ours and column not in COLUMNS]
    rows, missing = [], []
    for i, values in enumerate(table.to_dict("records")):
        given = {column: values[theirs].strip() for column, theirs in columns.items()}
        path = lookup(given["path"])
        if path is None:
            missing.append(given["path"])
        without_label = "" if "label" in columns else votes.winner(i)  # a label that is missing is not made up from votes
        label = words.get(_plain(given["label"])) if given.get("label") else without_label
        if label is None:
            unknown[given["label"]] += 1
        if label == "skip":
            continue
        row = {"path": path or given["path"], "label": label, "split": _SPLIT_OF.get(_plain(given.get("split", "")), "")}
        row |= votes.shares(i)
        row |= {column: given[column] for column in ("subject", "licence", "source") if given.get(column)}
        rows.append(row | {column: values[column] for column in free})
    if unknown:
        raise DataError(_unknown_sentence(f"values of column {columns['label']} in {name}", unknown))
    if len(missing) == len(table):
        raise DataError(f"{name}: none of its photos exist, the first is {missing[0]!r}; paths count from the table's folder")
    notes = [f"{name}: " + ", ".join(f"{ours} is column {theirs}" for ours, theirs in columns.items() if ours != theirs)]
    if missing:
        notes.append(f"{len(missing):,} photos of {name} do not exist, such as {listed(map(repr, missing), MAX_BROKEN_NAMES)}")
    return Plan(rows, [note for note in notes if not note.endswith(": ")])


def _chosen_columns(table: pd.DataFrame, wishes: Wishes, name: str) -> dict[str, str]:
    """Column of the manifest → column of the table: as wished, else by the usual names."""
    for ours, theirs in wishes.columns.items():
        if theirs not in table.columns:
            raise DataError(f"{name} has no column {theirs}; its columns are {listed(table.columns)}")
        if ours not in (*_GUESSES, *VOTES, "source"):
            known = listed((*_GUESSES, *VOTES, "source"))
            raise DataError(f"--columns {ours}={theirs}: {ours} is not a column that can be filled; those are {known}")
    columns = dict(wishes.columns)
    for ours in (*_GUESSES, *VOTES, "source"):
        if ours not in columns and (guess := _guessed(table, ours)) is not None:
            columns[ours] = guess
    if "path" not in columns:
        raise DataError(
            f"{name} has no column of photos; say which with --columns path=NAME; its columns are {listed(table.columns)}"
        )
    voted = any(_plain(column) in _LABEL_OF for column in table.columns) or bool(set(VOTES) & set(columns))
    if "label" not in columns and not voted:
        found = listed(table.columns)
        raise DataError(f"{name} has no labels or votes; say which with --columns label=NAME; its columns are {found}")
    return columns


class _Votes:
    """The votes of a table by look, if it has any."""

    def __init__(self, looks: np.ndarray | None, used: set[str]) -> None:
        self._looks, self.used = looks, used

    def shares(self, i: int) -> dict[str, float]:
        if self._looks is None or self._looks[i].sum() == 0:
            return {}
        return dict(zip(VOTES, map(float, self._looks[i]), strict=True))

    def winner(self, i: int) -> str:
        """The look with most votes; empty where two have as many, or nobody voted."""
        if self._looks is None:
            return ""
        best = np.flatnonzero(self._looks[i] == self._looks[i].max())
        return LABELS[int(best[0])] if len(best) == 1 else ""


def _votes_of(table: pd.DataFrame, columns: Mapping[str, str], name: str) -> _Votes:
    """Votes in columns named votes_happy …, or by looks and emotions, as FER+ has them (three of them at least)."""
    theirs = {columns[vote]: vote.removeprefix("votes_") for vote in VOTES if vote in columns}
    if not theirs:
        named = {column: _LABEL_OF[_plain(column)] for column in table.columns if _plain(column) in _LABEL_OF}
        theirs = {column: look for column, look in named.items() if look in LABELS[:4]} if len(named) >= 3 else {}
    if not theirs:
        return _Votes(None, set())
    unclear = [column for column in table.columns if column.strip().lower() in _UNCLEAR]
    numbers = table[[*theirs, *unclear]].apply(
        lambda column: pandas().to_numeric(column.where(column != "", "0"), errors="coerce")
    )
    values = numbers.to_numpy(np.float64)
    for wrong, what in ((~np.isfinite(values).all(axis=1), "not numbers"), ((values < 0).any(axis=1), "negative")):
        if wrong.any():
            raise DataError(
                f"{name}, row {int(np.argmax(wrong)) + 1}: its votes are {what} ({int(wrong.sum())} such rows); mend them"
            )
    if (empty := values.sum(axis=1) == 0).any():
        raise DataError(
            f"{name}, row {int(np.argmax(empty)) + 1}: all its votes are 0 ({int(empty.sum())} such rows); delete them"
        )
    looks = np.zeros((len(table), 4))
    for i, look in enumerate(theirs.values()):
        looks[:, LABELS.index(look)] += values[:, i]
    return _Votes(looks, set(theirs))


# ---- FER2013


def _plan_of_fer2013(source: Path, base: Path) -> Plan:
    """``fer2013.csv``: emotion, pixels, Usage; with the votes of ``fer2013new.csv`` where that lies beside it."""
    path, rows = _path_from(source, base), []
    votes_file = source.with_name("fer2013new.csv")
    votes = _fer_votes([read_table(votes_file)]) if votes_file.exists() else None
    with source.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.DictReader(file)
        names = {name.strip().lower(): name for name in reader.fieldnames or ()}
        if "emotion" not in names and votes is None:
            raise DataError(f"{source.name} has no column emotion, and no fer2013new.csv with votes lies beside it")
        for i, values in enumerate(reader):
            rows.append({"path": f"{path}{SIGN}{i}", **_fer_row(values, names, source.name, i)})
    if not rows:
        raise DataError(f"{source.name} has a header and no rows")
    if votes is not None and len(votes) != len(rows):
        raise DataError(
            f"fer2013new.csv has {len(votes):,} rows and {source.name} {len(rows):,}; they must be of the same release"
        )
    if votes is None:
        return Plan(rows, [f"{source.name}: original labels; put fer2013new.csv (FER+) beside it for votes"])
    return Plan(
        [{**vote, **{k: v for k, v in row.items() if v}} for row, vote in zip(rows, votes, strict=True)],
        ["votes: fer2013new.csv"],
    )


def _fer_row(values: Mapping[str, str], names: Mapping[str, str], file: str, i: int) -> dict[str, Any]:
    emotion = (values.get(names.get("emotion", "")) or "").strip()
    usage = _plain(values.get(names.get("usage", "")) or "")
    if "emotion" in names and not (emotion.isascii() and emotion.isdigit() and int(emotion) < len(_FER_LABELS)):
        raise DataError(f"{file}, row {i + 1}: expected emotion from 0 to 6, got {emotion!r}; download the table anew")
    word = _FER_LABELS[int(emotion)] if emotion else ""
    return {"label": _LABEL_OF.get(word, ""), "split": _SPLIT_OF.get(usage, ""), "fer2013_label": word}


def _fer_votes(tables: Sequence[pd.DataFrame]) -> list[dict[str, Any]] | None:
    """Rows with votes and split of ``fer2013new.csv``, by row number."""
    if not tables:
        return None
    table, name = tables[0], "fer2013new.csv"
    votes = _votes_of(table, {}, name)
    usage = _guessed(table, "split")
    return [
        {"label": votes.winner(i), "split": _SPLIT_OF.get(_plain(row[usage]), "") if usage else "", **votes.shares(i)}
        for i, row in enumerate(table.to_dict("records"))
    ]
