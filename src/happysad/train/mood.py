"""Train the mood network on the votes of FER+.

    python -m happysad.train.mood --data DATA --run runs/mood

The network has one body and three linear heads, trained together: the eight vote shares, the original FER2013 label,
and the four looks (votes with the original label as three votes more: FER+ voters are shy of "sad"). Only the last head is
exported. Kill it at any time: the same command goes on from the last full epoch and ends with the same weights.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import keras
import numpy as np
from keras import layers

from happysad import metrics
from happysad.train import fer2013, loop
from happysad.train.augment import augment

SIZE = 48


@dataclass(frozen=True)
class Settings:
    """All that decides the result, beside the data."""

    epochs: int = 34
    batch: int = 64
    peak_rate: float = 1e-3
    weight_decay: float = 0.02
    average_decay: float = 0.999
    dropout: float = 0.2
    label_votes: float = 3.0
    stem: int = 16
    blocks: tuple[tuple[int, int], ...] = ((32, 2), (96, 2), (96, 1), (160, 2), (160, 1))
    mixed_precision: bool = True
    seed: int = 1


def network(settings: Settings) -> keras.Model:
    """uint8 grey crops (n, 48, 48, 1) to logits ``votes`` (n, 8), ``label`` (n, 7), ``looks`` (n, 4)."""
    keras.utils.set_random_seed(settings.seed)
    crops = keras.Input((SIZE, SIZE, 1), dtype="uint8", name="crops")
    x = layers.Rescaling(1 / 64, offset=-2.0, name="scale")(crops)
    x = layers.ReLU()(_convolve(x, settings.stem, 1))
    for filters, stride in settings.blocks:
        x = _residual(x, filters, stride)
    features = layers.Activation("linear", name="features")(x)
    pooled = layers.Dropout(settings.dropout, seed=settings.seed)(layers.GlobalAveragePooling2D(name="pooled")(features))
    heads = {
        "votes": layers.Dense(len(fer2013.VOTES), dtype="float32", name="votes")(pooled),
        "label": layers.Dense(len(fer2013.LABELS), dtype="float32", name="label")(pooled),
        "looks": layers.Dense(len(fer2013.LOOKS), dtype="float32", name="looks")(pooled),
    }
    return keras.Model(crops, heads, name="mood")


def _convolve(x: keras.KerasTensor, filters: int, stride: int, kernel: int = 3) -> keras.KerasTensor:
    x = layers.Conv2D(filters, kernel, strides=stride, padding="same", use_bias=False)(x)
    return layers.BatchNormalization()(x)


def _residual(x: keras.KerasTensor, filters: int, stride: int) -> keras.KerasTensor:
    """Basic residual block (He et al. 2016)."""
    shortcut = x if stride == 1 and x.shape[-1] == filters else _convolve(x, filters, stride, kernel=1)
    y = layers.ReLU()(_convolve(x, filters, stride))
    y = _convolve(y, filters, 1)
    return layers.ReLU()(layers.Add()([shortcut, y]))


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Shuffled, augmented batches; batch ``i`` of epoch ``e`` depends on the seed, ``e`` and ``i`` only."""

    def __init__(self, faces: fer2013.VotedFaces, settings: Settings, epoch: int) -> None:
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=8)
        self._faces, self._settings = faces, settings
        self._targets = {
            "votes": faces.vote_shares,
            "label": faces.label_shares,
            "looks": faces.look_shares(settings.label_votes),
        }
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._faces) // self._settings.batch

    def __getitem__(self, i: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        order = np.random.default_rng([self._settings.seed, self._epoch]).permutation(len(self._faces))
        rows = order[i * self._settings.batch : (i + 1) * self._settings.batch]
        rng = np.random.default_rng([self._settings.seed, self._epoch, i])
        crops = augment(self._faces.images[rows], rng)[..., None]
        return crops, {name: target[rows] for name, target in self._targets.items()}


def train(faces: fer2013.VotedFaces, valid: fer2013.VotedFaces, run: Path, settings: Settings) -> keras.Model:
    """Train to the end, or on from the last full epoch in ``run``; see `loop.train`."""
    steps = len(faces) // settings.batch

    def build() -> keras.Model:
        model = network(settings)
        optimizer = keras.optimizers.AdamW(
            loop.learning_rate(settings.peak_rate, settings.epochs, steps),
            weight_decay=settings.weight_decay,
            global_clipnorm=2.0,
        )
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        cross_entropy = keras.losses.CategoricalCrossentropy(from_logits=True)
        losses = dict.fromkeys(("votes", "label", "looks"), cross_entropy)
        model.compile(optimizer, loss=losses, loss_weights={"votes": 1.0, "label": 0.4, "looks": 1.0}, jit_compile=False)
        return model

    return loop.train(
        run,
        settings.epochs,
        build,
        lambda epoch: Batches(faces, settings, epoch),
        lambda model: valid_figures(model, valid),
        mixed_precision=settings.mixed_precision,
        average_decay=settings.average_decay,
    )


def valid_figures(model: keras.Model, faces: fer2013.VotedFaces) -> dict[str, float]:
    """What to watch while training; plain figures, before calibration and thresholds."""
    outputs = model.predict(faces.images[..., None], batch_size=512, verbose=0)
    p = np.exp(outputs["looks"] - outputs["looks"].max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    shares = faces.look_shares()
    majority, label = shares.argmax(axis=1), faces.labels
    says_happy = p[:, 0] >= p[:, 2]
    voted, original = np.isin(majority, [0, 2]), np.isin(label, [1, 3])
    three = majority < 3
    return {
        "happy_sad_votes": float((says_happy == (majority == 0))[voted].mean()),
        "happy_sad_label": float((says_happy == (label == 1))[original].mean()),
        "three_way": float((p[:, :3].argmax(axis=1) == majority)[three].mean()),
        "eight_way": float((outputs["votes"].argmax(axis=1) == faces.votes.argmax(axis=1)).mean()),
        "mood_ccc": metrics.concordance(p[:, 0] - p[:, 2], shares[:, 0] - shares[:, 2]),
    }


@click.command(help=__doc__)
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--run", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--epochs", default=Settings.epochs, show_default=True)
@click.option("--seed", default=Settings.seed, show_default=True)
def main(data: Path, run: Path, epochs: int, seed: int) -> None:
    settings = Settings(epochs=epochs, seed=seed)
    run.mkdir(parents=True, exist_ok=True)
    (run / "settings.json").write_text(json.dumps(asdict(settings), indent=2) + "\n")
    faces, valid = fer2013.load(data, "train"), fer2013.load(data, "valid")
    train(faces, valid, run, settings).save_weights(run / "mood.weights.h5")


if __name__ == "__main__":
    main()
