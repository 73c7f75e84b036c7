"""Photos that lie inside other files: zip and tar archives, and the pixel column of ``fer2013.csv``.

Such a photo is named ``FILE::MEMBER``: ``web.zip::happy/1.jpg``, or ``fer2013.csv::17`` for the row 17, from 0. Everything is
read in place and in memory. Nothing is ever unpacked to disk, so no member can lead out of a folder, and links are left alone.
"""

from __future__ import annotations

import csv
import io
import os
import tarfile
import threading
import weakref
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np

from happysad.errors import DataError, ImageError

SIGN = "::"
ARCHIVE_ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
MAX_MEMBER_BYTES = 256 * 2**20  # a larger "photo" is a mistake or a bomb
FER_SIDE = 48


class Container(Protocol):
    """A file with photos inside."""

    def names(self) -> list[str]:
        """The members that are files, in the order of the archive."""

    def read(self, member: str) -> bytes:
        """The bytes of one member; raises `KeyError` where there is none of that name."""


def is_archive(path: str | os.PathLike[str]) -> bool:
    """Whether the name ends like a zip or a tar."""
    return os.fspath(path).lower().endswith(ARCHIVE_ENDINGS)


def split_member(name: str) -> tuple[str, str] | None:
    """File and member of ``FILE::MEMBER``; None for the name of a plain file."""
    file, sign, member = name.partition(SIGN)
    return (file, member) if sign and (is_archive(file) or file.lower().endswith(".csv")) else None


def open_container(path: str | os.PathLike[str]) -> Container:
    """The archive at ``path``, opened once and kept open while its file stays the same; threads may share it.

    Raises:
        DataError: it cannot be read.
    """
    try:
        status = Path(path).stat()
        return _open(os.fspath(path), status.st_mtime_ns, status.st_size)
    except FileNotFoundError:
        raise DataError(f"there is no such file: {path}") from None
    except (OSError, zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(f"{Path(path).name} cannot be read as an archive ({error}); download or copy it anew") from error


@lru_cache(maxsize=8)
def _open(path: str, _changed: int, _size: int) -> Container:
    if path.lower().endswith(".csv"):
        return _PixelTable(path)
    return _Zip(path) if path.lower().endswith(".zip") else _Tar(path)


def read_member(file: str | os.PathLike[str], member: str) -> bytes:
    """The bytes of one photo inside an archive.

    Raises:
        ImageError: the archive or the member cannot be read; one sentence.
    """
    try:
        return open_container(file).read(member)
    except KeyError:
        raise ImageError(f"there is no {member} in {Path(file).name}") from None
    except DataError as error:
        raise ImageError(str(error)) from None
    except RuntimeError as error:  # zipfile: encrypted
        raise ImageError(f"{member} in {Path(file).name} is locked with a password; unpack the archive yourself") from error
    except (OSError, zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, NotImplementedError) as error:
        raise ImageError(f"{member} in {Path(file).name} is damaged ({error}); download or copy the archive anew") from error


def _checked_size(size: int) -> None:
    if size > MAX_MEMBER_BYTES:
        raise ImageError(f"the file unpacks to {size / 2**20:.0f} MB; accepted are at most {MAX_MEMBER_BYTES / 2**20:.0f}")


class _Zip:
    def __init__(self, path: str) -> None:
        self._zip = zipfile.ZipFile(path)

    def names(self) -> list[str]:
        # 0o120000 in the upper half of external_attr marks a link on Unix.
        files = (info for info in self._zip.infolist() if not info.is_dir() and (info.external_attr >> 28) != 0o12)
        return list(dict.fromkeys(info.filename for info in files))

    def read(self, member: str) -> bytes:
        _checked_size(self._zip.getinfo(member).file_size)
        with self._zip.open(member) as file:  # the size in the header may be a lie, so no more than that is read
            content = file.read(MAX_MEMBER_BYTES + 1)
        _checked_size(len(content))
        return content


class _Tar:
    """A tar. A compressed one can only be read forwards: jumping back reads it again from its start."""

    def __init__(self, path: str) -> None:
        self._tar = tarfile.open(path)  # noqa: SIM115  it stays open in the cache of `_open`
        weakref.finalize(self, self._tar.close)
        self._lock = threading.Lock()
        self._members = {member.name: member for member in self._tar if member.isfile()}

    def names(self) -> list[str]:
        return list(self._members)

    def read(self, member: str) -> bytes:
        info = self._members[member]
        _checked_size(info.size)
        with self._lock:
            file = self._tar.extractfile(info)
            return b"" if file is None else file.read()


class _PixelTable:
    """``fer2013.csv``: each row has 2,304 grey values in text; a row is read by its place in the file.

    As bytes a face is a PGM file: the plainest format, so that its sha256 depends on the pixels alone.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        with open(path, "rb") as file:
            header = next(csv.reader([file.readline().decode("utf-8-sig", "replace")]), [])
            columns = [name.strip().lower() for name in header]
            if "pixels" not in columns:
                raise DataError(f"{Path(path).name} has no column pixels; its columns are {', '.join(header) or 'none'}")
            self._column = columns.index("pixels")
            starts, here = [], file.tell()
            for line in file:
                if line.strip():
                    starts.append(here)
                here += len(line)
        self._starts = np.array(starts, np.int64)

    def names(self) -> list[str]:
        return [str(i) for i in range(len(self._starts))]

    def read(self, member: str) -> bytes:
        if not (member.isascii() and member.isdigit() and int(member) < len(self._starts)):
            raise KeyError(member)
        with open(self._path, "rb") as file:
            file.seek(int(self._starts[int(member)]))
            fields = next(csv.reader([file.readline().decode("utf-8", "replace")]), [])
        return _pgm(fields[self._column] if len(fields) > self._column else "")


def _pgm(text: str) -> bytes:
    try:
        values = np.array(text.split(), np.int64)
    except (ValueError, OverflowError):
        raise ImageError("the pixels of this row are not whole numbers; download the table anew") from None
    if len(values) != FER_SIDE**2 or values.min() < 0 or values.max() > 255:
        raise ImageError(f"this row has {len(values)} pixels; expected are {FER_SIDE**2}, each from 0 to 255")
    with io.BytesIO() as file:
        file.write(b"P5 %d %d 255\n" % (FER_SIDE, FER_SIDE))
        file.write(values.astype(np.uint8).tobytes())
        return file.getvalue()
