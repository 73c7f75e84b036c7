"""From a Keras model to the one ONNX file that ships, with its contract inside."""

from __future__ import annotations

import tempfile
from pathlib import Path

import keras
import numpy as np
import onnx
from keras import layers, ops

from happysad.contract import METADATA_KEY, Contract
from happysad.train.fer2013 import LOOK_OF_VOTE
from happysad.train.scenes import MIRRORED_POINTS

VOTES_HEAD_SHARE = 0.5  # how much the head of the eight votes adds to that of the four looks; chosen on the valid rows


def look_head(trained: keras.Model) -> tuple[np.ndarray, np.ndarray]:
    """One linear head for the four looks, out of two trained ones: kernel (c, 4) and bias (4,).

    The head that learnt the eight votes tells happy from sad a little better than the one that learnt the four looks. Its looks
    but "other" are single votes; for "other" the mean of its votes serves, since a sum of probabilities is not linear.
    """
    kernel, bias = trained.get_layer("looks").get_weights()
    eight = np.vstack(trained.get_layer("votes").get_weights())
    four = np.stack([eight[:, look == LOOK_OF_VOTE].mean(axis=1) for look in range(len(bias))], axis=1)
    four -= four.mean(axis=1, keepdims=True)
    return kernel + VOTES_HEAD_SHARE * four[:-1], bias + VOTES_HEAD_SHARE * four[-1]


def mirror_averaged(trained: keras.Model, scale: float, shift: np.ndarray) -> keras.Model:
    """The mood model that ships: body and heads of the trained one, seen plain and mirrored, calibrated.

    Args:
        trained: model of `happysad.train.mood.network`.
        scale: what the logits are multiplied with (1 / temperature).
        shift: float (4,), added to the scaled logits.

    Returns:
        uint8 crops (n, s, s, 1) to ``p`` (n, 4), ``maps`` (n, h, w, 4), whose mean over h and w is the logarithm of ``p`` but for
        a constant, and ``embedding`` (n, c). A crop and its mirror image give the same ``p``.
    """
    body = keras.Model(trained.inputs, trained.get_layer("features").output)
    kernel, bias = look_head(trained)
    crops = keras.Input(trained.input_shape[1:], dtype="uint8", name="crops")
    mirrored = ops.flip(body(ops.flip(crops, axis=2)), axis=2)
    features = (body(crops) + mirrored) / 2
    head = layers.Conv2D(len(bias), 1, dtype="float32")  # linear, so that it may stand before the pooling
    maps = head(features)
    head.set_weights([kernel[None, None] * scale, bias * scale + shift])
    p = ops.softmax(layers.GlobalAveragePooling2D()(maps))
    return keras.Model(crops, {"p": p, "maps": maps, "embedding": layers.GlobalAveragePooling2D()(features)})


def mirror_averaged_detector(trained: keras.Model) -> keras.Model:
    """The detector that ships: each cell's output averaged over the plain and the mirrored image (scores as logits).

    A mirrored image gives the mirrored boxes, and what only one side takes for a face mostly goes away.
    """
    image = keras.Input(trained.input_shape[1:], dtype="uint8", name="image")
    plain, mirrored = trained(image), trained(ops.flip(image, axis=2))
    # left and right distances change places, landmarks change sides and the sign of their x
    order = [0, 3, 2, 1, 4, *(5 + 2 * point + axis for point in MIRRORED_POINTS for axis in (0, 1))]
    sign = np.array([1.0] * 5 + [-1.0, 1.0] * len(MIRRORED_POINTS), np.float32)
    maps = {name: (plain[name] + ops.take(ops.flip(mirrored[name], axis=2), order, axis=-1) * sign) / 2 for name in plain}
    return keras.Model(image, maps)


def write_onnx(model: keras.Model, path: Path, contract: Contract | None = None) -> None:
    """Write ``model`` as ONNX with its own input and output names; the contract, if any, goes into the metadata.

    Raises:
        TypeError: the outputs of ``model`` are not a dictionary.
    """
    if not isinstance(model.output, dict):
        raise TypeError(f"expected a model with a dictionary of outputs, got {type(model.output).__name__}")
    model(
        np.zeros([1, *(side or 64 for side in model.input_shape[1:])], model.inputs[0].dtype)
    )  # Keras exports only what has run
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "model.onnx"
        model.export(plain, format="onnx", verbose=False, opset_version=17)
        graph_file = onnx.load(plain)
    # keras flattens a dictionary of outputs in the order of its sorted keys
    names = dict(zip((value.name for value in graph_file.graph.output), sorted(model.output), strict=True))
    names[graph_file.graph.input[0].name] = model.inputs[0].name
    _rename(graph_file.graph, names)
    if contract is not None:
        graph_file.metadata_props.append(onnx.StringStringEntryProto(key=METADATA_KEY, value=contract.to_json()))
    onnx.checker.check_model(graph_file)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".onnx.new")
    onnx.save(graph_file, aside)
    aside.replace(path)


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    for value in (*graph.input, *graph.output):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        for wires in (node.input, node.output):
            for i, wire in enumerate(wires):
                wires[i] = names.get(wire, wire)
