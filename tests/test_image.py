"""Reading photos and finding them. Photos are made here, by Pillow, so that the right pixels are known."""

from __future__ import annotations

import io
import os
import re
import struct
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image, PngImagePlugin

from happysad import image
from happysad.errors import ImageError
from happysad.image import IMAGE_ENDINGS, find_images, read_image

Array = npt.NDArray[Any]
ACCEPTED = "accepted are JPEG, PNG, WebP, AVIF, HEIC, TIFF, GIF, BMP, JPEG 2000 or PPM"


# ---- builders


def noise(height: int, width: int, channels: int = 3) -> Array:
    return np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, channels), np.uint8)


def slope(height: int, width: int) -> Array:
    """Colours that change slowly, so that lossy formats and reduction keep them."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([y * 255 / height, x * 255 / width, 128 + 0 * x], axis=2).astype(np.uint8)


def saved(pixels: Array | Image.Image, file_format: str = "PNG", **how: Any) -> bytes:
    photo = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    photo.save(file, file_format, **how)
    return file.getvalue()


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def as_stored(upright: Array, orientation: int) -> Array:
    """The pixels a camera stores so that a viewer which obeys the orientation shows `upright` (EXIF 2.32, 4.6.4)."""
    how: dict[int, Callable[[Array], Array]] = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: a[:, ::-1].swapaxes(0, 1),  # the first stored row is the right side, top first
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: a[::-1].swapaxes(0, 1),
    }
    return np.ascontiguousarray(how[orientation](upright))


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""
    file = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    file.seek(0, io.SEEK_END)
    PngImagePlugin.putchunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    PngImagePlugin.putchunk(file, b"IDAT", b"x\x9c")
    return file.getvalue()


def message(source: Any) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(source)
    return str(caught.value)


# ---- sources


def test_every_kind_of_source_gives_the_same_pixels(tmp_path: Path) -> None:
    pixels = noise(5, 7)
    content = saved(pixels)
    path = tmp_path / "photo"
    path.write_bytes(content)
    with path.open("rb") as file:
        sources: list[Any] = [
            path,
            str(path),
            content,
            bytearray(content),
            memoryview(content),
            file,
            pixels,
            Image.fromarray(pixels),
        ]
        for source in sources:
            decoded = read_image(source)
            assert_array_equal(decoded.pixels, pixels)
            assert (decoded.width, decoded.height, decoded.scale) == (7, 5, (1.0, 1.0))
            assert decoded.pixels.dtype == np.uint8
            assert decoded.pixels.flags.c_contiguous and decoded.pixels.flags.writeable


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = noise(4, 4)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(saved(pixels))))
    assert_array_equal(read_image("-").pixels, pixels)


def test_a_file_that_was_just_written_is_read_from_its_start() -> None:
    file = io.BytesIO()
    Image.fromarray(noise(3, 3)).save(file, "PNG")
    assert_array_equal(read_image(file).pixels, noise(3, 3))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=[saved(noise(3, 3))])
    writer.start()
    assert_array_equal(read_image(pipe).pixels, noise(3, 3))
    writer.join()


def test_a_file_object_needs_nothing_but_read() -> None:
    class Stream:
        def read(self) -> bytes:
            return saved(noise(3, 3))

    source: Any = Stream()
    assert_array_equal(read_image(source).pixels, noise(3, 3))


def test_the_result_shares_no_memory_with_the_source() -> None:
    for source in (noise(4, 4), noise(4, 4, 4)[:, :, :3], np.zeros((4, 4), np.uint8)):
        assert not np.shares_memory(read_image(source).pixels, source)


@pytest.mark.parametrize("content", [saved(noise(4, 4), "GIF"), b"no photo"], ids=["photo", "no photo"])
def test_a_file_given_by_path_is_closed_again(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO(content)
    monkeypatch.setattr("builtins.open", lambda *_: file)
    with suppress(ImageError):
        read_image("a.gif")
    assert file.closed


# ---- upright


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 8), st.sampled_from(["PNG", "TIFF", "WEBP", "JPEG"]))
@settings(deadline=None, max_examples=60)
def test_every_orientation_gives_the_pixels_of_the_upright_photo(height: int, width: int, orientation: int, kind: str) -> None:
    upright = np.full((height, width, 3), 0, np.uint8) if kind == "JPEG" else noise(height, width)
    how = {"lossless": True} if kind == "WEBP" else {}
    decoded = read_image(saved(as_stored(upright, orientation), kind, exif=oriented(orientation), **how))
    assert_array_equal(decoded.pixels, upright)
    assert (decoded.width, decoded.height) == (width, height)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_pillow_image_is_turned_upright_and_left_as_it_was(orientation: int) -> None:
    photo = Image.open(io.BytesIO(saved(as_stored(noise(6, 9), orientation), exif=oriented(orientation))))
    size = photo.size
    assert_array_equal(read_image(photo, max_side=1000).pixels, noise(6, 9))
    assert (photo.size, photo.getexif()[0x0112]) == (size, orientation)


def test_a_lazy_jpeg_of_the_caller_keeps_its_size() -> None:
    photo = Image.open(io.BytesIO(saved(slope(64, 128), "JPEG")))
    assert read_image(photo, max_side=16).pixels.shape == (8, 16, 3)
    assert photo.size == (128, 64)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_drafted_photo_is_turned_upright_too(orientation: int) -> None:
    upright = slope(400, 640)
    decoded = read_image(saved(as_stored(upright, orientation), "JPEG", exif=oriented(orientation)), max_side=80)
    assert (decoded.pixels.shape, decoded.width, decoded.height, decoded.scale) == ((50, 80, 3), 640, 400, (8.0, 8.0))
    blocks = upright.reshape(50, 8, 80, 8, 3).mean((1, 3))
    assert_allclose(decoded.pixels, blocks, atol=6)


@pytest.mark.parametrize("broken", [b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0nonsense", b"Exif\0\0"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_broken_exif_block_leaves_the_photo_readable(kind: str, broken: bytes) -> None:
    assert_allclose(read_image(saved(np.full((8, 8, 3), 200, np.uint8), kind, exif=broken)).pixels, 200, atol=2)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_means_upright(orientation: int) -> None:
    decoded = read_image(saved(noise(3, 5), exif=oriented(orientation)))
    assert_array_equal(decoded.pixels, noise(3, 5))
    assert (decoded.width, decoded.height) == (5, 3)


# ---- colours


def test_a_grey_photo_has_three_equal_channels() -> None:
    grey = noise(4, 6, 1)[:, :, 0]
    assert_array_equal(read_image(saved(grey)).pixels, np.dstack([grey] * 3))


def test_a_one_bit_photo_is_black_and_white() -> None:
    bits = np.array([[True, False], [False, True]])
    assert_array_equal(read_image(saved(Image.fromarray(bits), "TIFF")).pixels[:, :, 0], [[255, 0], [0, 255]])


def test_a_palette_photo_shows_its_colours() -> None:
    photo = Image.fromarray(np.array([[0, 1]], np.uint8), "L").convert("P")
    photo.putpalette([10, 20, 30, 200, 100, 50])
    assert_array_equal(read_image(saved(photo)).pixels, [[[10, 20, 30], [200, 100, 50]]])


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_the_transparent_colour_of_a_palette_becomes_white(kind: str) -> None:
    photo = Image.fromarray(np.array([[0, 1]], np.uint8), "L").convert("P")
    photo.putpalette([10, 20, 30, 200, 100, 50])
    assert_array_equal(read_image(saved(photo, kind, transparency=0)).pixels, [[[255, 255, 255], [200, 100, 50]]])


def test_a_palette_with_partial_transparency_is_composited_on_white() -> None:
    photo = Image.fromarray(np.array([[0, 1, 1]], np.uint8), "L").convert("P")
    photo.putpalette([0, 0, 0, 0, 0, 100])
    pixels = read_image(saved(photo, transparency=bytes([255, 51]))).pixels
    assert_array_equal(pixels, [[[0, 0, 0], [204, 204, 224], [204, 204, 224]]])


def test_alpha_is_composited_on_white() -> None:
    rgba = np.array([[[0, 0, 0, 0], [100, 0, 200, 51], [1, 2, 3, 255]]], np.uint8)
    expected = [[[255, 255, 255], [224, 204, 244], [1, 2, 3]]]  # c * 51/255 + 255 * 204/255
    for source in (rgba, saved(rgba), Image.fromarray(rgba), saved(rgba, "WEBP", lossless=True, exact=True)):
        assert_array_equal(read_image(source).pixels, expected)


def test_grey_with_alpha_is_composited_on_white() -> None:
    photo = Image.merge("LA", [Image.new("L", (2, 1), 100), Image.fromarray(np.array([[0, 255]], np.uint8))])
    assert_array_equal(read_image(saved(photo)).pixels, [[[255] * 3, [100] * 3]])


def test_the_transparent_colour_of_an_rgb_png_becomes_white() -> None:
    pixels = np.array([[[9, 9, 9], [8, 8, 8]]], np.uint8)
    assert_array_equal(read_image(saved(pixels, transparency=(9, 9, 9))).pixels, [[[255] * 3, [8] * 3]])


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])  # Pillow, like Adobe, stores a CMYK JPEG inverted, with Adobe's marker
def test_cmyk_is_ink_on_white_paper(kind: str) -> None:
    inks = {
        (0, 0, 0, 0): (255, 255, 255),
        (0, 0, 0, 255): (0, 0, 0),
        (255, 0, 0, 0): (0, 255, 255),
        (0, 255, 255, 0): (255, 0, 0),
    }
    for ink, colour in inks.items():
        content = saved(Image.new("CMYK", (16, 16), ink), kind)
        assert (b"Adobe" in content) == (kind == "JPEG")
        assert_allclose(read_image(content).pixels, np.broadcast_to(colour, (16, 16, 3)), atol=3)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled_and_not_clipped(kind: str) -> None:
    values = np.array([[0, 257, 25700, 65535]], np.uint16)
    assert_array_equal(read_image(saved(values, kind)).pixels[:, :, 0], [[0, 1, 100, 255]])


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders_of_sixteen_bits_are_read(order: str) -> None:
    mode = {"<": "I;16", ">": "I;16B"}[order]
    values = np.array([[0, 25700], [51400, 65535]], f"{order}u2")
    photo = Image.frombytes(mode, (2, 2), values.tobytes())
    for source in (photo, saved(photo, "TIFF"), values):
        assert_array_equal(read_image(source).pixels[:, :, 2], [[0, 100], [200, 255]])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 1, 200]], np.int32), [[0, 1, 200]]),  # 8 bits in a wider type
        (np.array([[0, 1, 1]], np.int32), [[0, 1, 1]]),
        (np.array([[0, 25700, 65535]], np.int32), [[0, 100, 255]]),
        (np.array([[-1000, 0, 1000]], np.int32), [[0, 128, 255]]),
        (np.array([[0, 2**30, 2**31 - 1]], np.int32), [[0, 128, 255]]),
        (np.array([[0, 0.2, 1]], np.float32), [[0, 51, 255]]),
        (np.array([[0, 1.5, 200]], np.float32), [[0, 2, 200]]),
        (np.array([[0, 25700, 65535]], np.float32), [[0, 100, 255]]),
        (np.array([[-1, 0, 1]], np.float32), [[0, 128, 255]]),
        (np.array([[np.nan, np.inf, 1]], np.float32), [[0, 0, 255]]),
        (np.array([[-7, -7]], np.float32), [[0, 0]]),
    ],
)
def test_wide_integers_and_floats_are_scaled_by_the_range_that_holds_them(values: Array, expected: list[list[int]]) -> None:
    photo = Image.fromarray(values)
    for source in (photo, saved(photo, "TIFF")):
        assert_array_equal(read_image(source).pixels[:, :, 1], expected)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_taken(kind: str) -> None:
    first, second = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    content = saved(first, kind, save_all=True, append_images=[second])
    assert_allclose(read_image(content).pixels, np.broadcast_to([255, 0, 0], (8, 8, 3)), atol=3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF", "GIF", "BMP", "JPEG2000", "PPM"])
def test_every_format_is_read(kind: str) -> None:
    Image.init()
    if kind not in Image.SAVE:
        pytest.skip(f"this Pillow cannot write {kind}")
    assert_allclose(read_image(saved(slope(48, 64), kind)).pixels, slope(48, 64), atol=26)


def test_heic_is_read_upright_where_pillow_heif_is_installed() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(slope(64, 96))).save(file, quality=95)
    assert_allclose(read_image(file.getvalue()).pixels, slope(64, 96), atol=12)
    assert "HEIF" not in Image.OPEN


# ---- arrays


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 1), (3, 4, 3), (3, 4, 4)])
@pytest.mark.parametrize(
    ("dtype", "full"), [("uint8", 255), (">u2", 65535), ("uint16", 65535), ("bool", True), ("f2", 1), ("f8", 1)]
)
def test_arrays_of_every_shape_and_type_are_read(shape: tuple[int, ...], dtype: str, full: float) -> None:
    array = np.zeros(shape, dtype)
    array[0] = full
    if shape[-1:] == (4,) and len(shape) == 3:
        array[..., 3] = full
    expected = np.zeros((3, 4, 3), np.uint8)
    expected[0] = 255
    assert_array_equal(read_image(array).pixels, expected)


@given(st.floats(0, 1))
def test_floats_are_rounded_to_the_nearest_of_256_values(value: float) -> None:
    assert abs(int(read_image(np.full((1, 1), value)).pixels[0, 0, 0]) - value * 255) <= 0.5 + 1e-9


SHAPES = "accepted are (h, w), (h, w, 1), (h, w, 3) and (h, w, 4)"


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros(5, np.uint8), f"the array has the shape (5,); {SHAPES}"),
        (np.zeros((5, 5, 2), np.uint8), f"the array has the shape (5, 5, 2); {SHAPES}"),
        (
            np.zeros((3, 5, 5), np.uint8),
            f"the array has the shape (3, 5, 5); {SHAPES}; channels go last: numpy.moveaxis(array, 0, -1)",
        ),
        (np.zeros((1, 5, 5, 3), np.uint8), f"the array has the shape (1, 5, 5, 3); {SHAPES}; give one photo at a time"),
        (np.zeros((0, 5), np.uint8), "the array has the shape (0, 5): there is nothing in it"),
        (
            np.zeros((5, 5), np.int32),
            "the array is of int32; accepted are uint8, uint16, bool and float from 0 to 1: "
            "if its values are 0 to 255, use array.astype(numpy.uint8)",
        ),
        (np.zeros((5, 5), complex), "the array is of complex128; accepted are uint8, uint16, bool and float from 0 to 1"),
        (np.full((5, 5), 200.0), "the array is of float64 from 200 to 200; floats are accepted from 0 to 1: divide it by 255"),
        (np.full((5, 5), -0.5), "the array is of float64 from -0.5 to -0.5; floats are accepted from 0 to 1"),
        (np.full((5, 5), np.nan), "the array is of float64 from nan to nan; floats are accepted from 0 to 1"),
    ],
)
def test_any_other_array_is_one_clear_sentence(array: Array, sentence: str) -> None:
    assert message(array) == sentence


# ---- reduction


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 60), st.sampled_from(["JPEG", "PNG", "array"]))
@settings(deadline=None, max_examples=100)
def test_a_reduced_photo_is_at_least_as_long_as_asked_and_below_twice_that(width: int, height: int, side: int, kind: str) -> None:
    pixels = slope(height, width)
    decoded = read_image(pixels if kind == "array" else saved(pixels, kind), max_side=side)
    long = max(decoded.pixels.shape[:2])
    assert (decoded.width, decoded.height) == (width, height)
    assert min(side, max(width, height)) <= long < 2 * side
    assert min(decoded.scale) >= 1
    if max(width, height) < 2 * side:
        assert decoded.scale == (1.0, 1.0)


def test_a_reduced_pixel_is_the_mean_of_its_block() -> None:
    pixels = noise(40, 60)
    means = pixels.reshape(10, 4, 15, 4, 3).mean((1, 3))
    for source in (pixels, saved(pixels), Image.fromarray(pixels)):
        assert_allclose(read_image(source, max_side=15).pixels, means, atol=0.51)


def test_a_large_jpeg_is_not_decoded_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    content = saved(slope(1200, 1600), "JPEG")
    loaded = set()
    load = Image.Image.load

    def noted(photo: Image.Image) -> Any:
        loaded.add(photo.size)
        return load(photo)

    monkeypatch.setattr(Image.Image, "load", noted)
    assert read_image(content, max_side=320).pixels.shape == (300, 400, 3)
    assert loaded == {(400, 300)}


def test_a_max_side_below_one_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match=re.escape("max_side must be at least 1, got 0")):
        read_image(noise(2, 2), max_side=0)


# ---- what cannot be read


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "GIF", "BMP", "PPM"])
def test_a_photo_cut_in_half_is_one_clear_sentence(kind: str) -> None:
    content = saved(noise(40, 40), kind)
    sentence = f"this {kind} is cut off: its data ends before the photo is complete; copy the file anew"
    assert message(content[: len(content) // 2]) == sentence


def test_a_truncated_jpeg_is_one_clear_sentence_when_it_is_drafted_too() -> None:
    with pytest.raises(ImageError, match=r"^this JPEG is cut off: "):
        read_image(saved(noise(400, 400), "JPEG")[:20_000], max_side=50)


def test_a_png_with_a_broken_chunk_is_one_clear_sentence() -> None:
    content = saved(noise(8, 8))
    sentence = "this PNG is damaged or incomplete and cannot be decoded: copy the file anew or save it again"
    assert message(content[:14] + b"\xff\xff" + content[16:]) == sentence


@given(st.data())
@settings(deadline=None, max_examples=150)
def test_damage_anywhere_gives_pixels_or_one_sentence_and_never_a_warning(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "PPM", "WEBP", "TIFF"]))
    content = bytearray(saved(slope(16, 16), kind, **({"exif": oriented(6)} if kind in ("JPEG", "PNG", "WEBP", "TIFF") else {})))
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=5)):
        content[place] = value
    del content[data.draw(st.integers(0, len(content))) :]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            assert read_image(bytes(content)).pixels.ndim == 3
        except ImageError as error:
            assert "\n" not in str(error) and str(error)


LIKENESSES = {
    "a PDF document": b"%PDF-1.7\n%\xe2\xe3",
    "a PostScript document": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "a Photoshop document": b"8BPS\0\1",
    "an SVG drawing": b'<?xml version="1.0"?>\n<!-- made -->\n<svg xmlns="http://www.w3.org/2000/svg">',
    "an HTML page": b"<!DOCTYPE html>\n<html><title>404",
    "an XML document": b'<?xml version="1.0"?>\n<rows>',
    "a Git LFS pointer: fetch the file itself with git lfs pull": b"version https://git-lfs.github.com/spec/v1\n",
    "a raw camera file": b"\0\0\0\x18ftypcrx ",
    "a video": b"\0\0\0\x20ftypisom\0\0\2\0",
    "a sound": b"ID3\4\0",
    "a ZIP archive or an Office document": b"PK\3\4\x14",
    "an archive": b"\x1f\x8b\x08",
    "a program": b"\x7fELF\2\1",
    "a NumPy array: load it with numpy.load": b"\x93NUMPY\1\0",
    "text": "BMW, Müller\n".encode() * 100,
    "unknown data that begins with the bytes 00 01 02 03 04 05 06 07": bytes(range(32)),
}


@pytest.mark.parametrize("likeness", LIKENESSES)
def test_what_is_no_photo_is_called_what_it_looks_like(likeness: str) -> None:
    assert message(LIKENESSES[likeness]) == f"the file is not a photo, it looks like {likeness}; {ACCEPTED}"


@pytest.mark.parametrize("words", [b"BMW", b"P1 is a prison", b"Python", "P6: Stra\N{LATIN SMALL LETTER SHARP S}e".encode()])
def test_text_that_begins_like_a_photo_is_still_called_text(words: bytes) -> None:
    assert message(words) == f"the file is not a photo, it looks like text; {ACCEPTED}"


def test_text_made_to_slow_down_a_pattern_does_not() -> None:
    for text in (b"<!---->" * 73, b"<?xml ?>" * 64, b" " * 512, b"<" * 512):
        start = time.perf_counter()
        assert "it looks like" in message(text)
        assert time.perf_counter() - start < 1


def test_an_empty_file_says_so() -> None:
    assert message(b"") == f"the file is empty (0 bytes); {ACCEPTED}"


def test_heic_without_pillow_heif_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for brands in (b"heic\0\0\0\0mif1heic", b"mif1\0\0\0\0mif1heic"):
        content = struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands
        assert message(content) == "the file is HEIC, and pillow-heif is not installed: pip install pillow-heif"


def test_an_avif_under_a_general_brand_is_not_taken_for_heic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert "HEIC, and" not in message(b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif")


def test_a_decompression_bomb_is_refused_by_its_header() -> None:
    start = time.perf_counter()
    sentence = "the photo is 60000 x 50000 pixels, 3000 megapixels; accepted are at most 200: make it smaller first"
    assert message(png_header(60_000, 50_000)) == sentence
    assert time.perf_counter() - start < 1


def test_the_limit_is_ours_and_pillows_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    monkeypatch.setattr(image, "MAX_PIXELS", 64)
    assert read_image(saved(noise(8, 8))).pixels.shape == (8, 8, 3)
    assert Image.MAX_IMAGE_PIXELS == 10
    assert message(saved(noise(8, 9))).startswith("the photo is 9 x 8 pixels")


def test_a_photo_that_does_not_fit_into_memory_is_one_clear_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    content = saved(noise(4, 4))

    def no_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("PIL.Image.core.new", no_memory)
    assert message(content) == "there is not enough memory to decode this PNG: make it smaller first"


def test_a_photo_without_pixels_is_one_clear_sentence() -> None:
    assert message(Image.new("RGB", (0, 5))) == "the photo is 0 x 5 pixels: there is nothing in it"


def test_a_path_that_cannot_be_opened_says_why_and_names_no_file(tmp_path: Path) -> None:
    assert message(tmp_path / "none.jpg") == "there is no such file: check the path"
    assert message(tmp_path) == "this is a folder, not a photo: name the photos in it, one by one"
    assert message("a\0b") == "the file cannot be opened: its path is not valid"
    assert message("x" * 5000).startswith("the file cannot be opened: ")


def test_a_file_without_permission_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(saved(noise(2, 2), "JPEG"))

    def forbidden(*_: object) -> None:  # chmod does not stop an administrator
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", forbidden)
    assert message(path) == "the file may not be read: its permissions do not allow it to this user"


class FailingDisk(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        if self.tell() >= 512:
            raise OSError(5, "Input/output error")
        return super().read(size if size is None or size < 0 else min(size, 512))


def test_a_disk_that_fails_is_not_called_a_damaged_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.open", lambda *_: FailingDisk(saved(noise(40, 40))))
    assert message("a.png") == "the file cannot be read: Input/output error"


def test_a_file_object_that_fails_says_how() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(5, "Input/output error")

    assert message(Failing()) == "the file object cannot be read: OSError when it was asked for its bytes"


def test_a_text_file_object_says_how_to_open_it() -> None:
    assert message(io.StringIO("x")) == "the file object gives str, not bytes: open it in binary mode, 'rb'"


def test_what_is_no_source_at_all_says_what_is() -> None:
    sentence = "a photo is given as a path, bytes, an open binary file, a NumPy array or a Pillow image, not as NoneType"
    assert message(None) == sentence


# ---- warnings and threads


def tiff_that_warns() -> bytes:
    """A TIFF whose tag 274, the orientation, claims two values where there is one."""
    content = bytearray(saved(noise(4, 4), "TIFF", tiffinfo={274: 1}))
    entry = content.index(struct.pack("<HHI", 274, 3, 1))
    content[entry + 4] = 2
    return bytes(content)


def test_warnings_of_pillow_do_not_reach_the_user() -> None:
    with pytest.warns(UserWarning, match="Metadata Warning"):
        Image.open(io.BytesIO(tiff_that_warns())).load()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        read_image(tiff_that_warns())
        assert warnings.filters == before
    assert seen == []


def test_sixteen_threads_read_at_once_and_leave_the_warning_filters_alone() -> None:
    photos = [saved(slope(40 + i, 60), kind) for i in range(8) for kind in ("JPEG", "PNG", "TIFF")]
    photos += [tiff_that_warns()] * 8
    expected = [read_image(photo).pixels for photo in photos]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = list(warnings.filters)
        with ThreadPoolExecutor(16) as pool:
            for got, right in zip(pool.map(read_image, photos * 4), expected * 4, strict=True):
                assert_array_equal(got.pixels, right)
        assert warnings.filters == before


def test_the_first_photos_of_a_process_may_come_in_threads() -> None:
    program = (
        "import sys; from concurrent.futures import ThreadPoolExecutor; from happysad.image import read_image\n"
        "photo = sys.stdin.buffer.read()\n"
        "print(sum(d.width for d in ThreadPoolExecutor(16).map(read_image, [photo] * 32)))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], input=saved(noise(3, 5), "TIFF"), capture_output=True)
    assert (done.stdout.strip(), done.stderr) == (b"160", b"")


# ---- finding photos


def made(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def found(*paths: str | Path) -> list[str]:
    return [path.replace(os.sep, "/") for path in find_images(paths)]


def test_a_folder_is_its_photos_in_natural_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path, *(f"d/{name}" for name in ("img10.jpg", "img2.JPG", "img1.png", "img3/b.heic", "img3/a.tif", "notes.txt")))
    made(tmp_path, "d/.hidden.jpg", "d/.git/x.jpg", "d/._img1.png")
    monkeypatch.chdir(tmp_path)
    expected = ["d/img1.png", "d/img2.JPG", "d/img3/a.tif", "d/img3/b.heic", "d/img10.jpg"]
    assert found("d") == found(Path("d")) == found("d/") == expected


@given(st.lists(st.tuples(st.sampled_from(["a", "B", "img", "1"]), st.integers(0, 10**12)), min_size=1, unique=True))
def test_numbers_in_names_sort_as_numbers(names: list[tuple[str, int]]) -> None:
    in_order = sorted((f"x{word}_{number}.jpg" for word, number in names), key=image._natural)
    numbers: dict[str, list[int]] = {}
    for name in in_order:
        word, number = name.removesuffix(".jpg").rsplit("_", 1)
        numbers.setdefault(word, []).append(int(number))
    assert list(numbers) == sorted(numbers, key=str.casefold)
    assert all(row == sorted(row) for row in numbers.values())


def test_a_named_file_a_missing_path_and_a_dash_pass_as_they_are(tmp_path: Path) -> None:
    made(tmp_path, "notes.txt")
    given = [str(tmp_path / "notes.txt"), "-", "missing.jpg", "missing*.jpg", "", "a\0b"]
    assert list(find_images(given)) == given


def test_one_path_alone_is_not_taken_for_its_letters() -> None:
    assert list(find_images("abc.jpg")) == ["abc.jpg"]


def test_patterns_are_expanded_to_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path, "a2.jpg", "a10.jpg", "a.txt", ".a.jpg", "sub/b.png", "sub/deep/c.png", "sub/.d/e.png", "dir.jpg/f.gif")
    monkeypatch.chdir(tmp_path)
    assert found("*.jpg") == ["a2.jpg", "a10.jpg"]
    assert found("a?.jpg", "sub/*.png") == ["a2.jpg", "sub/b.png"]
    assert found("**/*.png") == ["sub/b.png", "sub/deep/c.png"]
    assert found("s*/**.png") == ["sub/b.png"]
    assert found("a*") == ["a2.jpg", "a10.jpg"]
    assert found(tmp_path / "a[1-3].jpg") == [(tmp_path / "a2.jpg").as_posix()]


def test_a_name_that_looks_like_a_pattern_is_the_file_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path, "a[1].jpg", "a1.jpg")
    monkeypatch.chdir(tmp_path)
    assert found("a[1].jpg") == ["a[1].jpg"]


def test_links_that_lead_in_circles_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path, "d/a.jpg", "d/e/b.jpg")
    monkeypatch.chdir(tmp_path)
    try:
        for i in range(3):
            os.symlink(tmp_path / "d", f"d/e/loop{i}", target_is_directory=True)
        os.symlink("nowhere", "d/gone.jpg")
    except OSError:
        pytest.skip("links cannot be made here")
    assert found("d") == ["d/a.jpg", "d/e/b.jpg", "d/gone.jpg"]
    assert found("d/**/*.jpg") == ["d/a.jpg", "d/e/b.jpg", "d/gone.jpg"]


def test_a_folder_that_cannot_be_listed_is_yielded_so_that_reading_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path, "d/a.jpg")

    def forbidden(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", forbidden)
    assert list(find_images([tmp_path / "d"])) == [str(tmp_path / "d")]


def test_every_ending_is_lower_case_and_begins_with_a_dot() -> None:
    assert all(re.fullmatch(r"\.[a-z0-9]+", ending) for ending in IMAGE_ENDINGS)
    assert len(set(IMAGE_ENDINGS)) == len(IMAGE_ENDINGS)
