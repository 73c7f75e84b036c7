"""Reading photos: from whatever holds a photo to upright RGB pixels, or to one sentence that says why not.

Everything that looks at photos starts here, so that training, evaluation and prediction see the same pixels:

>>> read_image(np.zeros((480, 640), np.uint8)).pixels.shape
(480, 640, 3)

Colours are taken as sRGB: embedded colour profiles are not applied.
"""

from __future__ import annotations

import codecs
import importlib
import io
import os
import re
import stat
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeAlias, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from happysad.errors import ImageError

MAX_PIXELS = 200_000_000
"""The largest photo that is decoded, in pixels: phones make 200 megapixels, and more than that is more likely an attack
(a few kilobytes that unpack to gigabytes). It is compared with the header, before anything is decoded."""

IMAGE_ENDINGS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".avif", ".heic", ".heif", ".hif",
    ".tif", ".tiff", ".gif", ".bmp", ".jp2", ".j2k", ".pbm", ".pgm", ".ppm", ".pnm",
)  # fmt: skip
"""The endings, in lower case, by which `find_images` knows a photo in a folder. `read_image` never looks at the ending."""

Pixels: TypeAlias = npt.NDArray[np.uint8]
Source: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | npt.NDArray[Any] | Image.Image

# Formats of photos, and no others: Pillow also opens PostScript by starting Ghostscript, and formats that have no signature
# and so take anything for a picture.
_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "GIF", "BMP", "JPEG2000", "PPM")
_ACCEPTED = "JPEG, PNG, WebP, AVIF, HEIC, TIFF, GIF, BMP, JPEG 2000 or PPM"

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a photo upright, by its EXIF orientation; from 5 on, width and height change places."""

_8_BIT_OF_16 = np.rint(np.arange(65536) / 257).astype(np.uint8)


class Decoded(NamedTuple):
    """A decoded photo: upright, opaque, possibly reduced.

    `pixels` is uint8 (h, w, 3), RGB, C-contiguous and writable, and shares no memory with the source. `width` and `height` are
    those of the upright photo at full size, in pixels.
    """

    pixels: Pixels
    width: int
    height: int

    @property
    def scale(self) -> tuple[float, float]:
        """How many pixels of the full photo one pixel here stands for, along x and along y; both are at least 1.

        They differ by less than one pixel over the whole side, because a reduced side is rounded up. Multiply a position found
        in `pixels` by them to get the position in the photo.
        """
        height, width = self.pixels.shape[:2]
        return self.width / width, self.height / height


def read_image(source: Source, *, max_side: int | None = None) -> Decoded:
    """Decode a photo to upright RGB pixels.

    `source` is a path, `-` for standard input, the bytes of a file, an open binary file (read from its start), a Pillow image,
    or an array: (h, w), (h, w, 1), (h, w, 3) RGB or (h, w, 4) RGBA, of uint8, uint16, bool, or float from 0 to 1.

    The EXIF orientation is applied, what is transparent becomes white, 16 bits become 8 by scaling, and of an animation the
    first frame is taken. Integer and float files without a fixed range count as 0 to 1 (floats), 0 to 255 or 0 to 65535, the
    first that holds all values, and are otherwise stretched from their lowest to their highest value.

    With `max_side`, a photo at least twice that long is reduced by a whole number while it is decoded (JPEG, quick) or just
    after: the long side of the pixels is then in [max_side, 2 * max_side). Smaller photos keep their size.

    Raises ImageError, whose message is one sentence about the content and names no file. Many threads may call this at once.

    >>> photo = read_image(np.ones((3000, 4000, 3)), max_side=1000)
    >>> photo.pixels.shape, photo.width, photo.height, photo.scale
    ((750, 1000, 3), 4000, 3000, (4.0, 4.0))
    """
    if max_side is not None and max_side < 1:
        raise ValueError(f"max_side must be at least 1, got {max_side}")
    if isinstance(source, np.ndarray):
        return _from_array(source, max_side)
    with _quiet_pillow():
        if isinstance(source, Image.Image):
            return _decoded(source, max_side, ours=False)
        with closing(_opened(source)) as file:
            return _decoded(_identified(file), max_side, ours=True)


def find_images(paths: Sequence[str | os.PathLike[str]]) -> Iterator[str]:
    """Yield the path of each photo that `paths` mean, in their order.

    A folder means the photos in it and below it, in natural order (img2 before img10), known by `IMAGE_ENDINGS`; a pattern such
    as `*.jpg` or `**/*.png` means the photos it matches. What is hidden (its name starts with a dot) is skipped, and a folder
    that links lead to twice is visited once. Anything else is yielded as it is, whatever its ending: a file, `-`, and also
    what does not exist or cannot be listed, so that reading it says so.
    """
    if isinstance(paths, (str, os.PathLike)):  # a str is a sequence of str too: without this, of its letters
        paths = [paths]
    for given in paths:
        path = os.fspath(given)
        if os.path.isdir(path):
            yield from _below(path)
        elif any(sign in path for sign in "*?[") and not os.path.lexists(path):
            yield from _matching(path) or [path]
        else:
            yield path


# ---- from the source to an open file


def _opened(source: object) -> IO[bytes]:
    """Return `source` as a binary file at its start that can seek; the caller closes it."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return io.BytesIO(source)
    if isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        if path == "-":
            return _in_memory(getattr(sys.stdin, "buffer", sys.stdin))
        file = _opened_path(path)
        if file.seekable():
            return file
        with file:  # a pipe
            return _in_memory(file)
    if hasattr(source, "read"):
        return _in_memory(source)
    raise ImageError(
        f"a photo is given as a path, bytes, an open binary file, a NumPy array or a Pillow image, not as {type(source).__name__}"
    )


def _opened_path(path: str) -> IO[bytes]:
    try:
        return open(path, "rb")
    except FileNotFoundError as error:
        raise ImageError("there is no such file: check the path") from error
    except (IsADirectoryError, PermissionError) as error:
        if os.path.isdir(path):  # Windows calls the opening of a folder a lack of permission
            raise ImageError("this is a folder, not a photo: name the photos in it, one by one") from error
        raise ImageError("the file may not be read: its permissions do not allow it to this user") from error
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        reason = getattr(error, "strerror", None) or "its path is not valid"
        raise ImageError(f"the file cannot be opened: {reason}") from error


def _in_memory(file: Any) -> io.BytesIO:
    """Read the whole of a file object, from its start if it can seek, as Pillow does."""
    try:
        if hasattr(file, "seekable") and file.seekable():
            file.seek(0)
        content = file.read()
    except Exception as error:  # the object is the caller's and may raise anything
        raise ImageError(f"the file object cannot be read: {type(error).__name__} when it was asked for its bytes") from error
    if not isinstance(content, bytes):
        raise ImageError(f"the file object gives {type(content).__name__}, not bytes: open it in binary mode, 'rb'")
    return io.BytesIO(content)


# ---- from the open file to a photo whose header is known


def _identified(file: IO[bytes]) -> Image.Image:
    """Return the photo in `file` with its header read and nothing decoded."""
    with _one_sentence("file"):
        head = file.read(512)
        file.seek(0)
    if not head:
        raise ImageError(f"the file is empty (0 bytes); accepted are {_ACCEPTED}")
    if _is_heic(head):
        heic_factory = _heic_factory()
        with _one_sentence("HEIC"):
            return heic_factory(file, "")
    # Not Image.open: it refuses at 179 megapixels by a setting of the whole process, warns, and tries formats we do not want.
    Image.init()
    for name in _FORMATS:
        if name not in Image.OPEN:  # AVIF came with Pillow 11.3
            continue
        factory, accept = Image.OPEN[name]
        verdict = accept is not None and accept(head[:16])
        if isinstance(verdict, str):  # Pillow knows the signature and was built without the decoder
            raise ImageError(f"the file is {name}, which the installed Pillow cannot decode; update it: pip install -U pillow")
        if verdict:
            try:
                with _one_sentence(name):
                    return factory(file, "")
            except ImageError:
                if not _is_text(head):  # the signatures of BMP and PPM, BM and P1, also begin words
                    raise
    raise ImageError(f"the file is not a photo, it looks like {_likeness(head)}; accepted are {_ACCEPTED}")


def _is_heic(head: bytes) -> bool:
    """Tell HEIC by its list of brands: first the brand of the file, then the compatible ones. AVIF shares the general ones."""
    if head[4:8] != b"ftyp":
        return False
    length = int.from_bytes(head[:4], "big")
    brands = {head[i : i + 4] for i in range(8, min(length, len(head)), 4)} | {head[8:12]}
    if brands & {b"avif", b"avis"}:
        return False
    return bool(brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})


def _heic_factory() -> Callable[[IO[bytes], str], Image.Image]:
    """Return the class that opens HEIC, without registering it with Pillow for the whole process."""
    try:
        return cast("Callable[[IO[bytes], str], Image.Image]", importlib.import_module("pillow_heif").HeifImageFile)
    except ImportError as error:
        raise ImageError("the file is HEIC, and pillow-heif is not installed: pip install pillow-heif") from error


_LIKENESSES = (
    (rb"%PDF", "a PDF document"),
    (rb"%!PS", "a PostScript document"),
    (rb"8BPS", "a Photoshop document"),
    (rb"\s*(<!doctype html|<html|<head|<body)\b", "an HTML page"),
    (rb"\s*<(svg|.*<svg)\b", "an SVG drawing"),  # after comments and the like; a stricter pattern can take for ever
    (rb"\s*<\?xml", "an XML document"),
    (rb"version https://git-lfs", "a Git LFS pointer: fetch the file itself with git lfs pull"),
    (rb".{4}ftypavi[fs]", "an AVIF photo, for which Pillow 11.3 or newer is needed"),
    (rb".{4}ftypcrx", "a raw camera file"),
    (rb".{4}ftyp|\x1aE\xdf\xa3|RIFF.{4}AVI ", "a video"),
    (rb"ID3|OggS|fLaC|RIFF.{4}WAVE", "a sound"),
    (rb"PK\x03\x04", "a ZIP archive or an Office document"),
    (rb"\x1f\x8b|7z\xbc\xaf|Rar!|.{257}ustar", "an archive"),
    (rb"\x7fELF|MZ", "a program"),
    (rb"\x93NUMPY", "a NumPy array: load it with numpy.load"),
)


_BLANKS = dict.fromkeys(map(ord, "\t\n\r\f\ufeff"))


def _likeness(head: bytes) -> str:
    """Say what bytes that are no photo look like."""
    for pattern, likeness in _LIKENESSES:
        if re.match(pattern, head, re.DOTALL | re.IGNORECASE):
            return likeness
    if _is_text(head):
        return "text"
    return f"unknown data that begins with the bytes {head[:8].hex(' ')}"


def _is_text(head: bytes) -> bool:
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)  # one that lets a last character be cut in two
    except UnicodeDecodeError:
        return False
    return text != "" and text.translate(_BLANKS).isprintable()


# ---- from the photo to pixels


def _decoded(photo: Image.Image, max_side: int | None, *, ours: bool) -> Decoded:
    """Decode a photo whose header is read; one that is not `ours` keeps its size and its pixels."""
    _check_size(photo.size)
    width, height = photo.size
    with _one_sentence(photo.format or "Pillow image"):
        if ours and max_side is not None:
            _draft(photo, max_side)
        photo.load()
        orientation = _orientation(photo)  # after loading: some formats turn the pixels themselves, and then drop the tag
        rgb = _reduced(_rgb(photo), max_side)
        if orientation in _UPRIGHT:
            rgb = rgb.transpose(_UPRIGHT[orientation])
        pixels = _pixels(rgb)
    if orientation >= 5:
        width, height = height, width
    return Decoded(pixels, width, height)


def _check_size(size: tuple[int, int]) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise ImageError(f"the photo is {width} x {height} pixels: there is nothing in it")
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"the photo is {width} x {height} pixels, {width * height / 1e6:.0f} megapixels; "
            f"accepted are at most {MAX_PIXELS / 1e6:.0f}: make it smaller first"
        )


def _draft(photo: Image.Image, max_side: int) -> None:
    """Ask the decoder for 1/8, 1/4 or 1/2 of the size, if `max_side` allows it; a decoder that cannot ignores it."""
    width, height = photo.size
    for divisor in (8, 4, 2):
        if max(width, height) // divisor >= max_side:
            photo.draft(None, (max(1, width // divisor), max(1, height // divisor)))
            return


def _orientation(photo: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 (upright) where there is none or it is broken, as viewers do."""
    try:
        orientation = photo.getexif().get(0x0112, 1)
        return orientation if orientation in _UPRIGHT else 1
    except Exception:  # a broken EXIF block raises anything, and the pixels are good all the same
        return 1


def _rgb(photo: Image.Image) -> Image.Image:
    """Return a loaded photo of any mode as RGB, composited on white."""
    if photo.mode in ("I", "F") or photo.mode.startswith("I;16"):  # Pillow would clip these at 255
        return Image.fromarray(_scaled_to_8_bit(np.asarray(photo))).convert("RGB")
    if photo.has_transparency_data:
        return _on_white(photo.convert("RGBA"))
    return photo if photo.mode == "RGB" else photo.convert("RGB")


def _on_white(rgba: Image.Image) -> Image.Image:
    rgb = Image.new("RGB", rgba.size, "white")
    rgb.paste(rgba, mask=rgba.getchannel("A"))
    return rgb


def _scaled_to_8_bit(values: npt.NDArray[Any]) -> Pixels:
    """Scale uint16, int32 or float32 (h, w) to uint8; `read_image` says which range counts as full."""
    if values.dtype.kind == "u":
        return np.take(_8_BIT_OF_16, values)
    scaled = np.nan_to_num(values.astype(np.float32), nan=0, posinf=0, neginf=0)
    low, high = float(scaled.min()), float(scaled.max())
    # An integer photo that never exceeds 255 holds 8 bits: taken as 16 bits it would be black.
    full = [top for top in (1, 255, 65535) if high <= top and not (top == 1 and values.dtype.kind == "i")]
    if low >= 0 and full:
        low, high = 0.0, full[0]
    scaled -= low
    scaled *= 255 / ((high - low) or 1)
    return np.rint(scaled, out=scaled).astype(np.uint8)


def _reduced(rgb: Image.Image, max_side: int | None) -> Image.Image:
    """Average whole blocks of pixels into one until the long side is below 2 * max_side; a last block may be partial."""
    factor = max(rgb.size) // max_side if max_side is not None else 1
    return rgb.reduce(factor) if factor > 1 else rgb


def _pixels(rgb: Image.Image) -> Pixels:
    pixels: Pixels = np.array(rgb)
    return pixels


def _from_array(array: npt.NDArray[Any], max_side: int | None) -> Decoded:
    _check_shape(array)
    pixels = _rgb_of_channels(_8_bit(array))
    height, width = pixels.shape[:2]
    if max_side is not None and max(width, height) >= 2 * max_side:
        pixels = _pixels(_reduced(Image.fromarray(pixels), max_side))
    return Decoded(pixels, width, height)


def _check_shape(array: npt.NDArray[Any]) -> None:
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))):
        hint = ""
        if array.ndim == 3 and array.shape[0] in (1, 3, 4):
            hint = "; channels go last: numpy.moveaxis(array, 0, -1)"
        elif array.ndim == 4:
            hint = "; give one photo at a time"
        raise ImageError(f"the array has the shape {array.shape}; accepted are (h, w), (h, w, 1), (h, w, 3) and (h, w, 4){hint}")
    if array.size == 0:
        raise ImageError(f"the array has the shape {array.shape}: there is nothing in it")


def _8_bit(array: npt.NDArray[Any]) -> Pixels:
    """Return the array as uint8; it may be `array` itself."""
    kind, width = array.dtype.kind, array.dtype.itemsize
    if (kind, width) == ("u", 1):
        return array
    if (kind, width) == ("u", 2):  # of either byte order
        return np.take(_8_BIT_OF_16, array)
    if kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if kind != "f":
        hint = ": if its values are 0 to 255, use array.astype(numpy.uint8)" if kind in "iu" else ""
        raise ImageError(f"the array is of {array.dtype}; accepted are uint8, uint16, bool and float from 0 to 1{hint}")
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= 1):  # also where one of them is not a number
        hint = ": divide it by 255" if low >= 0 and high <= 255 else ""
        raise ImageError(f"the array is of {array.dtype} from {low:g} to {high:g}; floats are accepted from 0 to 1{hint}")
    scaled: Pixels = np.rint(array * 255).astype(np.uint8)
    return scaled


def _rgb_of_channels(array: Pixels) -> Pixels:
    """Return uint8 (h, w), (h, w, 1), (h, w, 3) or (h, w, 4) as a new (h, w, 3)."""
    if array.ndim == 2:
        array = array[:, :, None]
    if array.shape[2] == 1:
        return np.repeat(array, 3, axis=2)
    if array.shape[2] == 4:
        return _pixels(_on_white(Image.fromarray(array)))
    return np.array(array, order="C")


# ---- what can go wrong while decoding


@contextmanager
def _one_sentence(kind: str) -> Iterator[None]:
    """Turn whatever a decoder raises into an ImageError about a photo of this kind."""
    try:
        yield
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(f"there is not enough memory to decode this {kind}: make it smaller first") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"this {kind} unpacks to more pixels than Pillow accepts: make it smaller first") from error
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, EOFError, ValueError, and more at will
        if isinstance(error, OSError) and error.errno is not None:  # from the disk; those that Pillow makes have no number
            raise ImageError(f"the file cannot be read: {error.strerror}") from error
        if isinstance(error, EOFError) or "truncated" in str(error).lower():
            raise ImageError(f"this {kind} is cut off: its data ends before the photo is complete; copy the file anew") from error
        raise ImageError(
            f"this {kind} is damaged or incomplete and cannot be decoded: copy the file anew or save it again"
        ) from error


_quiet = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
_quiet_lock = threading.Lock()
_quiet_users = 0


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Ignore Pillow's warnings (odd EXIF, odd MPO: nothing to do about) while any thread is in here.

    `warnings.catch_warnings` is no help: it puts back the filters it found, and so undoes those that another thread has set
    meanwhile. One filter of our own goes in with the first thread, and out with the last.
    """
    global _quiet_users
    with _quiet_lock:
        _quiet_users += 1
        if _quiet not in warnings.filters:
            warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_users -= 1
            if _quiet_users == 0 and _quiet in warnings.filters:
                cast("list[Any]", warnings.filters).remove(_quiet)


# ---- finding photos


def _below(folder: str) -> Iterator[str]:
    visited: set[tuple[int, int]] = set()
    waiting = [folder]  # a stack, and not a recursion: folders may be nested deeper than Python calls
    while waiting:
        path = waiting.pop()
        try:
            status = os.stat(path)
            names = os.listdir(path) if stat.S_ISDIR(status.st_mode) else None
        except OSError:
            if path == folder or os.path.isdir(path) or _is_image(path):
                yield path
            continue
        if names is None:
            if _is_image(path):
                yield path
        elif (status.st_dev, status.st_ino) not in visited:
            visited.add((status.st_dev, status.st_ino))
            visible = (name for name in names if not name.startswith("."))
            waiting += (os.path.join(path, name) for name in sorted(visible, key=_natural, reverse=True))


def _matching(pattern: str) -> list[str]:
    """Return the visible photos that match, in natural order. pathlib's `**` follows no links, so that loops end."""
    parts = Path(pattern).parts
    fixed = next(i for i, part in enumerate(parts) if any(sign in part for sign in "*?["))
    root = Path(*parts[:fixed])
    found = set()
    wild = (part if part == "**" else re.sub(r"\*+", "*", part) for part in parts[fixed:])  # pathlib refuses **.jpg
    for path in root.glob(os.path.join(*wild)):
        hidden = any(part.startswith(".") and part != ".." for part in path.relative_to(root).parts)
        if not hidden and _is_image(path.name) and not path.is_dir():
            found.add(path)
    return [str(path) for path in sorted(found, key=lambda path: [_natural(part) for part in path.parts])]


def _is_image(path: str) -> bool:
    return path.lower().endswith(IMAGE_ENDINGS)


def _natural(name: str) -> tuple[list[str | int], str]:
    """Sort key in which numbers count as numbers; text and numbers alternate, so that like meets like."""
    return [int(part) if part.isdecimal() else part.casefold() for part in re.split(r"(\d+)", name)], name
