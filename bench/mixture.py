"""Figure 3 of the paper: LMAPS, DPS, DAPS and the global MAP on a 2-D Gaussian mixture.

    python -m bench.mixture [-o DIR] [--samples 2000] [--steps 20] [--seed 0]

The prior is a mixture of three Gaussians (Appendix A), the measurement y = x_1 + sigma_y n leaves two of them likely.
Everything is known in closed form: p(x0 | y) and p(x0 | x_t, y) are mixtures again. Two rows of pictures:

    exact estimates  the loop with the mean of p(x0 | x, y) (DPS, Eq. 29), its highest peak (LMAPS, Eq. 28 and 30) and a draw
                     of it (DAPS, Eq. 31), each with its own transition: ancestral for DPS, full re-noising for the others
    the solvers      dps, lmaps and daps of this package, which see only the denoiser, H and y

and a table of the shares of samples

    low density      below the level of p(x0 | y) that holds all but 1 % of the true posterior
    between modes    of low density, and beside the segment that joins two components

Prints the table; with -o writes it to DIR/mixture.md and the pictures to DIR/mixture.png.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from lmaps.engine import schedules, solvers
from lmaps.engine.loop import run
from lmaps.engine.operators import LinearOperator, Spectrum
from lmaps.engine.solvers import Solver, Step
from lmaps.engine.solvers.base import ddim_rho, step_to
from tests.engine.gaussians import Mixture

SIGMA_Y = 0.3
Y = 1.2
SIGMA_MAX, SIGMA_MIN = 10.0, 0.05
PRIOR = Mixture(
    torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64),
    torch.tensor([[-1.5, 0.0], [1.5, 1.0], [1.0, -1.5]], dtype=torch.float64),
    torch.tensor([[[0.06, 0.02], [0.02, 0.10]], [[0.10, 0.05], [0.05, 0.08]], [[0.04, 0.0], [0.0, 0.05]]]).double(),
)
OPTIONS: dict[str, dict[str, Any]] = {
    "dps": {"zeta": 0.3, "clip": False},
    "lmaps": {"k1": 0.3, "k2": 0.3**2 / SIGMA_Y**2, "eta": 0.5, "inner_steps": "exact"},
    "daps": {"tau": SIGMA_Y, "lr": 3e-3, "data_gradient": "half"},
}
# What the exact estimates are, for the table.
EXACT = {"dps": "E[x0 | x, y]", "lmaps": "argmax p(x0 | x, y)", "daps": "draw of p(x0 | x, y)"}
LABELS = {"dps": "DPS", "lmaps": "LMAPS", "daps": "DAPS"}
LOW = 0.01
BOX = ((-2.5, 2.6), (-2.6, 2.5))
PANEL = 260


class FirstCoordinate(LinearOperator):
    """H(x) = x_1 for pictures [B, 1, 1, 2]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :1]

    def adjoint(self, u: Tensor) -> Tensor:
        return torch.cat([u, torch.zeros_like(u)], 1).reshape(-1, 1, 1, 2)

    def picture_shape(self, y: Tensor) -> tuple[int, ...]:
        return (len(y), 1, 1, 2)

    def spectrum(self, shape: tuple[int, ...]) -> Spectrum:
        eigenvalues = torch.tensor([[[[1.0, 0.0]]]], dtype=torch.float64)
        return Spectrum(to_basis=lambda x: x, from_basis=lambda c: c, eigenvalues=eigenvalues)


def posterior(prior: Mixture, y: float, sigma_y: float) -> Mixture:
    """p(x0 | y = x_1 + sigma_y n): every component conditioned, and weighed by its evidence."""
    h = torch.tensor([1.0, 0.0], dtype=torch.float64)
    precision = torch.linalg.inv(prior.covariances)
    covariances = torch.linalg.inv(precision + torch.outer(h, h) / sigma_y**2)
    pulled = (precision @ prior.means[..., None])[..., 0] + h * y / sigma_y**2
    evidence = torch.distributions.Normal(prior.means[:, 0], (prior.covariances[:, 0, 0] + sigma_y**2).sqrt())
    log_weights = prior.weights.log() + evidence.log_prob(torch.tensor(y, dtype=torch.float64))
    return Mixture(log_weights.softmax(0), (covariances @ pulled[..., None])[..., 0], covariances)


class Exact(Solver):
    """Eq. 29, 30 or 31: the mean, the highest peak, or a draw of p(x0 | x, y), all known for a mixture."""

    def __init__(self, name: str, target: Mixture) -> None:
        self.name = name  # type: ignore[misc]
        self.target = target

    def estimate(self, xhat: Tensor, x: Tensor, at: Step) -> Tensor:
        if self.name == "dps":
            return self.target.denoise(x, at.levels(x))
        if self.name == "lmaps":
            return self.target.local_map(x, at.sigma)
        log_r, means, covariances = self.target.components(x.flatten(1).double(), at.sigma)
        uniform = torch.special.ndtr(at.normal(log_r.new_empty(log_r.shape), 0))
        chosen = (log_r - (-uniform.clamp(1e-12, 1 - 1e-12).log()).log()).argmax(1)
        root = torch.linalg.cholesky(covariances)[chosen]
        draw = means[torch.arange(len(x)), chosen] + (root @ at.normal(x, 1).flatten(1).double()[..., None])[..., 0]
        return draw.reshape(x.shape).to(x.dtype)

    def transition(self, x0: Tensor, x: Tensor, at: Step) -> Tensor:
        return step_to(x0, x, at, ddim_rho(1.0, at) if self.name == "dps" else 1.0)


def draw(target: Mixture, count: int, seed: int) -> Tensor:
    """[count, 2] true samples of a mixture."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.multinomial(target.weights, count, replacement=True, generator=generator)
    n = torch.randn((count, 2), generator=generator, dtype=torch.float64)
    return target.means[chosen] + (torch.linalg.cholesky(target.covariances)[chosen] @ n[..., None])[..., 0]


def global_map(target: Mixture) -> Tensor:
    """argmax p(x0 | y) [2], by gradient ascent from every component's mean."""
    x = target.means.clone().requires_grad_()
    optimiser = torch.optim.LBFGS([x], max_iter=200, line_search_fn="strong_wolfe")

    def descend() -> Tensor:
        optimiser.zero_grad()
        loss = -target.log_density(x).sum()
        loss.backward()
        return loss

    optimiser.step(descend)
    found = x.detach()
    return found[target.log_density(found).argmax()]


@dataclass(frozen=True, slots=True)
class Shares:
    """Fractions of a set of samples."""

    low_density: float
    between_modes: float


def shares(x: Tensor, target: Mixture, level: float) -> Shares:
    """level: the log density below which a sample counts as of low density. x [n, 2]."""
    low = target.log_density(x) < level
    beside = torch.zeros(len(x), dtype=torch.bool)
    heavy = [k for k, w in enumerate(target.weights.tolist()) if w > LOW]
    for j, k in combinations(heavy, 2):
        start, way = target.means[j], target.means[k] - target.means[j]
        along = ((x - start) @ way) / way.square().sum()
        away = (x - start - along[:, None] * way).norm(dim=1)
        width = 3 * max(float(torch.linalg.eigvalsh(target.covariances[c]).amax().sqrt()) for c in (j, k))
        beside |= (along > 0) & (along < 1) & (away < width)
    return Shares(float(low.double().mean()), float((low & beside).double().mean()))


def sample(name: str, exact: bool, target: Mixture, count: int, steps: int, seed: int) -> Tensor:
    """[count, 2]: the loop with the exact estimate of p(x0 | x, y), or with the package's solver."""
    sigmas = schedules.edm(steps, SIGMA_MAX, SIGMA_MIN).tolist()
    shape = (count, 1, 1, 2)
    method = Exact(name, target) if exact else solvers.build(name, FirstCoordinate(), sigmas, shape, **OPTIONS[name])
    y = torch.full((count, 1), Y)
    x, status, _ = run(PRIOR.denoise, method, y, sigmas, shape, range(seed, seed + count))
    if status != "ok":
        raise RuntimeError(f"{name} ended with status {status!r}")
    return x.flatten(1).double()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.mixture", description="Figure 3 of the LMAPS paper.")
    parser.add_argument("-o", "--output", type=Path, help="folder for mixture.md and mixture.png")
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    if given.samples < 1 or given.steps < 1:
        parser.error("--samples and --steps must be at least 1")
    target = posterior(PRIOR, Y, SIGMA_Y)
    true = draw(target, max(given.samples, 20_000), given.seed)
    level = float(target.log_density(true).quantile(LOW))
    panels: list[tuple[str, Tensor]] = [("p(x0 | y)", true[: given.samples])]
    settings = {"p(x0 | y)": "drawn in closed form", "global MAP": "argmax p(x0 | y)"}
    for exact in (True, False):
        if not exact:
            panels.append(("global MAP", global_map(target)[None]))
        for name, label in LABELS.items():
            kind = "exact estimate" if exact else "solver"
            settings[f"{label}, {kind}"] = EXACT[name] if exact else set_to(name)
            x = sample(name, exact, target, given.samples, given.steps, given.seed)
            panels.append((f"{label}, {kind}", x))
    text = _table(panels, settings, target, level, given)
    print(text)
    if given.output is not None:
        given.output.mkdir(parents=True, exist_ok=True)
        (given.output / "mixture.md").write_text(text + "\n", encoding="utf-8")
        _pictures(panels, target).save(given.output / "mixture.png")
    return 0


def set_to(name: str) -> str:
    """The settings that a solver runs with here, its defaults among them."""
    known = inspect.signature(solvers.get(name)).parameters
    fixed = ("operator", "sigmas", "shape", "noise", "largest", "strategy")
    values = {key: OPTIONS[name].get(key, p.default) for key, p in known.items() if key not in fixed}
    return ", ".join(
        f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}" for key, value in values.items()
    )


def _table(
    panels: Sequence[tuple[str, Tensor]],
    settings: dict[str, str],
    target: Mixture,
    level: float,
    given: argparse.Namespace,
) -> str:
    lines = [
        f"`python -m bench.mixture --samples {given.samples} --steps {given.steps} --seed {given.seed}`: "
        f"y = {Y}, sigma_y = {SIGMA_Y}, N = {given.steps} noise levels from {SIGMA_MAX:g} to {SIGMA_MIN:g}",
        "",
        "| samples of | settings | low density | between modes | mean log p(x0 \\| y) |",
        "|---|---|---|---|---|",
    ]
    for label, x in panels:
        part = shares(x, target, level)
        density = float(target.log_density(x).mean())
        name, settled = (text.replace("|", "\\|") for text in (label, settings[label]))
        lines.append(f"| {name} | {settled} | {part.low_density:.1%} | {part.between_modes:.1%} | {density:.2f} |")
    return "\n".join(lines)


def _pictures(panels: Sequence[tuple[str, Tensor]], target: Mixture) -> Image.Image:
    columns = 4
    rows = -(-len(panels) // columns)
    sheet = Image.new("RGB", (columns * PANEL, rows * (PANEL + 20)), "white")
    pen = ImageDraw.Draw(sheet)
    ground = _density(target)
    for index, (label, x) in enumerate(panels):
        left, top = index % columns * PANEL, index // columns * (PANEL + 20)
        pen.text((left + 6, top + 4), label, fill="black")
        sheet.paste(_scatter(ground, x, large=len(x) == 1), (left, top + 20))
    return sheet


def _density(target: Mixture) -> Image.Image:
    """p(x0 | y) in greys, its square root for the faint parts."""
    (left, right), (bottom, top) = BOX
    across = torch.linspace(left, right, PANEL - 4, dtype=torch.float64)
    up = torch.linspace(top, bottom, PANEL - 4, dtype=torch.float64)
    points = torch.stack(torch.meshgrid(across, up, indexing="xy"), dim=-1).reshape(-1, 2)
    height = target.log_density(points).exp().sqrt().reshape(PANEL - 4, PANEL - 4)
    grey = 255 - 140 * (height / height.amax())
    return Image.fromarray(grey.numpy().astype(np.uint8)).convert("RGB")


def _scatter(ground: Image.Image, x: Tensor, *, large: bool) -> Image.Image:
    (left, right), (bottom, top) = BOX
    picture = ground.copy()
    pen = ImageDraw.Draw(picture)
    radius = 5 if large else 1
    for a, b in x.tolist():
        across = (a - left) / (right - left) * picture.width
        down = (top - b) / (top - bottom) * picture.height
        pen.ellipse((across - radius, down - radius, across + radius, down + radius), fill=(200, 30, 30))
    return picture


if __name__ == "__main__":
    sys.exit(main())
