"""A made-up interferometer: stations on a circle that turns, watching a picture."""

from __future__ import annotations

import numpy as np

from lmaps.engine.operators import Observation


def observation(stations: int = 5, scans: int = 4, *, noise: float = 1e-3, seed: int = 0) -> Observation:
    """Every pair of stations in every scan; the visibilities are those of a point beside the centre, with noise."""
    draw = np.random.RandomState(seed)
    angles = np.sort(draw.uniform(0, 2 * np.pi, stations))
    rows = []
    for scan in range(scans):
        there = 2e9 * np.stack([np.cos(angles + 0.2 * scan), 0.7 * np.sin(angles + 0.2 * scan)], 1)
        rows += [(a, b, scan, *(there[a] - there[b])) for a in range(stations) for b in range(a + 1, stations)]
    a, b, scan, u, v = (np.asarray(column) for column in zip(*rows, strict=True))
    # Some baselines are kept the other way round.
    turned = draw.rand(len(u)) < 0.5
    a, b, u, v = np.where(turned, b, a), np.where(turned, a, b), np.where(turned, -u, u), np.where(turned, -v, v)
    beside = 8e-11
    visibilities = 1.5 * (1 + 0.4 * np.exp(2j * np.pi * beside * (u + 0.5 * v)))
    visibilities = visibilities + noise * (draw.randn(len(u)) + 1j * draw.randn(len(u)))
    return Observation(u, v, visibilities, np.full(len(u), noise), np.stack([a, b], 1), scan.astype(np.int64))
