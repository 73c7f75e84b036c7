"""The training loop that all networks share: epochs that can be interrupted, averaged weights, a log.

A run folder holds ``log.jsonl`` (one line per epoch), ``state/`` (the last full epoch, to go on from) and, at the end,
the averaged model. Killed at any time, the same call goes on and ends with the same weights.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import click
import keras
import numpy as np

SCHEDULE_END = 0.005


class WeightAverage(keras.callbacks.Callback):  # type: ignore[misc]
    """Exponential average of all weights, taken every few batches; usually better than the last weights."""

    EVERY = 8

    def __init__(self, decay: float) -> None:
        super().__init__()
        self._keep = decay**self.EVERY
        self.weights: list[np.ndarray] = []

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if batch % self.EVERY:
            return
        current = self.model.get_weights()
        if not self.weights:
            self.weights = current
        for i, weight in enumerate(current):
            self.weights[i] += (1 - self._keep) * (weight - self.weights[i])


def learning_rate(peak: float, epochs: int, steps_per_epoch: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """One epoch of warm-up, then a cosine to almost zero."""
    return keras.optimizers.schedules.CosineDecay(
        0.0, (epochs - 1) * steps_per_epoch, alpha=SCHEDULE_END, warmup_target=peak, warmup_steps=steps_per_epoch
    )


def train(
    run: Path,
    epochs: int,
    build: Callable[[], keras.Model],
    batches: Callable[[int], keras.utils.PyDataset],
    figures: Callable[[keras.Model], dict[str, float]],
    *,
    mixed_precision: bool,
    average_decay: float,
) -> keras.Model:
    """Train the compiled model of ``build`` on ``batches(epoch)``; returns it with averaged weights, in float32.

    Args:
        run: folder of this training; made if it is not there, gone on from if it is.
        figures: called with the averaged model after each epoch; what it returns is logged.

    Raises:
        FloatingPointError: the loss stopped being a finite number.
    """
    run.mkdir(parents=True, exist_ok=True)
    average = WeightAverage(average_decay)
    keras.config.set_dtype_policy("mixed_bfloat16" if mixed_precision else "float32")
    model, first = _start_or_resume(run, build, average)
    keras.config.set_dtype_policy("float32")
    averaged = build()
    for epoch in range(first, epochs):
        started = time.monotonic()
        history = model.fit(batches(epoch), callbacks=[average], verbose=0, shuffle=False)
        loss = float(history.history["loss"][-1])
        if not math.isfinite(loss):
            raise FloatingPointError(f"the loss became {loss} in epoch {epoch + 1}; try a lower peak learning rate")
        _save(run, model, average, epoch + 1)
        averaged.set_weights(average.weights)
        _log(run, epoch + 1, epochs, {"loss": loss, **figures(averaged), "seconds": time.monotonic() - started})
    averaged.set_weights(average.weights)
    return averaged


def _start_or_resume(run: Path, build: Callable[[], keras.Model], average: WeightAverage) -> tuple[keras.Model, int]:
    model = build()
    state = _whole_state(run)
    if state is None:
        return model, 0
    model.optimizer.build(model.trainable_variables)
    for variable, value in zip(_everything(model), _load_arrays(state / "training.npz"), strict=True):
        variable.assign(value)
    average.weights = _load_arrays(state / "average.npz")
    return model, int((state / "epoch.txt").read_text())


def _whole_state(run: Path) -> Path | None:
    """The last state that was written in full; between two renames it is the old one."""
    return next((path for path in (run / "state", run / "state.old") if path.exists()), None)


def _everything(model: keras.Model) -> list[keras.Variable]:
    """All that training changes: weights, the states of random layers, and what the optimizer remembers."""
    return [*model.variables, *model.optimizer.variables]


def _load_arrays(path: Path) -> list[np.ndarray]:
    with np.load(path, allow_pickle=False) as saved:
        return [saved[f"arr_{i}"] for i in range(len(saved.files))]


def _save(run: Path, model: keras.Model, average: WeightAverage, epoch: int) -> None:
    """Write the state aside, then swap, so that a kill at any moment leaves one whole state."""
    fresh, state, old = run / "state.new", run / "state", run / "state.old"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    np.savez(fresh / "training.npz", *(np.asarray(variable) for variable in _everything(model)))
    np.savez(fresh / "average.npz", *average.weights)
    (fresh / "epoch.txt").write_text(str(epoch))
    if state.exists():
        shutil.rmtree(old, ignore_errors=True)
        state.rename(old)
    fresh.rename(state)
    shutil.rmtree(old, ignore_errors=True)


def _log(run: Path, epoch: int, epochs: int, figures: dict[str, float]) -> None:
    with (run / "log.jsonl").open("a") as log:
        log.write(json.dumps({"epoch": epoch, **{name: round(value, 5) for name, value in figures.items()}}) + "\n")
    minutes_left = (epochs - epoch) * figures["seconds"] / 60
    shown = "  ".join(f"{name} {value:.3f}" for name, value in figures.items() if name != "seconds")
    click.echo(f"epoch {epoch}/{epochs}  {shown}  {minutes_left:.0f} min left", err=True)
