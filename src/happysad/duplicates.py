"""Find the same photo twice: byte by byte, and also re-encoded, resized, mirrored, cropped a little, or made brighter.

Three steps, each on what the one before it leaves:

1. *Describe*: each photo becomes the low frequencies of its grey picture (discrete cosine transform), 63 numbers.
2. *Index*: signs of the 24 widest principal axes of the set are a key; photos that share a key, also after flipping the signs
   that are nearly zero (multi-probe hashing, Lv et al. 2007), are candidates. Memory grows with n, not with n².
3. *Confirm*: the pixels of two candidates are laid over each other (Lucas and Kanade 1981) and compared. Aligned faces of
   different people, or of one person, have similar low frequencies, but do not pass this.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from happysad.errors import ImageError
from happysad.manifest import read_photo
from happysad.parallel import map_in_order

if TYPE_CHECKING:
    import pandas as pd

SIDE, FREQUENCIES = 32, 8
WINDOWS = (
    (0.0, 0.0, 1.0, 1.0),
    (0.0, 0.0, 0.95, 0.95), (0.05, 0.0, 1.0, 0.95), (0.0, 0.05, 0.95, 1.0), (0.05, 0.05, 1.0, 1.0),
    (0.05, 0.05, 0.95, 0.95),
)  # fmt: skip
KEY_BITS, FLIPS = 22, 4
MIN_COSINE = 0.88
MAX_BUCKET = 500
CHUNK = 4096
CONFIRM_SIDE = 64
MIN_SIMILARITY = 0.93


@dataclass(frozen=True)
class Pairs:
    """Rows that are the same photo.

    Attributes:
        rows: int64 (m, 2), first < second.
        exact: bool (m,): byte by byte.
        similarity: float32 (m,) in [0, 1]; 1 where exact.
        mirrored: bool (m,).
    """

    rows: np.ndarray
    exact: np.ndarray
    similarity: np.ndarray
    mirrored: np.ndarray


def find_pairs(frame: pd.DataFrame, base: Path, described: np.ndarray) -> Pairs:
    """All pairs of duplicates among a manifest's rows; of rows that are equal byte by byte, each is paired with the first.

    Args:
        base: the folder of the manifest.
        described: int8 (n, 6, 63), from `happysad.examine`.
    """
    sha = frame["sha256"].to_numpy(object)
    first: dict[str, int] = {}
    leader = np.array([first.setdefault(one, i) if one else i for i, one in enumerate(sha)], np.int64)
    again = np.flatnonzero(leader != np.arange(len(sha)))
    only = described.copy()
    only[again] = 0  # an exact copy is paired already, and its other pairs are those of its leader
    near = [part for part in candidates(only) if len(part)]
    found = np.unique(np.concatenate(near), axis=0) if near else np.empty((0, 3), np.int64)
    views = _Views(frame["path"].tolist(), base)
    alike = np.array(list(map_in_order(views.similarity, found, len(found), "Comparing photos")), np.float32)
    confirmed = alike >= MIN_SIMILARITY
    found, alike = found[confirmed], alike[confirmed]
    m = len(again)
    return Pairs(
        rows=np.concatenate([np.stack([leader[again], again], axis=1), found[:, :2]]),
        exact=np.arange(m + len(found)) < m,
        similarity=np.concatenate([np.ones(m, np.float32), alike]),
        mirrored=np.concatenate([np.zeros(m, bool), found[:, 2].astype(bool)]),
    )


class _Views:
    """Views of photos for `similarity`; the last few thousand are remembered."""

    def __init__(self, paths: Sequence[str], base: Path) -> None:
        self._view = lru_cache(maxsize=4096)(lambda i: confirm_view(read_photo(paths[i], base, CONFIRM_SIDE * 4).pixels))

    def similarity(self, pair: np.ndarray) -> float:
        """Of rows (first, second, mirrored); 0 where one has vanished meanwhile."""
        try:
            first, second = self._view(int(pair[0])), self._view(int(pair[1]))
        except ImageError:
            return 0.0
        return similarity(first, second[:, ::-1] if pair[2] else second)


def descriptors(image: np.ndarray) -> np.ndarray:
    """What the index knows of a uint8 RGB image (h, w, 3): int8 (6, 63), one row per window of `WINDOWS`.

    Each row holds the low frequencies of the grey picture in that window but for its mean, scaled to length 127; 0 where it is
    flat. The first row is the whole picture; the others are looked up as well, and so find what was cropped.
    """
    grey = Image.fromarray(image).convert("L")
    width, height = grey.size
    basis = _cosines()
    rows = np.zeros((len(WINDOWS), FREQUENCIES**2 - 1), np.int8)
    for row, (left, top, right, bottom) in zip(rows, WINDOWS, strict=True):
        window = (left * width, top * height, right * width, bottom * height)
        small = np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BOX, window), np.float32)
        low = (basis @ small @ basis.T).ravel()[1:]
        length = float(np.linalg.norm(low))
        if length > SIDE:  # a standard deviation of one grey level
            row[:] = np.rint(low * (127 / length))
    return rows


@lru_cache(maxsize=1)
def _cosines() -> np.ndarray:
    """float32 (FREQUENCIES, SIDE): the rows of the discrete cosine transform (type II, orthonormal)."""
    angle = np.pi / SIDE * (np.arange(SIDE) + 0.5) * np.arange(FREQUENCIES).reshape(-1, 1)
    scale = np.sqrt(np.where(np.arange(FREQUENCIES) == 0, 1, 2) / SIDE)
    return np.asarray(np.cos(angle) * scale.reshape(-1, 1), np.float32)


def mirrored(described: np.ndarray) -> np.ndarray:
    """Descriptors (n, 63) of the mirrored photos: odd frequencies across change their sign."""
    signs = np.tile(np.where(np.arange(FREQUENCIES) % 2, -1, 1), FREQUENCIES)[1:]
    return np.asarray(described * signs.astype(described.dtype))


def candidates(described: np.ndarray, seed: int = 0) -> Iterator[np.ndarray]:
    """Pairs of rows that may be duplicates: int64 (m, 3) with first < second, and whether one is mirrored. Pairs may repeat.

    Args:
        described: int8 (n, 6, 63), `descriptors` of n photos; flat photos have no partners.
    """
    whole = described[:, 0]
    rows = np.flatnonzero(np.any(whole, axis=1))
    if len(rows) < 2:
        return
    axes, centre = _axes(whole, rows, seed)
    keys = np.concatenate([_keys((_unit(whole[part]) - centre) @ axes > 0) for part in _chunks(rows)])
    order = np.argsort(keys, kind="stable")
    keys, members = keys[order], rows[order]
    for part in _chunks(rows):
        for window, is_mirrored in product(range(described.shape[1]), (False, True)):
            query = _unit(described[part, window])
            query = mirrored(query) if is_mirrored else query
            hits = _hits(_probes((query - centre) @ axes), keys)
            hits = np.unique(np.stack([hits[:, 0], members[hits[:, 1]]], axis=1), axis=0)
            hits = hits[part[hits[:, 0]] != hits[:, 1]]
            hits = hits[_cosines_of(query, whole, hits) >= MIN_COSINE]
            pairs = np.sort(np.stack([part[hits[:, 0]], hits[:, 1]], axis=1), axis=1)
            yield np.column_stack([pairs, np.full(len(pairs), is_mirrored)])


def _chunks(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]


def _unit(described: np.ndarray) -> np.ndarray:
    return np.asarray(described, np.float32) / 127


def _axes(whole: np.ndarray, rows: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The widest principal axes (63, KEY_BITS) of a sample and its mirror image, and its mean."""
    sample = np.random.default_rng(seed).choice(rows, min(len(rows), 20_000), replace=False)
    both = _unit(whole[np.sort(sample)])
    both = np.concatenate([both, mirrored(both)])
    centre = both.mean(axis=0)
    _, _, axes = np.linalg.svd((both - centre).T @ (both - centre))
    return np.ascontiguousarray(axes[:KEY_BITS].T, np.float32), centre


def _keys(signs: np.ndarray) -> np.ndarray:
    return np.asarray(signs @ (1 << np.arange(KEY_BITS)), np.int64)


@lru_cache(maxsize=1)
def _flips() -> np.ndarray:
    return np.array(list(product((0, 1), repeat=FLIPS)), np.int64)


def _probes(values: np.ndarray) -> np.ndarray:
    """Keys (n, 2 ** FLIPS): the own key, and those with the FLIPS least certain signs turned."""
    weakest = np.argpartition(np.abs(values), FLIPS, axis=1)[:, :FLIPS]
    return np.asarray(_keys(values > 0)[:, None] ^ ((1 << weakest) @ _flips().T))


def _hits(probes: np.ndarray, sorted_keys: np.ndarray) -> np.ndarray:
    """int64 (m, 2): row of the probe, position in the sorted keys. Of a crowded key only the first members are taken."""
    low = np.searchsorted(sorted_keys, probes.ravel())
    counts = np.minimum(np.searchsorted(sorted_keys, probes.ravel(), side="right") - low, MAX_BUCKET)
    row = np.repeat(np.arange(probes.size) // probes.shape[1], counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.stack([row, np.repeat(low, counts) + within], axis=1)


def _cosines_of(query: np.ndarray, whole: np.ndarray, hits: np.ndarray) -> np.ndarray:
    """How alike the pairs (row of the query, row of the whole) are, float32 (m,) in [−1, 1]; in parts, to keep memory flat."""
    starts = range(0, len(hits), CHUNK * 16)
    parts = (hits[start : start + CHUNK * 16] for start in starts)
    return np.concatenate(
        [np.empty(0, np.float32), *(np.einsum("ij,ij->i", query[part[:, 0]], _unit(whole[part[:, 1]])) for part in parts)]
    )


def confirm_view(image: np.ndarray) -> np.ndarray:
    """What `similarity` compares: the image in grey, float32 (64, 64)."""
    grey = Image.fromarray(image).convert("L").resize((CONFIRM_SIDE, CONFIRM_SIDE), Image.Resampling.BOX)
    return np.asarray(grey, np.float32)


def similarity(first: np.ndarray, second: np.ndarray, rounds: int = 12) -> float:
    """How well two views (64, 64) match after shifting and scaling one by at most 12 %: in [0, 1], 1 for the same photo.

    The mean over 16 parts of the picture of the correlation in that part, so that a different mouth is not outvoted by the
    same background.
    """
    return max(_aligned_similarity(first, second, rounds), _aligned_similarity(second, first, rounds))


def _aligned_similarity(still: np.ndarray, moving: np.ndarray, rounds: int) -> float:
    """Gauss-Newton on shift and scale of ``moving`` along both axes, with gain and offset of its brightness."""
    y, x = np.mgrid[-1 : 1 : CONFIRM_SIDE * 1j, -1 : 1 : CONFIRM_SIDE * 1j].astype(np.float32)
    move = np.zeros(4, np.float32)  # scale x − 1, scale y − 1, shift x, shift y
    half = (CONFIRM_SIDE - 1) / 2
    for _ in range(rounds):
        warped, inside = _sample(moving, x * (1 + move[0]) + move[2], y * (1 + move[1]) + move[3])
        down, across = np.gradient(warped)
        columns = np.stack([across * x, down * y, across, down], axis=-1)[inside] * half
        columns = np.column_stack([columns, warped[inside], np.ones(inside.sum(), np.float32)])
        solution, *_ = np.linalg.lstsq(columns, still[inside], rcond=None)
        gain = solution[4] if abs(solution[4]) > 0.1 else 1.0
        step = np.clip(solution[:4] / gain, -0.06, 0.06)
        move = np.clip(move + step, -0.12, 0.12)
        if np.abs(step).max() < 1e-3:
            break
    warped, inside = _sample(moving, x * (1 + move[0]) + move[2], y * (1 + move[1]) + move[3])
    return _blockwise_correlation(still, np.where(inside, warped, still), inside)


def _sample(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bilinear values at positions in [−1, 1], and which of the positions are inside."""
    half = (CONFIRM_SIDE - 1) / 2
    inside = (np.abs(x) <= 1) & (np.abs(y) <= 1)
    column, row = np.clip((x + 1) * half, 0, CONFIRM_SIDE - 1.001), np.clip((y + 1) * half, 0, CONFIRM_SIDE - 1.001)
    i, j = row.astype(int), column.astype(int)
    v, u = row - i, column - j
    top = image[i, j] * (1 - u) + image[i, j + 1] * u
    bottom = image[i + 1, j] * (1 - u) + image[i + 1, j + 1] * u
    return top * (1 - v) + bottom * v, inside


def _blockwise_correlation(first: np.ndarray, second: np.ndarray, inside: np.ndarray) -> float:
    """Correlation in each of 4 × 4 parts, weighted by how much there is to see in the part."""
    parts = 4
    split = [
        array.reshape(parts, -1, parts, CONFIRM_SIDE // parts).swapaxes(1, 2).reshape(parts**2, -1)
        for array in (first, second, inside)
    ]
    weight = split[2].astype(np.float32)
    count = np.maximum(weight.sum(axis=1, keepdims=True), 1)
    a, b = (part - (part * weight).sum(axis=1, keepdims=True) / count for part in split[:2])
    covariance = (a * b * weight).sum(axis=1)
    spread_a, spread_b = (a * a * weight).sum(axis=1), (b * b * weight).sum(axis=1)
    floor = 4.0 * count[:, 0]  # variance of 2 grey levels: below it, noise and JPEG decide
    correlation = (covariance + floor) / np.sqrt((spread_a + floor) * (spread_b + floor))
    importance = np.sqrt(np.maximum(spread_a, spread_b) + floor)
    return float(np.clip((correlation * importance).sum() / importance.sum(), 0, 1))


def groups(n: int, pairs: np.ndarray) -> np.ndarray:
    """The same number, int (n,), for rows that are connected through pairs (m, 2), numbered by first appearance."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    graph = coo_matrix((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1])
