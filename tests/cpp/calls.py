"""One good call of every function, for the tests that ask the same of all of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from .twins import random

SHAPE = (2, 3, 24, 40)


def all_calls() -> dict[str, dict[str, Any]]:
    """Function name -> keyword arguments, all arrays float32 [2, 3, 24, 40] unless the function wants others."""
    rng = np.random.default_rng(0)
    x, y = random(rng, *SHAPE), random(rng, *SHAPE)
    z = (random(rng, *SHAPE) + 1j * random(rng, *SHAPE)).astype(np.complex64)
    inner: dict[str, Any] = {"r": 0.4, "k2": 1.0, "eta": 0.5, "steps": 5}
    table, lam = np.full((8, 8), 20, np.float32), np.abs(random(rng, *SHAPE[-2:]))
    jpeg = {"luma_table": table, "chroma_table": table, "sampling": "4:2:0"}
    kernel = random(rng, 3, 5)
    return {
        "normal": {"count": 1001, "seed": 1, "step": 2, "stream": 3},
        "transition": {"x0": x, "x": y, "sigma": 2.0, "sigma_next": 1.0, "rho": 0.5, "seeds": [1, 2], "step": 3},
        "mask_steps": {"xhat": x, "y": y, "mask": lam, **inner},
        "hdr_steps": {"xhat": x, "y": y, "scale": 2.0, **inner},
        "quantize_steps": {"xhat": x, "y": y, "bits": 2, **inner},
        "jpeg_steps": {"xhat": x, "y": y, **jpeg, **inner},
        "jpeg_forward": {"x": x, **jpeg},
        "blur_forward": {"x": x, "kernel": kernel, "padding": "reflect"},
        "blur_adjoint": {"u": x, "kernel": kernel, "padding": "zero"},
        "blur_steps": {"xhat": x, "y": y, "kernel": kernel, "padding": "circular", **inner, "k2": 0.1},
        "spectral_gain": {"lam": lam, **inner},
        "spectral_apply": {"c": z, "b": z, "lam": lam, "w": lam},
        "spectral_filter": {"c": x, "b": y, "lam": lam, **inner},
    }
