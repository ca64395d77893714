"""An interferometer's observation: complex visibilities of pairs of stations, scan by scan, and the closures they form.

A station's errors in gain and phase cancel round a triangle (phase) and round a quadrangle (amplitude).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SHORT = ("ALMA", "APEX")


@dataclass(frozen=True)
class Observation:
    """M visibilities.

    u, v:     [M] baselines in wavelengths.   visibilities: [M] complex, Jy.   sigma: [M] thermal noise of each of their parts.
    stations: [M, 2] station numbers; V of (b, a) is the conjugate of V of (a, b).   scans: [M] 0, 1, ... in time.
    names:    of the stations, where they are known.

    Raises ValueError where these do not fit each other.
    """

    u: Floats
    v: Floats
    visibilities: NDArray[np.complex128]
    sigma: Floats
    stations: NDArray[np.int64]
    scans: NDArray[np.int64]
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.u)
        lengths = {len(self.v), len(self.visibilities), len(self.sigma), len(self.stations), len(self.scans)}
        if count == 0 or lengths != {count} or np.shape(self.stations) != (count, 2):
            raise ValueError(
                f"an observation needs u, v, visibilities, sigma, stations [M, 2] and scans of one length, got {lengths}"
            )
        numbers = np.concatenate([self.u, self.v, np.abs(self.visibilities), self.sigma])
        if not np.isfinite(numbers).all() or not (np.asarray(self.sigma) > 0).all():
            raise ValueError("an observation must hold finite numbers and sigma > 0: leave flagged visibilities out")

    def first(self, fraction: float) -> Observation:
        """Of its scans the first `fraction`, rounded down and at least one."""
        keep = np.isin(self.scans, np.unique(self.scans)[: max(int(fraction * len(np.unique(self.scans)) + 1e-9), 1)])
        arrays = {name: getattr(self, name)[keep] for name in ("u", "v", "visibilities", "sigma", "stations", "scans")}
        return replace(self, **arrays)

    def closures(self) -> tuple[Floats, Floats]:
        """E [n, M] and Q [m, M]: closure phases are E arg V, logarithms of closure amplitudes Q log|V|.

        A minimal set a scan: all triangles with the first station in it, and the quadrangles (1 2)(3 4) / (1 4)(2 3) of the
        first station with two others that make (N - 1)(N - 2)/2 and N (N - 3)/2 of N stations.
        """
        phases: list[Floats] = []
        amplitudes: list[Floats] = []
        for scan in np.unique(self.scans):
            here = np.flatnonzero(self.scans == scan)
            pairs = {tuple(self.stations[m]): m for m in here}
            present = sorted({int(s) for s in self.stations[here].ravel()})
            for corners in _triangles(present):
                sides = zip(corners, (*corners[1:], corners[0]), strict=True)
                phases += self._row(pairs, [(a, b, 1.0) for a, b in sides], oriented=True)
            for a, b, c, d in _quadrangles(present):
                sides4 = [(a, b, 1.0), (c, d, 1.0), (a, d, -1.0), (b, c, -1.0)]
                amplitudes += self._row(pairs, sides4, oriented=False)
        empty = np.zeros((0, len(self.u)))
        return np.stack(phases) if phases else empty, np.stack(amplitudes) if amplitudes else empty

    def flux(self) -> float:
        """Of the whole picture, Jy: the median amplitude between ALMA and APEX, without them on the shortest baseline."""
        if set(SHORT) <= set(self.names):
            wanted = {self.names.index(name) for name in SHORT}
            between = np.asarray([set(map(int, pair)) == wanted for pair in self.stations])
            if between.any():
                return float(np.median(np.abs(self.visibilities[between])))
        pair = self.stations[np.argmin(np.hypot(self.u, self.v))]
        return float(np.median(np.abs(self.visibilities[(np.sort(self.stations, 1) == np.sort(pair)).all(1)])))

    def _row(self, pairs: dict[Any, int], sides: Sequence[tuple[int, int, float]], *, oriented: bool) -> list[Floats]:
        """One closure as a row of signs, in a list; no row where one of its baselines was not observed."""
        row = np.zeros(len(self.u))
        for a, b, sign in sides:
            m = pairs.get((a, b), pairs.get((b, a)))
            if m is None:
                return []
            row[m] += sign * (-1.0 if oriented and (a, b) not in pairs else 1.0)
        return [row]


def _triangles(stations: Sequence[int]) -> list[tuple[int, int, int]]:
    return [(stations[0], a, b) for a, b in combinations(stations[1:], 2)]


def _quadrangles(stations: Sequence[int]) -> list[tuple[int, int, int, int]]:
    """With each station from the fourth on, every earlier one and the one after it (or round to the second)."""
    s = stations
    return [(s[0], s[i], s[j], s[j + 1 if j + 1 < i else 1]) for i in range(3, len(s)) for j in range(1, i)]


def read_uvfits(path: str | Path) -> Observation:
    """The total intensity of a .uvfits file: (RR + LL)/2 with weights 1/sigma^2. Needs the extra `blackhole` (astropy).

    Raises RuntimeError without astropy, ValueError for a file that is not such an observation.
    """
    try:
        from astropy.io import fits
    except ImportError:
        raise RuntimeError("reading .uvfits needs astropy: pip install 'lmaps-engine[blackhole]'") from None
    try:
        with fits.open(path) as file:
            groups, names = file[0].data, [str(name).strip() for name in file["AIPS AN"].data["ANNAME"]]
            frequency = _frequency(file[0].header)
            u, v = (np.asarray(groups.par(name), np.float64) * frequency for name in ("UU---SIN", "VV---SIN"))
            baseline = np.asarray(groups.par("BASELINE")).round().astype(np.int64)
            times = _times(groups)
            data = np.asarray(groups.data, np.float64)
    except (OSError, KeyError, AttributeError, IndexError, TypeError) as error:
        raise ValueError(f"{path} is not an observation in .uvfits format: {error}") from error
    parts = data.reshape(len(data), -1, data.shape[-2], 3).mean(1)[:, :2]
    good = (parts[..., 2] > 0).all(1)
    if not good.any():
        raise ValueError(f"{path} has no visibility of positive weight")
    scans = np.unique(times[good], return_inverse=True)[1]
    return Observation(
        u=u[good],
        v=v[good],
        visibilities=(parts[..., 0] + 1j * parts[..., 1])[good].mean(1),
        sigma=np.sqrt((1 / parts[good, :, 2]).sum(1)) / 2,
        stations=np.stack([baseline // 256, baseline % 256], 1)[good] - 1,
        scans=scans.reshape(-1).astype(np.int64),
        names=tuple(names),
    )


def _frequency(header: Any) -> float:
    for axis in range(2, 8):
        if str(header.get(f"CTYPE{axis}", "")).strip() == "FREQ":
            return float(header[f"CRVAL{axis}"])
    raise KeyError("it has no FREQ axis")


def _times(groups: Any) -> Floats:
    """Days: the file keeps them as a large and a small number under one name."""
    columns = [i for i, name in enumerate(groups.parnames) if name.strip() == "DATE"]
    return np.sum([np.asarray(groups.par(i), np.float64) for i in columns], axis=0)
