"""The methods of Figure 2, by name. A method's module is imported when it is first asked for.

    name       what it does with xhat = E[x0 | x]                                  H            network's gradient
    lmaps      local MAP of p(x0 | x, y)                                           any
    daps       Langevin sample of p(x0 | x, y), from an ODE's end                  any
    sitcom     optimises the network's input until its answer fits y               any          yes
    dps        pushes it down the gradient of ||y - H(xhat)||                      any          yes
    ddrm       mixes it with y, singular value by singular value                   basis
    ddnm       takes the range of H from y, the null space from the network        basis (linear if noise = 0)
    pigdm      moves it along the pseudo-inverse of its misfit                     with an H^+  yes
    diffpir    proximal step, part of the predicted noise kept                     any
    red-diff   one Adam step of a single picture towards xhat and y                any
    dcdp       fits y by momentum descent, purifies by noising and denoising       any
    pnp-dm     Gibbs: a draw of the likelihood, a draw of the prior                any
    tmpd       E[x0 | x, y] with the covariance of the network's Jacobian          linear       yes
    lgd        dps over several noisy copies                                       any          yes
    fps        particle filter on a noised sequence of measurements                basis
    mcg-diff   particle filter that ties measured coefficients to y                basis
    dmplug     optimises the seed of a three-step sampler                          any          yes
    resample   DDIM with full optimisations of xhat now and then                   any
    vml-map    moves the state until p(x0 | x) is near p(x0 | y)                   any          yes
    fast-dips  nearest point whose measurement lies in a ball around y, by ADMM    differentiable

"basis" asks for `LinearOperator.spectrum`: masks, separable and circular operators have one.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any

from ..operators.base import Operator
from .base import Denoise, Shape, Solver, Step, Undefined

# name: module and class.
_SOLVERS = {
    "lmaps": ("lmaps", "LMAPS"),
    "daps": ("daps", "DAPS"),
    "sitcom": ("sitcom", "SITCOM"),
    "dps": ("dps", "DPS"),
    "ddrm": ("ddrm", "DDRM"),
    "ddnm": ("ddnm", "DDNM"),
    "pigdm": ("pigdm", "PiGDM"),
    "diffpir": ("diffpir", "DiffPIR"),
    "red-diff": ("red_diff", "REDdiff"),
    "dcdp": ("dcdp", "DCDP"),
    "pnp-dm": ("pnp_dm", "PnPDM"),
    "tmpd": ("tmpd", "TMPD"),
    "lgd": ("lgd", "LGD"),
    "fps": ("fps", "FPS"),
    "mcg-diff": ("mcg_diff", "MCGdiff"),
    "dmplug": ("dmplug", "DMPlug"),
    "resample": ("resample", "ReSample"),
    "vml-map": ("vml_map", "VMLMAP"),
    "fast-dips": ("fast_dips", "FastDIPS"),
}

__all__ = ["Denoise", "Solver", "Step", "Undefined", "available", "build", "get"]


def available() -> list[str]:
    """Names that `solver=` takes."""
    return list(_SOLVERS)


@cache
def get(name: str) -> type[Solver]:
    """The class of solver `name`. Raises ValueError for an unknown name."""
    if name not in _SOLVERS:
        near = difflib.get_close_matches(name, _SOLVERS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"unknown solver {name!r}, available: {', '.join(_SOLVERS)}{hint}")
    module, kind = _SOLVERS[name]
    solver: type[Solver] = getattr(import_module(f".{module}", __package__), kind)
    return solver


def build(name: str, operator: Operator, sigmas: Sequence[float], shape: Shape, **options: Any) -> Solver:
    """The solver `name` for one operator, schedule and picture shape [B, C, H, W].

    Raises ValueError for an unknown name or an option out of range, its subclass `Undefined` for an operator the method is
    not defined for, TypeError for an option the solver does not have.
    """
    kind = get(name)
    try:
        return kind(operator, sigmas, shape, **options)  # type: ignore[call-arg]
    except TypeError as problem:
        raise TypeError(f"solver {name!r}: {str(problem).partition('__init__() ')[2] or problem}") from problem
