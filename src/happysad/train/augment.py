"""Random changes to a batch of grey crops, so that the network sees what a detector and real photos give.

Everything is drawn from the generator passed in: the same generator state gives the same batch.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def augment(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """uint8 (n, s, s) in, uint8 (n, s, s) out: moved, mirrored, relit, blurred, noisy and partly covered."""
    changed = _warp(images.astype(np.float32), rng)
    changed = _soften(changed, rng)
    changed = _relight(changed, rng)
    changed = _cover(changed, rng)
    return np.asarray(np.clip(np.rint(changed), 0, 255), np.uint8)


def _warp(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mirror, turn (±25°), scale (0.82 to 1.22), stretch (±5 %) and shift (±8 %), in one bilinear look-up."""
    n, size, _ = images.shape
    angle = np.deg2rad(np.clip(rng.normal(0, 8, n), -25, 25))
    scale = np.exp(np.clip(rng.normal(0, 0.08, n), -0.2, 0.2))
    stretch = np.exp(rng.uniform(-0.05, 0.05, n))
    mirror = rng.choice([-1.0, 1.0], n)
    shift = np.clip(rng.normal(0, 0.03, (n, 2)), -0.08, 0.08) * size
    cos, sin = np.cos(angle), np.sin(angle)
    to_y = np.stack([cos * stretch, sin * stretch], axis=1) * scale[:, None]
    to_x = np.stack([-sin / stretch, cos / stretch], axis=1) * (scale * mirror)[:, None]
    axis = np.arange(size) - (size - 1) / 2
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"))
    centre = (size - 1) / 2
    ys = np.einsum("nk,kyx->nyx", to_y, grid) + (centre + shift[:, 0])[:, None, None]
    xs = np.einsum("nk,kyx->nyx", to_x, grid) + (centre + shift[:, 1])[:, None, None]
    index = np.broadcast_to(np.arange(n, dtype=np.float64)[:, None, None], ys.shape)
    return np.asarray(ndimage.map_coordinates(images, np.stack([index, ys, xs]), order=1, mode="nearest"))


def _soften(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A quarter of the crops lose detail, as faces of 16 to 40 pixels and shaky photos do."""
    for sigma in (0.7, 1.1):
        chosen = np.nonzero(rng.random(len(images)) < 0.12)[0]
        images[chosen] = ndimage.gaussian_filter(images[chosen], (0, sigma, sigma))
    return images


def _relight(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gamma, contrast, brightness, and sensor noise on one crop in seven."""
    n = len(images)
    gamma, contrast, brightness = np.exp(rng.normal(0, 0.15, n)), np.exp(rng.normal(0, 0.15, n)), rng.normal(0, 12, n)
    images = 255 * (np.clip(images, 0, 255) / 255) ** gamma[:, None, None]
    mean = images.mean(axis=(1, 2), keepdims=True)
    images = (images - mean) * contrast[:, None, None] + mean + brightness[:, None, None]
    noise = np.where(rng.random(n) < 0.15, rng.uniform(0, 10, n), 0)
    return np.asarray(images + rng.standard_normal(images.shape, np.float32) * noise[:, None, None])


def _cover(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random erasing (Zhong et al. 2017): on a quarter of the crops a rectangle of up to 16 % of the area turns flat."""
    size = images.shape[1]
    for i in np.nonzero(rng.random(len(images)) < 0.25)[0]:
        height, width = rng.integers(size // 8, size * 2 // 5, 2)
        top, left = rng.integers(0, size - height), rng.integers(0, size - width)
        images[i, top : top + height, left : left + width] = rng.uniform(0, 255)
    return images
