"""Tune the noise range, k1, k2 and the inner steps of every task for a prior, on training photographs only.

    python -m bench.tune --photos FOLDER --prior photo -o rows.toml

For each task a coordinate search over sigma_max, sigma_min, k1, k2 and K (the step eta follows from eta k2 L = 1, or from the
paper's eta k2 where H is not linear), scored by the mean PSNR over a few centre crops. Where the K steps are
real work (not `spectral`), K then falls as far as that costs no more than 0.01 dB, which makes a restoration faster. Prints one
TOML table a task, to go into `engine/presets.toml` under the prior's name.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from lmaps.engine import presets, schedules, settings, solvers, tasks
from lmaps.engine.denoisers import Denoiser, open_denoiser
from lmaps.engine.loop import run
from lmaps.engine.operators import LinearOperator, Operator
from lmaps.engine.presets import Preset
from lmaps.engine.priors import load_prior
from lmaps.engine.priors.training.data import photo_files, validation_crops
from lmaps.engine.solvers import Solver

SIZE = 256
NOISE = 0.05
STEPS = 20
UNSEEN = 0.01  # dB
LADDERS: dict[str, tuple[float, ...]] = {
    "sigma_max": (0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0),
    "sigma_min": (0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2),
    "k1": (0.03, 0.05, 0.08, 0.12, 0.18, 0.25, 0.35, 0.5, 0.7, 1.0, 2.0, 5.0, 10.0),
    "k2": (0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 6.0, 12.0, 25.0, 50.0, 100.0, 200.0, 400.0, 800.0),
    "inner_steps": (1, 2, 5, 10, 20, 50, 100),
}


@dataclass
class Bench:
    """One task on a few photographs: a preset in, the mean PSNR out."""

    operator: Operator
    denoiser: Denoiser
    truth: Tensor
    y: Tensor
    eta_k2: float
    seed: int = 0

    def with_step(self, row: Preset) -> Preset:
        """The row with the step that belongs to its k2: eta k2 is kept, as far as eta <= 1."""
        return replace(row, eta=min(self.eta_k2 / row.k2, 1.0))

    def score(self, row: Preset) -> float:
        sigmas = [float(s) for s in schedules.edm(row.steps, row.sigma_max, row.sigma_min)]
        seeds = tuple(range(self.seed, self.seed + len(self.truth)))
        solver = self._solver(row, sigmas)
        x, status, _ = run(self.denoiser, solver, self.y, sigmas, tuple(self.truth.shape), seeds)
        if status != "ok":
            return float("-inf")
        misfit = ((x.clamp(-1, 1) - self.truth) / 2).square().mean(dim=(1, 2, 3))
        return float((-10 * misfit.log10()).mean())

    def steps_are_work(self, row: Preset) -> bool:
        """Whether K costs time: in a basis where H is diagonal all K steps are one multiplication."""
        return self._solver(row, [row.sigma_max, row.sigma_min, 0.0]).describe()["strategy"] != "spectral"

    def _solver(self, row: Preset, sigmas: list[float]) -> Solver:
        return solvers.build("lmaps", self.operator, sigmas, tuple(self.truth.shape), **self.with_step(row).options())


def coordinate_search(start: Preset, score: Callable[[Preset], float], rounds: int) -> Iterator[tuple[Preset, float]]:
    """Improve one setting at a time by walking its ladder up and down; yields every improvement."""
    best, best_score = start, score(start)
    yield best, best_score
    tried: dict[Preset, float] = {best: best_score}
    for _ in range(rounds):
        before = best_score
        for name, ladder in LADDERS.items():
            for direction in (1, -1):
                while (candidate := _neighbour(best, name, ladder, direction)) is not None:
                    if candidate not in tried:
                        tried[candidate] = score(candidate)
                    if tried[candidate] <= best_score + 1e-3:
                        break
                    best, best_score = candidate, tried[candidate]
                    yield best, best_score
        if best_score - before < 0.02:
            return


def fewest_inner_steps(row: Preset, psnr: float, score: Callable[[Preset], float]) -> tuple[Preset, float]:
    """The row with the smallest K of the ladder below its own that is within 0.01 dB of `psnr`, and its PSNR."""
    best, best_score = row, psnr
    while (candidate := _neighbour(best, "inner_steps", LADDERS["inner_steps"], -1)) is not None:
        candidate_score = score(candidate)
        if candidate_score < psnr - UNSEEN:
            break
        best, best_score = candidate, candidate_score
    return best, best_score


def _neighbour(row: Preset, name: str, ladder: tuple[float, ...], direction: int) -> Preset | None:
    value = getattr(row, name)
    further = [v for v in ladder if (v > value * 1.01 if direction > 0 else v < value * 0.99)]
    if not further:
        return None
    values = {**asdict(row), name: further[0] if direction > 0 else further[-1]}
    return Preset(**values) if values["sigma_max"] > values["sigma_min"] else None


def starting_row(task: str, preset: str | None, steps: int | None) -> Preset:
    """Where the search begins: the row of the prior's own preset, else the paper's over the range a photograph prior knows.

    steps: N where the row's own number is not wanted.
    """
    if preset is not None and (row := presets.load(preset, task)) is not None:
        return replace(row, steps=steps or row.steps)
    row = presets.load("paper", task) or presets.load("paper", "deblur-gaussian")
    assert row is not None
    return replace(row, steps=steps or STEPS, sigma_max=1.0, sigma_min=0.05)


def stable_product(operator: Operator, row: Preset, shape: tuple[int, ...]) -> float:
    """eta k2: 1 / L for a linear operator, the row's own otherwise."""
    if isinstance(operator, LinearOperator):
        return 1 / settings.largest_eigenvalue(operator, shape)
    return row.eta * row.k2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder of training photographs")
    parser.add_argument("--exclude", default="gb82", help="held-out photographs begin so")
    parser.add_argument("--prior", default="photo")
    parser.add_argument("--steps", type=int, help="default: those of the prior's preset")
    parser.add_argument("--count", type=int, default=4, help="photographs to score on")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tasks", nargs="+", default=list(tasks.TASKS))
    parser.add_argument("-o", "--out", type=Path, help="write the rows here")
    arguments = parser.parse_args()
    files = photo_files(arguments.photos, exclude=[arguments.exclude])
    files = files[:: max(1, len(files) // arguments.count)][: arguments.count]
    truth = validation_crops(files, SIZE)
    prior = load_prior(arguments.prior)
    denoiser = open_denoiser(prior, size=(SIZE, SIZE), batch=len(truth))
    lines = []
    for task in arguments.tasks:
        operator = tasks.build(task)
        row = starting_row(task, prior.config.preset, arguments.steps)
        y = operator.degrade(truth, NOISE, seed=1)
        bench = Bench(operator, denoiser, truth, y, stable_product(operator, row, tuple(truth.shape)))
        for found, psnr in coordinate_search(row, bench.score, arguments.rounds):
            best, best_psnr = found, psnr
            print(f"{task}: {psnr:.2f} dB {asdict(best)}", file=sys.stderr, flush=True)
        if bench.steps_are_work(best):
            best, best_psnr = fewest_inner_steps(best, best_psnr, bench.score)
        best = bench.with_step(best)
        heading = (
            f"[{prior.config.preset or prior.name}.{task}]  # {best_psnr:.2f} dB on {len(truth)} training photographs"
        )
        lines.append(f"{heading}\n{_toml(best)}")
        if arguments.out:
            arguments.out.write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


def _toml(row: Preset) -> str:
    names = ("steps", "inner_steps", "eta", "k1", "k2", "sigma_max", "sigma_min")
    return "".join(f"{name} = {getattr(row, name):.6g}\n" for name in names)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
