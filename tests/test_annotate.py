"""Marked photos: what they leave alone, where labels lie, and that words can be read."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from conftest import encoded
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from PIL import Image, ImageFont

from happysad import annotate as annotating
from happysad.annotate import annotate, copy_names, save, words
from happysad.errors import ImageError
from happysad.predict import FaceMood, Prediction, Predictor, grade


def face(box: tuple[int, int, int, int] | None, mood: float = 0.8, certain: bool = True) -> FaceMood:
    return FaceMood(
        box=box,
        detector_score=0.9,
        landmarks=None,
        p={"happy": 0.8, "neutral": 0.2, "sad": 0.0, "other": 0.0},
        mood=mood,
        grade=grade(mood),
        look="happy",
        label="happy",
        confidence=0.9,
        certain=certain,
        reason=None if certain else "it is a test",
    )


def seen(width: int, height: int, *faces: FaceMood) -> Prediction:
    return Prediction(None, width, height, None, faces)


def plain(width: int, height: int, grey: int) -> np.ndarray:
    return np.full((height, width, 3), grey, np.uint8)


def changed(before: np.ndarray, after: Image.Image) -> np.ndarray:
    """Where a picture was drawn on: bool (h, w)."""
    return np.asarray((np.asarray(after) != before).any(axis=2))


# ---- the words


def test_the_words_say_looks_and_never_more_than_is_known() -> None:
    assert words(face((0, 0, 9, 9), 0.4)) == "looks slightly happy"
    assert words(face((0, 0, 9, 9), -0.9)) == "looks sad"
    assert words(face((0, 0, 9, 9), 0.9, certain=False)) == "not sure"


# ---- the picture


@pytest.mark.parametrize("grey", [0, 128, 255])
@pytest.mark.parametrize("width", [440, 1000, 4000])
def test_box_and_label_stand_out_from_dark_and_light_pictures(width: int, grey: int) -> None:
    before = plain(width, width * 3 // 4, grey)
    side = width // 4
    box = (width // 3, width // 4, width // 3 + side, width // 4 + side)
    after = np.asarray(annotate(before, seen(width, width * 3 // 4, face(box))))
    drawn = changed(before, Image.fromarray(after))
    assert drawn[box[1], box[0] : box[2]].all()  # the upper edge of the box
    assert not drawn[box[1] + side // 8 : box[3] - side // 8, box[0] + side // 8 : box[2] - side // 8].any()
    below = drawn.copy()
    below[: box[3] + side // 16] = False
    label = after[below.any(axis=1)][:, below.any(axis=0)]
    assert label[:, 1].max() < 90  # the margin beside the letters
    assert label[len(label) // 8 : len(label) // 2].max() > 230


def test_letters_grow_with_the_picture() -> None:
    def height_drawn(width: int) -> int:
        before = plain(width, width, 128)
        after = annotate(before, seen(width, width, face((width // 4, width // 4, width // 2, width // 2))))
        rows_drawn = changed(before, after)[width // 2 + width // 64 :].any(axis=1)
        return int(rows_drawn.sum())

    assert 20 <= height_drawn(400) < 80
    assert 6 < height_drawn(4000) / height_drawn(400) < 14


def test_small_pictures_are_enlarged_so_that_words_fit_and_others_keep_their_size() -> None:
    assert annotate(plain(48, 48, 90), seen(48, 48, face(None))).size == (336, 336)
    assert annotate(plain(200, 150, 90), seen(200, 150)).size == (600, 450)
    assert annotate(plain(640, 480, 90), seen(640, 480)).size == (640, 480)
    assert annotate(plain(3000, 10, 90), seen(3000, 10)).size == (3000, 10)


def test_a_photo_without_a_face_says_so_in_its_lower_left_corner() -> None:
    before = plain(640, 480, 200)
    drawn = changed(before, annotate(before, seen(640, 480)))
    assert drawn[440:, :100].any()
    assert not drawn[:400].any()


def test_a_crop_gets_a_label_within_the_picture_and_no_box() -> None:
    before = plain(400, 400, 200)
    drawn = changed(before, annotate(before, seen(400, 400, face(None))))
    assert drawn.any()
    assert not drawn[:200].any()


def test_the_photo_that_was_given_is_not_changed(smile: np.ndarray, predictor: Predictor) -> None:
    photo, before = Image.fromarray(smile), smile.copy()
    annotate(photo, seen(480, 360, face((100, 100, 200, 200))))
    annotate(smile, seen(480, 360, face((100, 100, 200, 200))))
    assert_array_equal(smile, before)
    assert_array_equal(np.asarray(photo), before)


def test_a_photo_stored_turned_is_marked_upright_and_loses_its_metadata(smile: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "where I live"
    stored = encoded(Image.fromarray(smile).transpose(Image.Transpose.ROTATE_90), exif=exif)
    after = annotate(stored, seen(480, 360, face((180, 105, 300, 262))))
    assert_array_equal(np.asarray(after)[120:240, 195:285], smile[120:240, 195:285])
    assert dict(after.getexif()) == {}


def test_the_bar_grows_to_the_right_for_happy_and_to_the_left_for_sad() -> None:
    def columns_of(colour: tuple[int, int, int], mood: float) -> np.ndarray:
        after = np.asarray(annotate(plain(800, 600, 128), seen(800, 600, face((300, 200, 500, 400), mood))))
        return np.flatnonzero((after[412:] == colour).all(axis=2).any(axis=0))

    much, little = columns_of(annotating.HAPPY, 1.0), columns_of(annotating.HAPPY, 0.7)
    assert abs(int(much.min()) - 400) < 4  # both begin in the middle, which lies below the middle of the box
    assert 1.3 < len(much) / len(little) < 1.55
    sad = columns_of(annotating.SAD, -1.0)
    assert abs(int(sad.max()) - 400) < 4
    assert len(columns_of(annotating.HAPPY, -1.0)) == 0


def test_a_doubtful_face_has_neither_bar_nor_colour() -> None:
    after = np.asarray(annotate(plain(800, 600, 128), seen(800, 600, face((300, 200, 500, 400), 0.9, certain=False))))
    assert not (after == annotating.HAPPY).all(axis=2).any()
    assert (after == annotating.UNSURE).all(axis=2).any()


# ---- where labels lie

boxes = st.lists(
    st.builds(
        lambda x, y, side: (x, y, x + side, y + side * 5 // 4), st.integers(0, 1100), st.integers(0, 800), st.integers(20, 300)
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=30)
@given(boxes)
def test_labels_lie_within_the_picture(many: list[tuple[int, int, int, int]]) -> None:
    _, places = annotating._layout(Image.new("RGB", (1200, 900)), many, ["looks slightly happy"] * len(many))
    for x0, y0, x1, y1 in places:
        assert 0 <= x0 < x1 <= 1200
        assert 0 <= y0 < y1 <= 900


def test_no_label_covers_a_face_in_rows_of_many_people() -> None:
    many = [(40 + 150 * column, 60 + 240 * row, 120 + 150 * column, 160 + 240 * row) for row in range(3) for column in range(7)]
    _, places = annotating._layout(Image.new("RGB", (1200, 900)), many, ["looks happy"] * len(many))
    hidden = [(place, box) for place in places for box in many if annotating._shared(place, box)]
    assert hidden == []
    assert all(annotating._shared(a, b) == 0 for i, a in enumerate(places) for b in places[:i])


def test_a_label_goes_above_a_face_with_another_right_below() -> None:
    upper, lower = (500, 300, 600, 420), (500, 425, 600, 545)
    _, (place, _) = annotating._layout(Image.new("RGB", (1200, 900)), [upper, lower], ["looks happy"] * 2)
    assert place[3] <= 300


def test_the_font_scales() -> None:
    assert isinstance(ImageFont.load_default(40), ImageFont.FreeTypeFont)  # else labels on large pictures could not be read


# ---- files


def test_copies_have_names_of_their_own_and_keep_lossless_formats() -> None:
    given_paths = ["a/one.jpg", "b/one.jpeg", "c/One.JPG", "one.png", "-", "scan.tiff", "x/.hidden", "one-looks.jpg"]
    assert copy_names(given_paths) == [
        "one-looks.jpg",
        "one-looks-2.jpg",
        "One-looks-3.jpg",
        "one-looks.png",
        "stdin-looks.jpg",
        "scan-looks.jpg",
        ".hidden-looks.jpg",
        "one-looks-looks.jpg",
    ]


def test_a_picture_that_cannot_be_written_says_so_in_a_sentence(tmp_path: Path) -> None:
    picture = Image.new("RGB", (9, 9))
    with pytest.raises(ImageError, match=r"x\.jpg cannot be written: No such file or directory"):
        save(picture, tmp_path / "missing" / "x.jpg")
    with pytest.raises(ImageError, match=r"x\.nonsense cannot be written: unknown file extension"):
        save(picture, tmp_path / "x.nonsense")
    save(picture, tmp_path / "x.png")
    assert Image.open(tmp_path / "x.png").size == (9, 9)


def test_an_unreadable_photo_raises() -> None:
    with pytest.raises(ImageError, match="looks like text"):
        annotate(io.BytesIO(b"text"), seen(1, 1))


def test_each_face_of_a_real_prediction_is_marked(predictor: Predictor, portrait: Image.Image) -> None:
    prediction = predictor.predict(portrait, faces="largest")
    certain = dataclasses.replace(prediction.faces[0], certain=True, reason=None)
    after = annotate(portrait, dataclasses.replace(prediction, faces=(certain,)))
    enlarged = np.asarray(portrait.resize(after.size, Image.Resampling.BICUBIC))
    drawn = changed(enlarged, after)
    assert certain.box
    x0, y0, x1, _ = (2 * value for value in certain.box)
    assert after.size == (512, 600)
    assert drawn[y0, x0:x1].all()
