"""Train the face detector: a small single-shot network without anchors.

    python -m happysad.train.detector --data DATA --boxes BOXES --run runs/detector-1
    python -m happysad.train.detector --data DATA --boxes BOXES --run runs/detector --start runs/detector-1 \\
        --epochs 24 --peak-rate 1e-3 --wild-share 0.7

The second run sees more whole photos: it unlearns the clothes and hands that the first took for faces. DATA holds
``lfw_expressions.zip`` and ``web_happy_sad.zip``, BOXES the tables that `happysad.train.teacher` made of them. Each face is
learnt at the cell of its centre (focal loss, Zhou et al. 2019, arXiv:1904.07850), on the map whose stride suits its size; boxes
by generalised IoU (Rezatofighi et al. 2019). Other cells inside a face are background, or eyes and mouths would fire.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click
import keras
import numpy as np
from keras import layers, ops

from happysad.train import loop, scenes

STRIDES = (8, 16, 32)
SIDES = ((0.0, 52.0), (40.0, 128.0), (100.0, 1e9))  # face sides (square root of the area) that each stride learns
CHANNELS = 15  # score, left, top, right, bottom, then x and y of five landmarks
BOX_UNIT, POINT_UNIT = 2.0, 4.0  # times the stride: what an output of 1 (after exp for boxes) means in pixels
HELD_OUT = 0.03
WEIGHTS = "detector.weights.h5"


@dataclass(frozen=True)
class Settings:
    epochs: int = 40
    scenes_per_epoch: int = 3200
    batch: int = 16
    size: int = 320
    peak_rate: float = 2e-3
    weight_decay: float = 0.01
    average_decay: float = 0.998
    wild_share: float = 0.4
    mixed_precision: bool = True
    seed: int = 1


def network() -> keras.Model:
    """uint8 grey images (n, h, w, 1), sides multiples of 32, to maps ``stride8``, ``stride16``, ``stride32`` (n, h', w', 15).

    Channels: score (logit); left, top, right, bottom (logarithms, in units of 2 strides from the middle of the cell); x and y of
    the five landmarks (in units of 4 strides from the middle of the cell).
    """
    image = keras.Input((None, None, 1), dtype="uint8", name="image")
    x = layers.Rescaling(1 / 64, offset=-2.0)(image)
    x = _convolve(_convolve(x, 16, 2), 32, 2)
    x = _convolve(x, 32)
    level8 = _convolve(_convolve(x, 48, 2), 48)
    level16 = _convolve(_convolve(level8, 64, 2), 64)
    level32 = _convolve(_convolve(level16, 64, 2), 64)
    merged32 = layers.Conv2D(48, 1)(level32)
    merged16 = layers.Add()([layers.Conv2D(48, 1)(level16), layers.UpSampling2D(2)(merged32)])
    merged8 = layers.Add()([layers.Conv2D(48, 1)(level8), layers.UpSampling2D(2)(merged16)])
    shared = layers.Conv2D(48, 3, padding="same", activation="relu")
    # faces are rare: start by saying so, or the first steps are wasted on learning it
    score = layers.Conv2D(1, 1, dtype="float32", bias_initializer=keras.initializers.Constant(-5.0))
    geometry = layers.Conv2D(CHANNELS - 1, 1, dtype="float32")
    maps = {}
    for stride, merged in zip(STRIDES, (merged8, merged16, merged32), strict=True):
        seen = shared(merged)
        maps[f"stride{stride}"] = layers.Concatenate(dtype="float32", name=f"stride{stride}")([score(seen), geometry(seen)])
    return keras.Model(image, maps, name="detector")


def _convolve(x: keras.KerasTensor, filters: int, stride: int = 1) -> keras.KerasTensor:
    x = layers.Conv2D(filters, 3, strides=stride, padding="same", use_bias=False)(x)
    return layers.ReLU()(layers.BatchNormalization()(x))


def targets(scene: scenes.Scene, size: int) -> dict[str, np.ndarray]:
    """Per stride a map (h', w', 17): heat, weight of the cell as background, weight of its box, box (4), landmarks (10).

    Heat is 1 at the cell of a face's centre and falls off around it; box and landmarks are in strides from the cell's middle.
    """
    return {f"stride{s}": _target_map(scene, size // s, s, sides) for s, sides in zip(STRIDES, SIDES, strict=True)}


def _target_map(scene: scenes.Scene, cells: int, stride: int, sides: tuple[float, float]) -> np.ndarray:
    target = np.zeros((cells, cells, 17), np.float32)
    target[..., 1] = 1
    middle = (np.arange(cells) + 0.5) * stride
    for box in scene.ignored:
        rows, columns = (middle >= box[1]) & (middle <= box[3]), (middle >= box[0]) & (middle <= box[2])
        target[np.ix_(rows, columns, [1])] = 0
    side = np.sqrt(np.prod(scene.boxes[:, 2:] - scene.boxes[:, :2], axis=1))
    here = np.nonzero((side >= sides[0]) & (side < sides[1]))[0]
    for face in here[np.argsort(-side[here])]:  # small faces last: where two meet, the small one wins
        box, points = scene.boxes[face], scene.landmarks[face]
        centre = (box[:2] + box[2:]) / 2
        column, row = np.floor(centre / stride).astype(int)
        if not (0 <= row < cells and 0 <= column < cells):
            continue
        sigma = np.clip(0.1 * side[face] / stride, 0.35, 1.2)
        off_x, off_y = np.arange(cells) - column, np.arange(cells) - row
        heat = np.exp(-(off_x[None, :] ** 2 + off_y[:, None] ** 2) / (2 * sigma**2))
        near = heat > 0.4
        target[..., 0] = np.maximum(target[..., 0], np.where(heat > 0.05, heat, 0))
        grid = np.stack(np.meshgrid(middle, middle), axis=-1)[near]
        values = np.concatenate(
            [grid - box[:2], box[2:] - grid, (points.reshape(1, 5, 2) - grid[:, None]).reshape(-1, 10)], axis=1
        )
        target[near, 2], target[near, 3:] = heat[near], values / stride
        target[row, column, :3] = 1
    return target


def loss(target: keras.KerasTensor, output: keras.KerasTensor) -> keras.KerasTensor:
    """Sum of score, box and landmark losses of one map, per face in the batch."""
    heat, background, weight = target[..., 0], target[..., 1], target[..., 2]
    faces = ops.sum(ops.cast(heat >= 1, "float32")) + 4.0
    return (_score_loss(heat, background, output[..., 0]) + _geometry_loss(target[..., 3:], output[..., 1:], weight)) / faces


def _score_loss(heat: keras.KerasTensor, background: keras.KerasTensor, logit: keras.KerasTensor) -> keras.KerasTensor:
    """Penalty-reduced focal loss (Law and Deng 2018, Zhou et al. 2019)."""
    p = ops.sigmoid(logit)
    positive = ops.square(1 - p) * -ops.log_sigmoid(logit)
    negative = background * ops.power(1 - heat, 4) * ops.square(p) * -ops.log_sigmoid(-logit)
    return ops.sum(ops.where(heat >= 1, positive, negative))


def _geometry_loss(target: keras.KerasTensor, output: keras.KerasTensor, weight: keras.KerasTensor) -> keras.KerasTensor:
    """2 × (1 − generalised IoU) for boxes, absolute error in face sides for landmarks."""
    true = ops.maximum(target[..., :4], -1e3)
    guess = BOX_UNIT * ops.exp(ops.clip(output[..., :4], -5.0, 5.0))
    inner = ops.maximum(ops.minimum(true[..., :2], guess[..., :2]) + ops.minimum(true[..., 2:], guess[..., 2:]), 0.0)
    outer = ops.maximum(true[..., :2], guess[..., :2]) + ops.maximum(true[..., 2:], guess[..., 2:])
    overlap = inner[..., 0] * inner[..., 1]
    true_area = (true[..., 0] + true[..., 2]) * (true[..., 1] + true[..., 3])
    union = true_area + (guess[..., 0] + guess[..., 2]) * (guess[..., 1] + guess[..., 3]) - overlap
    hull = outer[..., 0] * outer[..., 1]
    giou = overlap / (union + 1e-6) - (hull - union) / (hull + 1e-6)
    side = ops.sqrt(ops.maximum(true_area, 1e-3))
    distance = ops.mean(ops.abs(target[..., 4:] - POINT_UNIT * output[..., 4:]), axis=-1) / side
    return ops.sum(weight * (2 * (1 - giou) + 5 * distance))


class SceneBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """Freshly composed scenes; batch ``i`` of epoch ``e`` depends on the seed, ``e`` and ``i`` only."""

    def __init__(self, portraits: list[scenes.Source], wild: list[scenes.Source], settings: Settings, epoch: int) -> None:
        super().__init__(workers=2, use_multiprocessing=False, max_queue_size=8)
        self._portraits, self._wild, self._settings, self._epoch = portraits, wild, settings, epoch

    def __len__(self) -> int:
        return self._settings.scenes_per_epoch // self._settings.batch

    def __getitem__(self, i: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        rng = np.random.default_rng([self._settings.seed, self._epoch, i])
        size = self._settings.size
        batch = [
            scenes.compose(self._portraits, self._wild, rng, size, self._settings.wild_share) for _ in range(self._settings.batch)
        ]
        maps = [targets(scene, size) for scene in batch]
        stacked = {name: np.stack([one[name] for one in maps]) for name in maps[0]}
        return np.stack([scene.image for scene in batch])[..., None], stacked


def train(
    portraits: list[scenes.Source], wild: list[scenes.Source], run: Path, settings: Settings, start: Path | None = None
) -> keras.Model:
    """Train to the end, or on from the last full epoch in ``run``; see `loop.train`. ``start`` gives the first weights."""
    (train_portraits, valid_portraits), (train_wild, valid_wild) = _hold_out(portraits), _hold_out(wild)
    steps = settings.scenes_per_epoch // settings.batch
    rng = np.random.default_rng(0)
    watched = [scenes.compose(valid_portraits, valid_wild, rng, settings.size) for _ in range(128)]

    def build() -> keras.Model:
        keras.utils.set_random_seed(settings.seed)
        model = network()
        if start is not None:
            model.load_weights(start)
        optimizer = keras.optimizers.AdamW(
            loop.learning_rate(settings.peak_rate, settings.epochs, steps),
            weight_decay=settings.weight_decay,
            global_clipnorm=5.0,
        )
        model.compile(optimizer, loss={f"stride{stride}": loss for stride in STRIDES}, jit_compile=False)
        return model

    return loop.train(
        run,
        settings.epochs,
        build,
        lambda epoch: SceneBatches(train_portraits, train_wild, settings, epoch),
        lambda model: _valid_figures(model, watched, settings.size),
        mixed_precision=settings.mixed_precision,
        average_decay=settings.average_decay,
    )


def _hold_out(sources: list[scenes.Source]) -> tuple[list[scenes.Source], list[scenes.Source]]:
    """The last rows by name are kept for watching: neighbours in the table, so one person is on one side."""
    cut = round(len(sources) * (1 - HELD_OUT))
    return sources[:cut], sources[cut:]


def _valid_figures(model: keras.Model, watched: list[scenes.Scene], size: int) -> dict[str, float]:
    """Loss on scenes of held-out photos, and how well the score separates centre cells from all others."""
    images = np.stack([scene.image for scene in watched])[..., None]
    maps = [targets(scene, size) for scene in watched]
    outputs = model.predict(images, batch_size=16, verbose=0)
    figures = {"valid_loss": 0.0}
    hits, centres, alarms = 0, 0, 0
    for name, output in outputs.items():
        target = np.stack([one[name] for one in maps])
        figures["valid_loss"] += float(loss(target, output))
        says_face, is_centre = output[..., 0] > 0, target[..., 0] >= 1
        near = target[..., 0] > 0
        hits, centres = hits + int((says_face & is_centre).sum()), centres + int(is_centre.sum())
        alarms += int((says_face & ~near & (target[..., 1] > 0)).sum())
    return {**figures, "centres_found": hits / centres, "false_cells_per_scene": alarms / len(watched)}


@click.command(help=__doc__)
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--boxes", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--run", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--epochs", default=Settings.epochs, show_default=True)
@click.option("--peak-rate", default=Settings.peak_rate, show_default=True, help="Highest learning rate.")
@click.option("--wild-share", default=Settings.wild_share, show_default=True, help="Share of whole photos in the scenes.")
@click.option("--start", type=click.Path(exists=True, file_okay=False, path_type=Path), help="A finished run to start from.")
@click.option("--seed", default=Settings.seed, show_default=True)
def main(
    data: Path, boxes: Path, run: Path, epochs: int, peak_rate: float, wild_share: float, start: Path | None, seed: int
) -> None:
    portraits = scenes.read_sources(data / "lfw_expressions.zip", boxes / "lfw_expressions.csv")
    wild = scenes.read_sources(data / "web_happy_sad.zip", boxes / "web_happy_sad.csv")
    settings = Settings(epochs=epochs, peak_rate=peak_rate, wild_share=wild_share, seed=seed)
    weights = None if start is None else start / WEIGHTS
    train(portraits, wild, run, settings, weights).save_weights(run / WEIGHTS)


if __name__ == "__main__":
    main()
