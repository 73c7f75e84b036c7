"""The manifest: the one table that is a data set. One row per photo; CSV, or Parquet by the file's ending.

    path            file, absolute or relative to the manifest's folder; or FILE::MEMBER inside an archive (see `archive`)
    sha256          of the photo's bytes
    width, height   of the upright photo in pixels
    label           happy, neutral, sad, other, not_happy; empty where it is not known
    votes_happy …   how many people chose each look
    split           train, valid, test, or fold0, fold1 …; empty where it is not split
    subject         the person, where known
    source          where the row came from
    licence         its terms, where known
    cropped         whether the photo *is* a face crop
    faces           how many faces were found (1 where cropped)
    x0, y0, x1, y1  the chosen face, pixels of the upright photo, half open; empty where cropped or none
    detector_score  in [0, 1]
    landmarks       JSON, five [x, y]
    error           one sentence where the photo could not be read

All further columns are attributes. Text that is missing is an empty string.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from happysad.archive import SIGN, read_member, split_member
from happysad.errors import DataError, ImageError, MissingExtraError
from happysad.image import Decoded, read_image

if TYPE_CHECKING:
    import pandas as pd

LABELS = ("happy", "neutral", "sad", "other", "not_happy")
VOTES = ("votes_happy", "votes_neutral", "votes_sad", "votes_other")
SPLITS = ("train", "valid", "test")
BOX = ("x0", "y0", "x1", "y1")
TEXT = ("path", "sha256", "label", "split", "subject", "source", "licence", "landmarks", "error")
WHOLE = ("width", "height", "faces")
COLUMNS = (
    *("path", "sha256", "width", "height", "label", *VOTES, "split", "subject", "source", "licence"),
    *("cropped", "faces", *BOX, "detector_score", "landmarks", "error"),
)
_FOLD = re.compile(r"fold\d+")
_TRUE, _FALSE = ("true", "1", "yes"), ("false", "0", "no", "")


def pandas() -> Any:
    """The pandas package, imported when it is first needed.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise MissingExtraError("pandas", "to work with data sets", 'pip install "happysad[data]"') from None
    return pd


def attributes(frame: pd.DataFrame) -> list[str]:
    """The names of the columns that are attributes."""
    return [name for name in frame.columns if name not in COLUMNS]


def read_manifest(path: str | os.PathLike[str]) -> pd.DataFrame:
    """The table at ``path`` (CSV, or Parquet by its ending), checked, with all of `COLUMNS` in order, attributes after them.

    Returns:
        Text columns and attributes as str objects, ``""`` where missing; ``width``, ``height``, ``faces`` as Int64;
        ``cropped`` as bool; all other numbers as float64, NaN where missing.

    Raises:
        DataError: the file cannot be read, or its content is not a manifest; one sentence that names the first wrong row.
        MissingExtraError: pandas (or, for Parquet, pyarrow) is not installed.
    """
    raw = read_table(path)
    name = Path(path).name
    if "path" not in raw.columns:
        raise DataError(f"{name} has no column path; its columns are {listed(raw.columns)}; make it with: happysad data import")
    if raw.empty:
        raise DataError(f"{name} has no rows")
    frame = typed(raw, name)
    _check(frame, name)
    return frame


def read_table(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Any CSV or Parquet file as strings, ``""`` where missing; the rows of a CSV must all have as many fields as its header.

    Raises:
        DataError, MissingExtraError: see `read_manifest`.
    """
    pd = pandas()
    path = Path(path)
    if path.suffix.lower() == ".parquet":
        return _read_parquet(path)
    try:
        # Names of files may be no UTF-8 on Linux; surrogateescape brings them back as they were.
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            rows = list(_csv_rows(csv.reader(file), path.name))
    except FileNotFoundError:
        raise DataError(f"there is no such file: {path}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if not rows:
        raise DataError(f"{path.name} is empty (0 rows)")
    header = [name.strip() for name in rows[0]]
    if len(set(header)) < len(header):
        twice = sorted({name for name in header if header.count(name) > 1})
        raise DataError(f"{path.name} has two columns of the same name: {listed(twice)}")
    return pd.DataFrame(rows[1:], columns=header, dtype=object)


def _csv_rows(reader: Any, name: str) -> Iterator[list[str]]:
    width = None
    try:
        for row in reader:
            if not row:
                continue
            if width is None and any("\x00" in cell or re.search("[\udc80-\udcff]", cell) for cell in row):
                raise DataError(f"{name} is not CSV in UTF-8: save it as CSV, UTF-8, with commas")
            width = width or len(row)
            if len(row) != width:
                raise DataError(
                    f"{name}, line {reader.line_num}: {len(row)} fields, the header has {width}; mend or delete the line"
                )
            yield row
    except csv.Error as error:
        raise DataError(f"{name}, line {reader.line_num}: {error}; save the table as CSV, UTF-8, with commas") from error


def _read_parquet(path: Path) -> pd.DataFrame:
    pd = pandas()
    try:
        frame = pd.read_parquet(path)
    except ImportError:
        raise MissingExtraError("pyarrow", "to read Parquet files", 'pip install "happysad[data]"') from None
    except FileNotFoundError:
        raise DataError(f"there is no such file: {path}") from None
    except Exception as error:  # pyarrow raises its own classes, which are many
        raise DataError(f"{path.name} is not a Parquet file that can be read; write it anew") from error
    return as_text(frame)


def as_text(frame: pd.DataFrame) -> pd.DataFrame:
    """The same table as str objects, ``""`` where missing."""
    pd = pandas()

    def text(column: Any) -> Any:
        values = zip(column.astype(object), column.notna(), strict=True)
        return pd.Series([str(value) if known else "" for value, known in values], column.index, dtype=object)

    return frame.apply(text)


def typed(raw: pd.DataFrame, name: str) -> pd.DataFrame:
    """A table of strings as a manifest: all of `COLUMNS`, each of its own type, attributes after them.

    Raises:
        DataError: a value is not of the column's type.
    """
    pd = pandas()
    columns: dict[str, Any] = {}
    for column in COLUMNS:
        text = raw[column] if column in raw.columns else pd.Series([""] * len(raw), index=raw.index, dtype=object)
        if column in TEXT:
            columns[column] = text
        elif column == "cropped":
            low = text.str.lower()
            _refuse(name, column, text, ~low.isin([*_TRUE, *_FALSE]), "true or false")
            columns[column] = low.isin(_TRUE).astype(bool)
        else:
            number = pd.to_numeric(text.where(text != "", None), errors="coerce").astype("float64")
            _refuse(name, column, text, (text != "") & ~np.isfinite(number), "a number")
            columns[column] = number.round().astype("Int64") if column in WHOLE else number
    return pd.DataFrame(columns | {column: raw[column] for column in raw.columns if column not in COLUMNS})


def _check(frame: pd.DataFrame, name: str) -> None:
    _refuse(name, "path", frame["path"], frame["path"] == "", "the name of a file")
    _refuse(name, "label", frame["label"], ~frame["label"].isin([*LABELS, ""]), f"one of {listed(LABELS)}, or nothing")
    known_split = frame["split"].isin([*SPLITS, ""]) | frame["split"].str.fullmatch(_FOLD)
    _refuse(name, "split", frame["split"], ~known_split, f"one of {listed(SPLITS)}, or fold0, fold1 …, or nothing")
    for column in VOTES:
        _refuse(name, column, frame[column], frame[column] < 0, "0 or more")
    no_votes = frame[list(VOTES)].notna().any(axis=1) & (frame[list(VOTES)].sum(axis=1) == 0)
    _refuse(name, "votes", frame[VOTES[0]], no_votes, "at least one vote in a row that has any")
    for column in ("width", "height"):
        _refuse(name, column, frame[column], (frame[column] < 1).fillna(False), "1 or more")
    no_box = frame[list(BOX)].notna().any(axis=1) & ~((frame["x0"] < frame["x1"]) & (frame["y0"] < frame["y1"]))
    _refuse(name, "x0, y0, x1, y1", frame["x0"], no_box, "a box with x0 < x1 and y0 < y1")


def _refuse(name: str, column: str, values: pd.Series, wrong: Any, expected: str) -> None:
    """Raise for the first row that is wrong, in a sentence that counts the others."""
    rows = np.flatnonzero(np.asarray(wrong, bool))
    if len(rows):
        others = f" ({len(rows) - 1} more rows like it)" if len(rows) > 1 else ""
        raise DataError(f"{name}, row {rows[0] + 1}, column {column}: expected {expected}, got {values.iloc[rows[0]]!r}{others}")


def write_manifest(frame: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write the table whole or not at all: CSV, or Parquet by the ending.

    Raises:
        DataError: the folder is missing or read-only, or the disk is full; what was there before is unchanged.
        MissingExtraError: pyarrow is not installed (Parquet only).
    """
    path = Path(path)
    check_ending(path)

    def write(aside: Path) -> None:
        if path.suffix.lower() == ".parquet":
            try:
                frame.to_parquet(aside, index=False)
            except ImportError:
                raise MissingExtraError("pyarrow", "to write Parquet files", 'pip install "happysad[data]"') from None
            except UnicodeEncodeError:
                raise DataError("a file name is not valid UTF-8, which Parquet cannot hold; write a .csv instead") from None
        else:
            # Python's csv does not quote a carriage return, although it ends a line when it is read.
            odd = any("\r" in str(value) for column in (*TEXT, *attributes(frame)) if column in frame for value in frame[column])
            quoting = csv.QUOTE_NONNUMERIC if odd else csv.QUOTE_MINIMAL
            frame.to_csv(aside, index=False, encoding="utf-8", errors="surrogateescape", lineterminator="\n", quoting=quoting)

    write_aside(path, write)


def check_ending(path: Path) -> None:
    """Raise `DataError` where a file of this name cannot be a manifest."""
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise DataError(f"a manifest is a .csv or a .parquet file, got {path.name}")


def write_aside(path: str | os.PathLike[str], write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a file beside ``path``, then give it that name: whoever looks sees the old file or the new one, whole.

    Raises:
        DataError: it cannot be written; one sentence.
    """
    path = Path(path)
    aside = None
    try:
        number, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=path.suffix, dir=path.parent)
        os.close(number)
        aside = Path(name)
        aside.chmod(0o666 & ~_umask())  # mkstemp makes files that nobody else may read
        write(aside)
        aside.replace(path)
    except FileNotFoundError as error:
        raise DataError(f"{path} cannot be written: the folder {path.parent} does not exist; make it first") from error
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        if aside is not None:
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def moved(frame: pd.DataFrame, old: str | os.PathLike[str], new: str | os.PathLike[str]) -> pd.DataFrame:
    """The same manifest for another folder: relative paths lead from ``new`` to where they led from ``old``."""
    old, new = Path(old).resolve(), Path(new).resolve()
    if old == new:
        return frame
    return frame.assign(path=[_moved_path(name, old, new) for name in frame["path"]])


def _moved_path(name: str, old: Path, new: Path) -> str:
    file, member = locate(name, old)
    if Path(name).is_absolute():
        return name
    relative = os.path.relpath(file, new)
    return relative if member is None else f"{relative}{SIGN}{member}"


def locate(path: str, base: str | os.PathLike[str]) -> tuple[Path, str | None]:
    """The file that a row's ``path`` means, and the member in it, None for a plain file; neither needs to exist."""
    inside = split_member(path)
    if inside is None or _exists(Path(base, path)):  # a plain file may have :: in its name
        return Path(base, path), None
    return Path(base, inside[0]), inside[1]


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is too long, or has a zero byte
        return False


def photo_bytes(path: str, base: str | os.PathLike[str]) -> bytes:
    """The bytes of one photo of a manifest.

    Args:
        path: the row's ``path``: a file, absolute or relative to ``base``, or ``FILE::MEMBER`` inside an archive.
        base: the folder of the manifest.

    Raises:
        ImageError: one sentence.
    """
    file, member = locate(path, base)
    if member is not None:
        return read_member(file, member)
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise ImageError("there is no such file: check the path, or import the data anew") from None
    except (OSError, ValueError) as error:
        raise ImageError(f"the file cannot be read: {getattr(error, 'strerror', None) or error}") from error


def read_photo(path: str, base: str | os.PathLike[str], max_side: int | None = None) -> Decoded:
    """The pixels of one photo of a manifest; arguments as for `photo_bytes` and `happysad.image.read_image`.

    Raises:
        ImageError: one sentence.
    """
    return read_image(photo_bytes(path, base), max_side=max_side)


def landmarks_of(text: str) -> np.ndarray | None:
    """float32 (5, 2) from the column ``landmarks``; None where it is empty."""
    return np.array(json.loads(text), np.float32) if text else None


def listed(names: Any, most: int = 12) -> str:
    """Names for a message, with commas, the first ``most`` of them."""
    names = [str(name) for name in names]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more if names else "none"
