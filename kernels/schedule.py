"""The constants of every diffusion step, in a table on the device, read by the kernels at an index that is also there.

One captured graph then serves every step: nothing of a step is baked into a launch. A row holds

    keep  = 1 - r                                   weight of the prior term,   r = sigma^2 / (sigma^2 + k1^2 + 1e-6)
    gain  = r * k2                                  weight of the data term
    eta                                             step length of the inner problem
    carry = sigma_next * sqrt(1 - rho^2) / sigma    Eq. 2 of the paper at alpha = 1: what is kept of the old noise,
    noise = sigma_next * rho                        and what is drawn anew
    scale = c_in(sigma_next)                        scaling of the denoiser's next input

worked out in float64 and rounded once: 1 - r taken from a float32 r would lose all its digits at large sigma.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ._triton import jit, tl

COLUMNS = ("keep", "gain", "eta", "carry", "noise", "scale")
Values = float | Sequence[float] | Tensor


def table(
    *,
    r: Values,
    k2: Values,
    eta: Values,
    sigma: Values = 1.0,
    sigma_next: Values = 0.0,
    rho: Values = 1.0,
    scale: Values = 1.0,
    device: torch.device | str = "cpu",
) -> Tensor:
    """The table [steps, 6] float32 of a schedule; numbers stand for a column of equal values.

    r in [0, 1]; k2, eta >= 0; sigma > 0, sigma_next >= 0 in units of the [-1, 1] range; rho in [0, 1].
    Raises ValueError for a value outside its range or for columns of different lengths.
    """
    named = {"r": r, "k2": k2, "eta": eta, "sigma": sigma, "sigma_next": sigma_next, "rho": rho, "scale": scale}
    columns = {name: torch.as_tensor(v, dtype=torch.float64).cpu().reshape(-1) for name, v in named.items()}
    lengths = {name: len(v) for name, v in columns.items() if len(v) != 1}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the columns of a schedule must have one length, got {lengths}")
    for name in columns:
        _check_range(name, columns[name])
    r_, k2_, eta_, sigma_, next_, rho_, scale_ = columns.values()
    carry = next_ * torch.sqrt(1 - rho_**2) / sigma_
    rows = [1 - r_, r_ * k2_, eta_, carry, next_ * rho_, scale_]
    length = max(len(column) for column in rows)
    return torch.stack([column.expand(length) for column in rows], dim=1).to(torch.float32).to(device)


def _check_range(name: str, values: Tensor) -> None:
    top = 1.0 if name in ("r", "rho") else float("inf")
    good = torch.isfinite(values) & (values >= 0) & (values <= top)
    if name == "sigma":
        good &= values > 0
    if not bool(good.all()):
        raise ValueError(f"{name} holds {values[~good][0].item()}, outside its range")


def index(step: int | Tensor, device: torch.device) -> Tensor:
    """A step as the kernels take it: int32 [1] on the device. A tensor is passed through, so that a graph can replay
    it.
    """
    if isinstance(step, int):
        return torch.full((1,), step, dtype=torch.int32, device=device)
    if step.numel() != 1 or step.dtype not in (torch.int32, torch.int64) or step.device != device:
        raise ValueError(
            f"step must be one int32 or int64 on {device}, got {step.dtype} {tuple(step.shape)} on {step.device}"
        )
    return step


def checked(rows: Tensor, step: int | Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """(table, step index) ready for a launch. A step that is an int is checked against the table's length."""
    if rows.ndim != 2 or rows.shape[1] != len(COLUMNS) or rows.dtype != torch.float32:
        raise ValueError(f"table must be float32 [steps, {len(COLUMNS)}], got {rows.dtype} {tuple(rows.shape)}")
    if not rows.is_contiguous() or rows.device != device:
        raise ValueError(f"table must be contiguous and on {device}, it is on {rows.device}")
    if isinstance(step, int) and not 0 <= step < len(rows):
        raise IndexError(f"step {step} is outside a table of {len(rows)} rows")
    return rows, index(step, device)


def row(rows: Tensor, step: int | Tensor, dtype: torch.dtype) -> list[Tensor]:
    """The constants of one step in the order of COLUMNS, for the twins."""
    return list(rows[int(step)].to(dtype))


def columns(rows: Tensor, step: int | Tensor) -> tuple[Tensor, ...]:
    """The constants of one step as scalars on the table's device, without reading the step on the host."""
    return rows.index_select(0, index(step, rows.device)).squeeze(0).unbind()


@jit
def inner_constants(table_ptr: tl.tensor, step_ptr: tl.tensor) -> tl.tensor:
    """(keep, gain, eta) of the step, float32."""
    row_ptr = table_ptr + tl.load(step_ptr).to(tl.int64) * 6
    return tl.load(row_ptr), tl.load(row_ptr + 1), tl.load(row_ptr + 2)


@jit
def transition_constants(table_ptr: tl.tensor, step_ptr: tl.tensor) -> tl.tensor:
    """(carry, noise, scale) of the step, float32."""
    row_ptr = table_ptr + tl.load(step_ptr).to(tl.int64) * 6
    return tl.load(row_ptr + 3), tl.load(row_ptr + 4), tl.load(row_ptr + 5)
