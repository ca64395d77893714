"""Methods on photographs: one record an image, made once and kept in the journal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .. import metrics, presets, tasks
from ..denoisers import BackendUnavailable
from ..operators import Operator
from ..plan import Restorer, compile
from ..priors import Prior
from ..solvers import Undefined, get
from . import budget as budgets
from . import grids
from .journal import Journal, Record, key
from .machine import code, machine
from .methods import START, Method
from .photos import Photo

# What a cell may end in beside "ok" and "diverged".
UNDEFINED, FAILED = "undefined", "failed"
# Goes up when records change what they hold, so that a journal's older ones are not taken for new.
RECORD = 3
# Of `compile`'s stats, what a table tells.
_TOLD = (
    *("backend", "precision", "strategy", "chain", "steps", "sigma_max", "sigma_min"),
    *("total_s", "denoise_s", "local_map_s", "gradient"),
)


@dataclass(frozen=True)
class Setting:
    """What all cells of a comparison share.

    source: what `load_prior` was given, so that another process can load it.   noise: sigma_y, or None for each task's own.
    steps: N of every method, or None for its own.   budget: most network calls an image, or None.
    perceptual: the metric beside PSNR and SSIM, or None.
    """

    prior: Prior
    source: str
    size: int
    seed: int = 0
    noise: float | None = None
    steps: int | None = None
    budget: int | None = None
    backend: str = "auto"
    precision: str = "auto"
    device: str = "auto"
    preset: str = "auto"
    threads: int | None = None
    perceptual: metrics.Perceptual | None = None


@dataclass(frozen=True)
class Cell:
    """One method on one task."""

    method: Method
    task: str


OnRecord = Callable[[Cell, Record, bool], None]


def run(
    cells: Sequence[Cell], photos: Sequence[Photo], setting: Setting, journal: Journal, on_record: OnRecord
) -> list[Record]:
    """Every cell on every photograph; records that the journal has are taken from it.

    `on_record(cell, record, fresh)` is called for each. A method that is not defined for a task gives records that say so, in
    its own words; one whose state stops being finite, or that fails, is recorded too, and the comparison goes on. An option
    that no task allows is a ValueError or TypeError (`checked.check` finds most before anything runs).
    """
    records = []
    for cell in cells:
        for record, fresh in _cell(cell, photos, setting, journal):
            on_record(cell, record, fresh)
            records.append(record)
    return records


def operator(task: str, size: int, seed: int) -> Operator:
    """H of a task; the missing box is half as wide as the picture, as in the paper at 256x256."""
    given: dict[str, Any] = {"seed": seed} if tasks.get(task).seeded else {}
    if task == "inpaint-box":
        given["hole"] = size // 2
    return tasks.build(task, **given)


def noise(task: str, setting: Setting) -> float:
    return tasks.get(task).default_noise if setting.noise is None else setting.noise


def _cell(cell: Cell, photos: Sequence[Photo], setting: Setting, journal: Journal) -> Iterator[tuple[Record, bool]]:
    compiling = arguments(cell, setting)
    keys = [_config(cell, photo, index, setting, compiling) for index, photo in enumerate(photos)]
    known = [journal.get(key(config)) for config in keys]
    restorer: Restorer | str | None = None
    h = operator(cell.task, setting.size, setting.seed)
    for index, (photo, config, record) in enumerate(zip(photos, keys, known, strict=True)):
        if record is not None:
            yield record, False
            continue
        if restorer is None and cell.method.solver != START:
            restorer = _compiled(h, cell, setting, compiling)
        measured = h.degrade(2 * photo.pixels[None] - 1, noise(cell.task, setting), setting.seed + index)
        outcome = _outcome(restorer, h, measured, photo, setting, index)
        named = {"method": cell.method.label, "task": cell.task, "image": photo.name}
        record = {"key": key(config), **named, "own_calls": own_calls(cell, setting), **outcome}
        journal.add({**record, "config": config})
        yield {**record, "config": config}, True


def arguments(cell: Cell, setting: Setting) -> dict[str, Any]:
    """Arguments of `compile`, after the budget."""
    method = cell.method
    shared = {"backend": setting.backend, "precision": setting.precision, "preset": setting.preset}
    chosen = {**shared, "steps": setting.steps, **method.compiling}
    options = method.options
    if method.solver != START:
        preset = preset_of(setting, chosen["preset"])
        ends, default = grids.ends(method, cell.task, preset), grids.row(cell.task, preset).steps
        asked = (chosen["steps"], default, method.options)
        if setting.budget is not None:
            chosen["steps"], options = budgets.within(method.solver, cell.task, setting.budget, *asked, ends)
        if ends is not None:
            count = budgets.count(method.solver, cell.task, chosen["steps"], default)
            chosen["schedule"] = grids.levels(method.solver, cell.task, count, ends)
    return {**chosen, **options, "threads": setting.threads, "device": setting.device}


def own_calls(cell: Cell, setting: Setting) -> int:
    """Network calls of the method as its label has it, without the setting's budget and steps."""
    method = cell.method
    if method.solver == START:
        return 0
    preset = preset_of(setting, method.given.get("preset", setting.preset))
    ends, default = grids.ends(method, cell.task, preset), grids.row(cell.task, preset).steps
    return budgets.own(method.solver, cell.task, method.given.get("steps"), default, method.options, ends)


def preset_of(setting: Setting, name: str) -> str:
    """The preset that `name` stands for with this setting's prior."""
    return presets.resolve(name, setting.prior.config.preset)


def _config(cell: Cell, photo: Photo, index: int, setting: Setting, compiling: dict[str, Any]) -> Record:
    """Everything that a record depends on."""
    return {
        "record": RECORD,
        "task": cell.task,
        "solver": cell.method.solver,
        "compiling": compiling,
        "image": photo.digest,
        "size": setting.size,
        "noise": noise(cell.task, setting),
        "seed": [setting.seed, setting.seed + index],
        "prior": setting.prior.digest,
        "perceptual": setting.perceptual.name if setting.perceptual else None,
        "threads": torch.get_num_threads(),
        "machine": machine(),
        "code": code(),
    }


def _compiled(h: Operator, cell: Cell, setting: Setting, compiling: dict[str, Any]) -> Restorer | str:
    """The restorer, or why there is none: in the words of the solver or the backend."""
    size = (setting.size, setting.size)
    try:
        return compile(
            h,
            setting.prior,
            size=size,
            task=cell.task,
            solver=cell.method.solver,
            noise=noise(cell.task, setting),
            **compiling,
        )
    except (Undefined, BackendUnavailable) as refusal:
        return str(refusal)


def _outcome(
    restorer: Restorer | str | None, h: Operator, y: Tensor, photo: Photo, setting: Setting, index: int
) -> Record:
    if isinstance(restorer, str):
        return {"status": UNDEFINED, "reason": restorer}
    try:
        if restorer is None:
            image = ((h.start(y) + 1) / 2).clamp(0, 1)
            return {"status": "ok", **_scores(image, photo, setting), "denoiser_calls": 0, "total_s": 0.0}
        result = restorer(y, seed=setting.seed + index)
    except (Undefined, NotImplementedError) as refusal:
        return {"status": UNDEFINED, "reason": str(refusal)}
    except (RuntimeError, ValueError, MemoryError, ArithmeticError) as problem:
        return {"status": FAILED, "reason": f"{type(problem).__name__}: {problem}"}
    told = {name: result.stats[name] for name in _TOLD if name in result.stats}
    calls = result.stats["denoiser_calls"]
    return {"status": result.status, **_scores(result.image.cpu(), photo, setting), "denoiser_calls": calls, **told}


def _scores(image: Tensor, photo: Photo, setting: Setting) -> Record:
    truth = photo.pixels[None]
    scores = {"psnr": float(metrics.psnr(image, truth)), "ssim": float(metrics.ssim(image, truth))}
    if setting.perceptual is not None:
        scores["perceptual"] = float(setting.perceptual(image, truth))
    return scores


def gradient(method: Method) -> bool:
    """A call of the network is followed by one backwards."""
    return method.solver != START and get(method.solver).needs_gradient
