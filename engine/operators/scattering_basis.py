"""The singular vectors of inverse scattering: a matrix far too large to decompose as it stands.

A is real, 2 T R x n^2, and its complex rows are products conj(u_t) g_r. The receivers are far away, so that a few of their
combinations carry everything: g = P g' with P^H P = 1. A is then decomposed by the smaller of two symmetric matrices,

    A^T A = Re[(u^T conj(u)) o (g^H g)]     n^2 x n^2, o entry by entry
    A' A'^T                                 2 T rank(g) x 2 T rank(g), A' the rows conj(u_t) g'

Directions that H does not see are not stored: a picture is kept as its coefficients along the seen ones and what is left of it.
"""

from __future__ import annotations

import logging
import time
import warnings
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...export.cache import ArtefactCache, CacheUnusable
from .. import inference
from .base import Spectrum
from .separable import UNSEEN

# Receivers' combinations weaker than this (in power, against the strongest) are rounding errors.
FAINT = 1e-14
# Pictures from this side on are worth a file in the cache, and hold their vectors in float32: 400 MB for 128x128.
LARGE = 72
ROWS_AT_ONCE = 2048
_log = logging.getLogger("lmaps.scattering")


class Basis:
    """A = conj(u_t(p)) g_r(p) for u [T, n^2] and g [R, n^2], complex128.

    name: what they follow from beside n, for the cache.
    """

    def __init__(self, incident: Tensor, green: Tensor, side: int, name: str) -> None:
        self.incident, self.green, self.side, self.name = incident, green, side, name
        self._cast: dict[tuple[torch.dtype, torch.device], Tensor] = {}

    def spectrum(self, device: torch.device) -> Spectrum:
        """Coefficients [B, C, 1, k] of what is seen, then, in the full basis, the picture without it, [B, C, 1, k + n^2].

        The eigenvalue of everything in the second part is 0, so that any function of A^T A scales it as a whole.
        """
        lam = self._decomposed[0].to(device)
        dark = lam.new_zeros(self.side**2)
        return Spectrum(
            to_basis=self._split,
            from_basis=self._joined,
            eigenvalues=torch.cat([lam, dark])[None, None, None],
            seen=Spectrum(to_basis=self._seen, from_basis=self._from_seen, eigenvalues=lam[None, None, None]),
        )

    def _seen(self, x: Tensor) -> Tensor:
        return x.flatten(-2)[..., None, :] @ self._vectors(x).mT

    def _from_seen(self, c: Tensor) -> Tensor:
        return (c @ self._vectors(c)).squeeze(-2).unflatten(-1, (self.side, self.side))

    def _split(self, x: Tensor) -> Tensor:
        c = self._seen(x)
        rest = x - self._from_seen(c)
        return torch.cat([c, rest.flatten(-2)[..., None, :]], dim=-1)

    def _joined(self, c: Tensor) -> Tensor:
        count = c.shape[-1] - self.side**2
        return self._from_seen(c[..., :count]) + c[..., count:].squeeze(-2).unflatten(-1, (self.side, self.side))

    def _vectors(self, like: Tensor) -> Tensor:
        """[k, n^2], orthonormal rows."""
        key = (like.dtype, like.device)
        if key not in self._cast:
            with inference.left():
                self._cast[key] = self._decomposed[1].to(like.device, like.dtype)
        return self._cast[key]

    @cached_property
    @inference.left()
    def _decomposed(self) -> tuple[Tensor, Tensor]:
        """Eigenvalues [k] and vectors [k, n^2] of A^T A, largest first."""
        if self.side < LARGE:
            return self._decompose()
        facts = {"kind": "scattering-basis", "side": self.side, "rings": self.name, "unseen": UNSEEN}
        try:
            views = ArtefactCache().get_or_build(facts, self._write).views
        except CacheUnusable as reason:
            warnings.warn(f"the basis of inverse scattering is not kept: {reason}", RuntimeWarning, stacklevel=2)
            return self._decompose()
        lam = torch.from_numpy(np.frombuffer(views["eigenvalues.f64"], np.float64).copy())
        vectors = torch.from_numpy(np.frombuffer(views["vectors.f32"], np.float32).copy())
        return lam, vectors.reshape(len(lam), -1)

    def _write(self, folder: Path) -> None:
        lam, vectors = self._decompose()
        (folder / "eigenvalues.f64").write_bytes(lam.numpy().tobytes())
        (folder / "vectors.f32").write_bytes(vectors.numpy().tobytes())

    def _decompose(self) -> tuple[Tensor, Tensor]:
        started = time.perf_counter()
        green = _without_repetition(self.green)
        measured = 2 * len(self.incident) * len(green)
        _log.info("decomposing inverse scattering: %d measurements, %d pixels", measured, self.side**2)
        lam, vectors = _by_pixels(self.incident, green) if self.side**2 <= measured else _by_rows(self.incident, green)
        _log.info("done in %.0f s: %d directions are seen", time.perf_counter() - started, len(lam))
        return lam, vectors if self.side < LARGE else vectors.float()


def _without_repetition(green: Tensor) -> Tensor:
    """P^H g: as many combinations of receivers as are linearly independent."""
    power, p = torch.linalg.eigh(green @ green.mH)
    return p[:, power > FAINT * power[-1]].mH @ green


def _by_pixels(incident: Tensor, green: Tensor) -> tuple[Tensor, Tensor]:
    """From A^T A."""
    gram = ((incident.mT @ incident.conj()) * (green.mH @ green)).real
    lam, v = torch.linalg.eigh(gram)
    seen = lam > UNSEEN * lam[-1]
    return lam[seen].flip(0), v[:, seen].mT.flip(0).contiguous()


def _by_rows(incident: Tensor, green: Tensor) -> tuple[Tensor, Tensor]:
    """From A' A'^T = W S^2 W^T: the vectors are A'^T W / S."""
    rows = (incident.conj()[:, None] * green).flatten(0, 1)
    a = torch.cat([rows.real, rows.imag])
    lam, w = torch.linalg.eigh(a @ a.mT)
    seen = lam > UNSEEN * lam[-1]
    lam, w = lam[seen].flip(0), w[:, seen].flip(1) / lam[seen].flip(0).sqrt()
    parts = [w[:, i : i + ROWS_AT_ONCE].mT @ a for i in range(0, w.shape[1], ROWS_AT_ONCE)]
    return lam, torch.cat(parts)
