"""Features of face crops that no network and no label had a part in: learnt patches (Coates, Lee and Ng 2011)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from happysad.parallel import map_in_order

SIDE, PATCH, FILTERS, GRID = 48, 7, 400, 6
SAMPLE, ROUNDS = 60_000, 12
QUIET = 30.0  # variance of a patch without content
THRESHOLD = 0.3
BATCH = 32
KEPT = 400  # principal components


def learn_and_describe(crops: np.ndarray, seed: int = 0) -> np.ndarray:
    """float32 (n, 400): how strongly each region of each crop answers to patches that are typical of the set.

    Args:
        crops: grey, (n, h, w), 48 × 48 or resized to it.
    """
    from sklearn.decomposition import PCA

    crops = _sized(crops)
    filters = _Filters(crops, np.random.default_rng(seed))
    batches = [crops[start : start + BATCH] for start in range(0, len(crops), BATCH)]
    answers = np.concatenate(list(map_in_order(filters.answers, batches, len(batches), "Describing faces")))
    answers = (answers - answers.mean(axis=0)) / (answers.std(axis=0) + 1e-3)
    main = PCA(min(KEPT, *answers.shape), svd_solver="randomized", random_state=seed).fit_transform(answers)
    return np.asarray(main / np.sqrt((main**2).sum(axis=1).mean()), np.float32)


def model() -> Any:
    """A classifier for these features: a support vector machine with a Gaussian kernel."""
    from sklearn.svm import SVC

    return SVC(C=3, gamma=1.0, cache_size=1000)


def _sized(crops: np.ndarray) -> np.ndarray:
    from PIL import Image

    if crops.shape[1:] == (SIDE, SIDE):
        return crops.astype(np.float32)
    return np.stack([np.asarray(Image.fromarray(crop.astype(np.uint8)).resize((SIDE, SIDE)), np.float32) for crop in crops])


class _Filters:
    """Whitened patches, clustered on the sphere; a patch and its negative are one."""

    def __init__(self, crops: np.ndarray, rng: np.random.Generator) -> None:
        places = (rng.integers(0, high, SAMPLE) for high in (len(crops), SIDE - PATCH + 1, SIDE - PATCH + 1))
        patches = _levelled(np.stack([crops[i, y : y + PATCH, x : x + PATCH].ravel() for i, y, x in zip(*places, strict=True)]))
        self._mean = patches.mean(axis=0)
        turn, spread, _ = np.linalg.svd(np.cov((patches - self._mean).T))
        self._whiten = ((turn / np.sqrt(spread + 0.1)) @ turn.T).astype(np.float32)
        self._centres = _centres(self._on_sphere(patches), rng)

    def _on_sphere(self, patches: np.ndarray) -> np.ndarray:
        white = (patches - self._mean) @ self._whiten
        return np.asarray(white / (np.linalg.norm(white, axis=1, keepdims=True) + 1e-6))

    def answers(self, crops: np.ndarray) -> np.ndarray:
        """float32 (n, GRID * GRID * FILTERS): mean answers in each cell of a grid, above a threshold, square root taken."""
        patches = sliding_window_view(crops, (PATCH, PATCH), (1, 2))
        n, side = patches.shape[:2]
        cosine = self._on_sphere(_levelled(patches.reshape(-1, PATCH**2))) @ self._centres.T
        strong = np.maximum(np.abs(cosine) - THRESHOLD, 0).reshape(n, side, side, FILTERS)
        cell = side // GRID
        cells = strong[:, : cell * GRID, : cell * GRID].reshape(n, GRID, cell, GRID, cell, FILTERS)
        return np.asarray(np.sqrt(cells.mean(axis=(2, 4))).reshape(n, -1), np.float32)


def _levelled(patches: np.ndarray) -> np.ndarray:
    """Each patch without its own brightness and contrast."""
    return np.asarray((patches - patches.mean(axis=1, keepdims=True)) / np.sqrt(patches.var(axis=1, keepdims=True) + QUIET))


def _centres(patches: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """float32 (FILTERS, PATCH²) of length 1: spherical k-means in which a patch may count with its sign turned."""
    centres = patches[rng.choice(len(patches), FILTERS, replace=False)]
    for _ in range(ROUNDS):
        cosine = patches @ centres.T
        nearest = np.abs(cosine).argmax(axis=1)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, patches * np.sign(np.take_along_axis(cosine, nearest[:, None], axis=1)))
        length = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(length > 1e-6, sums / np.maximum(length, 1e-6), patches[rng.integers(0, len(patches), FILTERS)])
    return np.asarray(centres, np.float32)
