"""Residual k-means: a vector becomes a path of cluster numbers, each level clustering what the last left over.

Level 0 clusters the vectors, level 1 clusters their differences from the cluster centres, and so on; the centres
along the path add up to an approximation of the vector. Source: Chen, Guan, Wang 2010, "Approximate Nearest
Neighbor Search by Residual Vector Quantization"; for item codes, Rajput et al. 2023 (TIGER), whose RQ-VAE learns
the same structure.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lcrec.items import Int32

Float32 = NDArray[np.float32]

MINI_BATCH_FROM = 100_000
"""Items from which on the centres come from mini-batches: whole passes would take minutes."""

_ROWS = 65_536
"""Items whose distances to all centres are held at once."""


@dataclass(frozen=True)
class Quantization:
    """Paths of codes and the centres they stand for.

    Attributes:
        codes: int32 `[items, levels]`.
        centers: float32 `[clusters of the level, dimensions]`, one array a level.
        vectors: float32 `[items, dimensions]`, what was quantised.
    """

    codes: Int32
    centers: tuple[Float32, ...]
    vectors: Float32

    def residual(self, row: NDArray[np.integer] | int, prefix: NDArray[np.integer]) -> Float32:
        """Return what a path leaves of vectors, float32 `[…, dimensions]`.

        Args:
            row: item rows `[…]`.
            prefix: the codes of the first levels, `[…, depth]`.
        """
        left = self.vectors[row]
        for level in range(np.shape(prefix)[-1]):
            left = left - self.centers[level][prefix[..., level]]
        return left

    def error(self) -> list[float]:
        """Return, after each level, the share of the vectors' energy that the codes do not explain, 0 to 1."""
        energy = max(float((self.vectors.astype(np.float64) ** 2).sum()), 1e-300)
        everyone = np.arange(len(self.vectors))
        left = [self.residual(everyone, self.codes[:, : level + 1]) for level in range(len(self.centers))]
        return [float((one.astype(np.float64) ** 2).sum()) / energy for one in left]


def nearest_path(vectors: Float32, centers: Sequence[Float32]) -> Int32:
    """Return int32 `[items, levels]`: level by level the centre nearest to what the levels above left over."""
    codes = np.empty((len(vectors), len(centers)), dtype=np.int32)
    for start in range(0, len(vectors), _ROWS):
        left = vectors[start : start + _ROWS]
        for depth, level in enumerate(centers):
            squares = (level.astype(np.float64) ** 2).sum(axis=1)  # of the distance, the part that differs
            nearest = (squares - 2.0 * (left @ level.T)).argmin(axis=1)
            codes[start : start + _ROWS, depth] = nearest
            left = left - level[nearest]
    return codes


def quantize(vectors: Float32, levels: int, width: int, seed: int, on_level: Callable[[int], None]) -> Quantization:
    """Cluster the residuals level by level; on one thread the same input and seed give the same codes.

    Args:
        vectors: float32 `[items, dimensions]`.
        levels: codes an item.
        width: the most clusters a level may have; fewer where there are fewer different residuals.
        seed: of the k-means initialisation.
        on_level: called with the number of finished levels.
    """
    residuals = vectors.copy()
    codes, centers = [], []
    for level in range(levels):
        labels, level_centers = _cluster(residuals, width, seed + level)
        residuals = residuals - level_centers[labels]
        codes.append(labels)
        centers.append(level_centers)
        on_level(level + 1)
    return Quantization(np.stack(codes, axis=1).astype(np.int32), tuple(centers), vectors)


def _cluster(residuals: Float32, width: int, seed: int) -> tuple[Int32, Float32]:
    """Return int32 `[items]` labels without gaps and float32 `[clusters, dimensions]` centres."""
    # Rounded, so that the same title twice is one point and float noise is none.
    points, label = np.unique(np.round(residuals, 5), axis=0, return_inverse=True)
    if len(points) <= width:
        return label.reshape(-1).astype(np.int32), points
    labels, centers = _kmeans(residuals, width, seed)
    used, labels = np.unique(labels, return_inverse=True)
    return labels.reshape(-1).astype(np.int32), centers[used].astype(np.float32)


def _kmeans(residuals: Float32, clusters: int, seed: int) -> tuple[NDArray[np.integer], Float32]:
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning

    if len(residuals) >= MINI_BATCH_FROM:
        model = MiniBatchKMeans(clusters, random_state=seed, batch_size=8 * 1024, n_init=1)
    else:
        model = KMeans(clusters, random_state=seed, n_init=1, max_iter=100)
    with warnings.catch_warnings():
        # Fewer clusters than asked for, because many residuals are alike: the usage statistics show it.
        warnings.simplefilter("ignore", ConvergenceWarning)
        labels = model.fit_predict(residuals)
    return labels, model.cluster_centers_
