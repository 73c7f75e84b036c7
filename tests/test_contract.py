"""What a model file promises, and how files that promise nothing are refused."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from happysad import contract
from happysad.contract import BUNDLED, LOOKS, Contract, CropGeometry, open_session, read_bundled, read_contract, released_sha256
from happysad.errors import ModelError
from happysad.predict import Predictor

chance = st.floats(0, 1)


def test_a_contract_survives_being_written_and_read() -> None:
    promise = Contract(
        "test",
        input_size=64,
        channels=3,
        crop=CropGeometry(1.5, 0.1, False),
        look_weights=(1.0, 0.5, 2.0, 1.5),
        confidence=(1.2, -0.1),
        min_confidence=0.8,
        trained_on=("one", "two"),
        scores={"accuracy": {"value": 0.9, "low": 0.8, "high": 0.95, "n": 100}},
        recipe={"seed": 1},
    )
    assert Contract.from_json(promise.to_json()) == promise


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"format": 99}, id="a format of the future"),
        pytest.param({"kind": "face-detector"}, id="another kind of model"),
        pytest.param({"crop": None}, id="no crop"),
        pytest.param({"crop": {"zoom": 2}}, id="a crop nobody knows"),
    ],
)
def test_a_contract_that_is_not_understood_is_refused(change: dict[str, object]) -> None:
    text = json.dumps(json.loads(Contract("test").to_json()) | change)
    with pytest.raises(ModelError, match="export"):
        Contract.from_json(text)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"text"', "{}"])
def test_what_is_no_contract_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        Contract.from_json(text)


def test_the_look_is_the_largest_of_probability_times_weight() -> None:
    p = np.array([0.1, 0.5, 0.3, 0.1])
    assert Contract("plain").look_of(p) == "neutral"
    assert Contract("fair", look_weights=(1.0, 0.5, 1.0, 1.0)).look_of(p) == "sad"


def test_a_model_of_fewer_looks_never_answers_with_another() -> None:
    two = Contract("two", classes=("sad", "happy"), look_weights=(1.0, 2.0))
    assert two.look_of(np.array([0.4, 0.0, 0.6, 0.0])) == "happy"
    assert two.look_of(np.array([0.2, 0.9, 0.6, 0.9])) == "sad"


@given(chance, chance, st.floats(0.1, 3), st.floats(-2, 2))
def test_confidence_is_a_probability_of_the_likelier_label(happy: float, sad: float, slope: float, offset: float) -> None:
    promise = Contract("test", confidence=(slope, offset))
    assert 0.5 <= promise.confidence_of(happy, sad) <= 1
    assert promise.confidence_of(happy, sad) == pytest.approx(promise.confidence_of(sad, happy))


def test_confidence_without_calibration_is_the_share_of_the_two() -> None:
    assert_allclose(Contract("test").confidence_of(0.6, 0.2), 0.75, atol=1e-5)
    assert_allclose(Contract("test", confidence=(2.0, 0.0)).confidence_of(0.6, 0.2), 9 / 10, atol=1e-5)
    assert math.isfinite(Contract("test").confidence_of(0.0, 1.0))


def test_the_bundled_files_are_the_released_ones() -> None:
    assert set(released_sha256()) == set(BUNDLED)
    for name in BUNDLED:
        assert hashlib.sha256(read_bundled(name)).hexdigest() == released_sha256()[name]


def test_a_bundled_file_that_was_changed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "released_sha256", lambda: dict.fromkeys(BUNDLED, "0" * 64))
    with pytest.raises(ModelError, match=r"mood\.onnx is damaged \(sha256 .*released 000000000000.*install happysad again"):
        read_bundled("mood.onnx")


def test_the_bundled_mood_model_keeps_its_promise() -> None:
    session = open_session(None, "mood.onnx", 1)
    promise = read_contract(session)
    assert set(promise.classes) == set(LOOKS)
    assert len(promise.look_weights) == len(promise.classes)
    assert 0.5 <= promise.min_confidence < 1
    (entry,) = session.get_inputs()
    assert entry.name == "crops"
    assert entry.type == "tensor(uint8)"
    assert entry.shape[1:] == [promise.input_size, promise.input_size, promise.channels]
    assert {"p", "maps", "embedding"} <= {out.name for out in session.get_outputs()}


def test_a_model_file_that_is_none_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        Predictor(path)
    with pytest.raises(ModelError, match="cannot be read: Is a directory"):
        Predictor(tmp_path)
    for content in (b"", b"no model", read_bundled("mood.onnx")[:100_000]):
        path.write_bytes(content)
        with pytest.raises(ModelError, match="not an ONNX file"):
            Predictor(path)


def test_an_onnx_file_without_a_contract_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(read_bundled("face-detector.onnx"))
    with pytest.raises(ModelError, match="carries no happysad contract"):
        Predictor(path)


def test_a_contract_cannot_be_changed_in_use() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Contract("test").name = "other"  # type: ignore[misc]
