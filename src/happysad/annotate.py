"""Photos with boxes, words and mood bars drawn in, readable on light and dark pictures of any size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from happysad.errors import ImageError
from happysad.image import Source, read_image
from happysad.predict import FaceMood, Prediction

HAPPY, NEUTRAL, SAD, UNSURE = (
    (255, 190, 60),
    (225, 225, 225),
    (110, 175, 255),
    (165, 165, 165),
)
DARK, LIGHT = (18, 18, 20), (255, 255, 255)
"""Colours that eyes which do not tell red from green still tell apart."""
LEAST_SIDE = 320  # shorter pictures are enlarged, as no words would fit
LEAST_TEXT = 11  # pixels
MOST_JPEG_SIDE = 65535

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Box = tuple[int, int, int, int]


class _Label(NamedTuple):
    """What stands beside a face. Sizes in pixels."""

    text: str
    width: int
    height: int
    mood: float | None
    colour: tuple[int, int, int]


def annotate(photo: Source, prediction: Prediction) -> Image.Image:
    """The photo, upright, with each face's box, a word such as ``looks slightly happy`` and a bar of its mood from −1 to +1.

    A face whose answer is not certain has a grey box, the words ``not sure``, and no bar. Pictures with a side under `LEAST_SIDE`
    are enlarged by a whole number, all others keep their size.

    Args:
        photo: as for `happysad.image.read_image`; it is decoded at full size.
        prediction: what was seen in that same photo.

    Returns:
        An RGB picture that shares no memory with the photo and carries none of its metadata.

    Raises:
        happysad.errors.ImageError: the photo cannot be read.

    Example:
        >>> import numpy as np
        >>> from happysad.predict import Prediction
        >>> annotate(np.zeros((400, 600, 3), np.uint8), Prediction(None, 600, 400, None, ())).size
        (600, 400)
    """
    picture = Image.fromarray(read_image(photo).pixels)
    enlarged = -(-LEAST_SIDE // min(picture.size)) if min(picture.size) < LEAST_SIDE else 1
    enlarged = max(1, min(enlarged, 4 * LEAST_SIDE // max(picture.size)))  # a ribbon of a picture would grow without end
    if enlarged > 1:
        picture = picture.resize((picture.width * enlarged, picture.height * enlarged), Image.Resampling.BICUBIC)
    faces = prediction.faces
    boxes = [_scaled(face.box, enlarged) if face.box else (0, 0, *picture.size) for face in faces]
    texts = [words(face) for face in faces]
    font, places = _layout(picture, boxes, texts)
    line = max(1, round((picture.width * picture.height) ** 0.5 / 250))
    for face, box in zip(faces, boxes, strict=True):
        if face.box is not None:
            _draw_box(picture, box, line, _colour(face))
    for face, text, place in zip(faces, texts, places, strict=True):
        _draw_label(picture, place, text, font, face)
    if not faces:
        _draw_note(picture, prediction.error or "no face found", font)
    return picture


def words(face: FaceMood) -> str:
    """What is said of a face: ``looks`` and its grade, or ``not sure``."""
    return f"looks {face.grade}" if face.certain else "not sure"


def save(picture: Image.Image, path: Path) -> None:
    """Write a picture, in the format that the ending of ``path`` names, over what is there.

    Raises:
        ImageError: it cannot be written.
    """
    try:
        picture.save(path, quality=92)
    except (OSError, ValueError) as error:  # ValueError: Pillow knows no such ending
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"the picture {path} cannot be written: {reason}") from error


def copy_names(paths: list[str]) -> list[str]:
    """Names for annotated copies: ``a/one.jpg`` gives ``one-looks.jpg``, and a second ``one`` gives ``one-looks-2.jpg``.

    Formats that lose nothing become PNG, all others JPEG.
    """
    names: list[str] = []
    taken: set[str] = set()
    for path in paths:
        stem = "stdin" if path == "-" else Path(path).stem
        ending = ".png" if Path(path).suffix.lower() in _LOSSLESS else ".jpg"
        number = 1
        while (name := f"{stem}-looks{f'-{number}' if number > 1 else ''}{ending}").casefold() in taken:  # some disks ignore case
            number += 1
        taken.add(name.casefold())
        names.append(name)
    return names


_LOSSLESS = (".png", ".apng", ".gif", ".bmp", ".pbm", ".pgm", ".ppm", ".pnm")


def _scaled(box: Box, by: int) -> Box:
    x0, y0, x1, y1 = box
    return x0 * by, y0 * by, x1 * by, y1 * by


# ---- where labels lie


def _layout(picture: Image.Image, boxes: list[Box], texts: list[str]) -> tuple[Font, list[Box]]:
    """The largest font with which no label covers a face or another label, else the smallest, and where the labels lie."""
    for size in _font_sizes(picture.size, boxes):
        font = ImageFont.load_default(size)
        places, covered = _place(picture.size, boxes, [_label_size(text, font) for text in texts])
        if not covered:
            break
    return font, places


def _font_sizes(size: tuple[int, int], boxes: list[Box]) -> Iterator[float]:
    """From large to small, in pixels. They follow the picture, as it is looked at as a whole, and the faces if there are many."""
    picture = (size[0] * size[1]) ** 0.5
    least = max(LEAST_TEXT, picture / 60)
    most = max(least, picture / 28)
    if boxes:
        faces = float(np.median([((x1 - x0) * (y1 - y0)) ** 0.5 for x0, y0, x1, y1 in boxes]))
        most = min(most, max(least, faces / 2.8))
    return (float(value) for value in np.unique(np.round(np.geomspace(most, least, 5)))[::-1])


def _label_size(text: str, font: Font) -> tuple[int, int]:
    width, height = _text_size(text, font)
    margin = _margin(font)
    bar = 0 if text == "not sure" else _bar_height(font) + margin
    return width + 2 * margin, height + 2 * margin + bar


def _place(size: tuple[int, int], boxes: list[Box], labels: list[tuple[int, int]]) -> tuple[list[Box], bool]:
    """A place for each label, the largest faces first, and whether any face or label had to be covered."""
    places: list[Box] = [(0, 0, 0, 0)] * len(boxes)
    taken: list[Box] = []
    covered = False
    for i in sorted(range(len(boxes)), key=lambda i: -_area(boxes[i])):
        others = boxes[:i] + boxes[i + 1 :]
        costs = []
        for rank, place in enumerate(_candidates(size, boxes[i], labels[i])):
            hidden = 3 * sum(_shared(place, other) for other in others) + 3 * sum(_shared(place, other) for other in taken)
            costs.append((hidden + _shared(place, boxes[i]) + rank * 0.01 * _area(place), hidden, place))
        _, hidden, places[i] = min(costs)
        covered |= hidden > 0
        taken.append(places[i])
    return places, covered


def _candidates(size: tuple[int, int], box: Box, label: tuple[int, int]) -> Iterator[Box]:
    """Places beside a box, the best first, all moved into the picture as far as they fit."""
    x0, y0, x1, y1 = box
    width, height = label
    gap = max(2, height // 12)
    columns = ((x0 + x1 - width) // 2, x0, x1 - width)
    rows = ((y0 + y1 - height) // 2, y0, y1 - height)
    spots = [
        *((x, y1 + gap) for x in columns),
        *((x, y0 - gap - height) for x in columns),
        *((x1 + gap, y) for y in rows),
        *((x0 - gap - width, y) for y in rows),
        (columns[0], y1 - height - gap),
        (columns[0], y0 + gap),
    ]
    for x, y in spots:
        left, top = max(0, min(x, size[0] - width)), max(0, min(y, size[1] - height))
        yield left, top, left + width, top + height


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _shared(one: Box, other: Box) -> int:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0, width) * max(0, height)


# ---- drawing


def _text_size(text: str, font: Font) -> tuple[int, int]:
    """Width of the text, and height of a line in that font whatever its letters, so that all labels are alike."""
    return round(font.getlength(text)), _height(font)


def _height(font: Font) -> int:
    _, top, _, bottom = font.getbbox("hpy")
    return round(bottom - top)


def _margin(font: Font) -> int:
    return max(2, _height(font) // 4)


def _bar_height(font: Font) -> int:
    return max(4, _height(font) // 2)


def _colour(face: FaceMood) -> tuple[int, int, int]:
    if not face.certain:
        return UNSURE
    return {"sad": SAD, "slightly sad": SAD, "neutral": NEUTRAL}.get(face.grade, HAPPY)


def _draw_box(picture: Image.Image, box: Box, line: int, colour: tuple[int, int, int]) -> None:
    """A coloured line between two dark ones, so that it stands out from anything."""
    draw = ImageDraw.Draw(picture)
    edge = max(1, line // 2)
    x0, y0, x1, y1 = box
    for grow, width, ink in ((edge, line + 2 * edge, DARK), (0, line, colour)):
        corners = (x0 - grow, y0 - grow, max(x1 - 1, x0) + grow, max(y1 - 1, y0) + grow)
        draw.rectangle(corners, outline=ink, width=width)


def _draw_label(picture: Image.Image, place: Box, text: str, font: Font, face: FaceMood) -> None:
    colour, margin = _colour(face), _margin(font)
    x0, y0, x1, y1 = place
    draw = _backdrop(picture, place)
    _write(draw, (x0 + margin, y0 + margin), text, font, LIGHT)
    if face.certain:
        _draw_bar(draw, (x0 + margin, y1 - margin - _bar_height(font), x1 - margin, y1 - margin), face.mood, colour)


def _draw_bar(draw: ImageDraw.ImageDraw, bar: Box, mood: float, colour: tuple[int, int, int]) -> None:
    """From −1 at the left end to +1 at the right, filled from the middle (0, a white tick) to the mood."""
    x0, y0, x1, y1 = bar
    half = (x1 - x0) / 2
    middle, end = round(x0 + half), round(x0 + half + mood * half)
    draw.rectangle((x0, y0, x1 - 1, y1 - 1), fill=(70, 70, 74))
    draw.rectangle((min(middle, end), y0, max(middle, end - 1), y1 - 1), fill=colour)
    tick = max(1, (y1 - y0) // 6)
    draw.rectangle((middle - tick // 2, y0 - tick, middle - tick // 2 + tick - 1, y1 - 1 + tick), fill=LIGHT)


def _draw_note(picture: Image.Image, text: str, font: Font) -> None:
    """A note in the lower left corner."""
    (width, height), margin = _text_size(text, font), _margin(font)
    place = (0, max(0, picture.height - height - 2 * margin), width + 2 * margin, picture.height)
    _write(_backdrop(picture, place), (place[0] + margin, place[1] + margin), text, font, LIGHT)


def _backdrop(picture: Image.Image, place: Box) -> ImageDraw.ImageDraw:
    """Darken a rectangle until white letters are readable on it, whatever it shows."""
    part = picture.crop(place)
    picture.paste(Image.blend(part, Image.new("RGB", part.size, DARK), 0.82), place[:2])
    return ImageDraw.Draw(picture)


def _write(draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, font: Font, ink: tuple[int, int, int]) -> None:
    """Write with the top of the tallest letter at ``at``."""
    draw.text((at[0], at[1] - font.getbbox("hpy")[1]), text, fill=ink, font=font)
