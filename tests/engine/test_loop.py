"""The loop: against analytic posteriors, and its promises about seeds, batches, callbacks and bad input."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import lmaps
from lmaps.engine.loop import Diverged, Progress, run
from lmaps.engine.operators.base import LinearOperator
from lmaps.engine.solvers.base import Solver, Step

from .gaussians import GaussianPrior, Mixture
from .local_map.dense import wide

SHAPE = (1, 3, 4)
SIGMA_Y = 0.2


def gaussian_problem() -> tuple[GaussianPrior, LinearOperator, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(7)
    root = torch.randn(12, 12, generator=generator, dtype=torch.float64) * 0.3
    mean = torch.rand(12, generator=generator, dtype=torch.float64) - 0.5
    prior = GaussianPrior(mean, root @ root.T + 0.02 * torch.eye(12, dtype=torch.float64), SHAPE)
    operator = wide(7, SHAPE, diagonal=True)
    truth = (mean + root @ torch.randn(12, generator=generator, dtype=torch.float64)).reshape(1, *SHAPE)
    y = operator(truth) + SIGMA_Y * torch.randn(1, 7, generator=generator, dtype=torch.float64)
    return prior, operator, y.float(), prior.posterior_mean(operator.matrix, y, SIGMA_Y)


def test_lmaps_reaches_the_posterior_mean_of_a_gaussian_prior() -> None:
    """With k2 / k1^2 = 1 / sigma_y^2 the loop's fixed point is the mode, hence the mean, of the Gaussian posterior.

    Re-noising leaves a spread, so the mean over many seeds is compared.
    """
    prior, operator, y, expected = gaussian_problem()
    k1 = 0.1
    options = {"k1": k1, "k2": (k1**2 + 1e-6) / SIGMA_Y**2, "eta": 0.1, "inner_steps": "exact"}
    runs = lmaps.sample(
        prior.denoise,
        operator,
        y.expand(2000, -1),
        schedule=lmaps.schedules.edm(1000, sigma_max=3.0, sigma_min=0.01),
        **options,
    )
    mean, error = runs.mean(0, keepdim=True).double(), runs.std(0) / 2000**0.5
    assert torch.linalg.vector_norm(mean - expected) < 0.03 * torch.linalg.vector_norm(expected)
    assert error.max() < 0.02
    # The prior alone, without the measurement, ends somewhere else: the test can fail.
    assert torch.linalg.vector_norm(prior.mean.reshape(expected.shape) - expected) > 0.3 * torch.linalg.vector_norm(
        expected
    )


MIXTURE = Mixture(
    torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64),
    torch.tensor([[-1.5, 0.0], [1.5, 1.0], [1.0, -1.5]], dtype=torch.float64),
    torch.stack([torch.eye(2, dtype=torch.float64) * v for v in (0.02, 0.03, 0.01)]),
)


class ModeSeeking(Solver):
    """Eq. 30: the unconditional loop with Eq. 28's local MAP as its estimate."""

    name = "eq28"

    def estimate(self, xhat: Tensor, x: Tensor, at: Step) -> Tensor:
        return MIXTURE.local_map(x, at.sigma)


def test_local_map_of_the_mixture_ends_on_modes() -> None:
    """Appendix A: with Eq. 28 as estimate every sample ends inside a component (within four deviations), none between."""
    sigmas = lmaps.schedules.edm(60, sigma_max=10.0, sigma_min=0.02).tolist()
    y = torch.zeros(200, 1, 1, 2)
    x, status, steps = run(MIXTURE.denoise, ModeSeeking(), y, sigmas, (200, 1, 1, 2), tuple(range(200)))
    distance = torch.cdist(x.flatten(1).double(), MIXTURE.means) / MIXTURE.covariances[:, 0, 0].sqrt()
    assert status == "ok"
    assert steps == 60
    assert distance.amin(1).max() < 4
    assert set(distance.argmin(1).tolist()) == {0, 1, 2}


def test_closed_form_denoiser_is_the_mean_of_the_posterior() -> None:
    """Eq. 27 against numerical integration on a grid."""
    grid = torch.linspace(-3, 3, 301, dtype=torch.float64)
    points = torch.cartesian_prod(grid, grid)
    x = torch.tensor([[0.2, -0.3]], dtype=torch.float64)
    log_w = MIXTURE.log_density(points) - (points - x).square().sum(1) / (2 * 0.8**2)
    w = (log_w - log_w.max()).exp()
    expected = (w[:, None] * points).sum(0) / w.sum()
    got = MIXTURE.denoise(x.reshape(1, 1, 1, 2), torch.tensor([0.8], dtype=torch.float64)).flatten()
    assert torch.allclose(got, expected, atol=1e-4)


def blur_run(batch: int = 3, seed: int = 5, **changes: object) -> Tensor:
    prior, operator, y, _ = gaussian_problem()
    y = torch.cat([y, y * 0.5, -y])[:batch]
    options: dict[str, object] = {"k1": 0.2, "k2": 4.0, "eta": 0.2, "inner_steps": 20, **changes}
    schedule = options.pop("schedule", lmaps.schedules.edm(12, sigma_max=3.0))
    return lmaps.sample(prior.denoise, operator, y, schedule=schedule, seed=seed, **options)  # type: ignore[arg-type]


def test_same_seed_same_image_and_another_seed_another() -> None:
    assert torch.equal(blur_run(), blur_run())
    assert not torch.allclose(blur_run(), blur_run(seed=6))


def test_a_batch_equals_its_images_alone() -> None:
    prior, operator, y, _ = gaussian_problem()
    together = blur_run()
    for index, measured in enumerate((y, y * 0.5, -y)):
        alone = lmaps.sample(
            prior.denoise,
            operator,
            measured,
            schedule=lmaps.schedules.edm(12, sigma_max=3.0),
            seed=5 + index,
            k1=0.2,
            k2=4.0,
            eta=0.2,
            inner_steps=20,
        )
        assert torch.allclose(together[index], alone[0], atol=1e-5)


def test_rho_zero_is_deterministic_but_for_the_start() -> None:
    prior, operator, y, _ = gaussian_problem()
    states: list[Tensor] = []

    def spy(x: Tensor, sigma: Tensor) -> Tensor:
        states.append(x.clone())
        return prior.denoise(x, sigma)

    estimates: list[Tensor] = []
    sigmas = lmaps.schedules.edm(5, sigma_max=3.0)
    lmaps.sample(
        spy, operator, y, schedule=sigmas, k1=0.2, k2=4.0, eta=0.2, rho=0.0, callback=lambda p: estimates.append(p.x0)
    )
    for i in range(4):
        expected = estimates[i] + sigmas[i + 1] / sigmas[i] * (states[i] - estimates[i])
        assert torch.allclose(states[i + 1].double(), expected.double(), atol=1e-6)


def test_ddim_grid_works_too() -> None:
    assert torch.isfinite(blur_run(schedule=lmaps.schedules.ddim(10))).all()


def test_callback_sees_every_step_and_can_cancel() -> None:
    seen: list[Progress] = []
    blur_run(callback=lambda p: seen.append(p))
    assert [p.step for p in seen] == list(range(1, 13))
    assert seen[0].sigma == pytest.approx(3.0)
    stopped: list[Progress] = []
    blur_run(callback=lambda p: stopped.append(p) or p.step < 4)
    assert len(stopped) == 4


def test_divergence_is_an_error_not_a_picture() -> None:
    with pytest.raises(Diverged, match="step"):
        blur_run(eta=1e6, strategy="reference", inner_steps=100)


@pytest.mark.parametrize(
    ("y", "error", "named"),
    [
        (torch.full((1, 7), float("nan")), ValueError, "7 of 7 values"),
        (torch.zeros(0, 7), ValueError, "at least one image"),
        (torch.zeros(1, 7, dtype=torch.int64), TypeError, "int64"),
        ([0.0] * 7, TypeError, "list"),
    ],
)
def test_bad_measurements_are_named(y: object, error: type[Exception], named: str) -> None:
    prior, operator, _, _ = gaussian_problem()
    with pytest.raises(error, match=named):
        lmaps.sample(prior.denoise, operator, y, schedule=[1.0, 0.0], k1=0.2, k2=1.0, eta=0.1)  # type: ignore[arg-type]


@pytest.mark.parametrize("schedule", [[1.0], [1.0, 0.5], [0.5, 1.0, 0.0], [1.0, 1.0, 0.0], [float("nan"), 0.0]])
def test_bad_schedules_are_refused(schedule: list[float]) -> None:
    with pytest.raises(ValueError, match="schedule"):
        blur_run(schedule=schedule)


def test_a_measurement_may_be_part_of_a_gradient() -> None:
    operator = lmaps.operators.HDR()
    y = operator(torch.rand(1, 3, 16, 16) - 0.5)
    options = {"schedule": [1.0, 0.3, 0.0], "strategy": "onchip", "k1": 0.2, "k2": 4.0, "eta": 0.1}
    traced = lmaps.sample(lambda x, sigma: 0.5 * x, operator, y.clone().requires_grad_(True), **options)  # type: ignore[arg-type]
    assert torch.equal(traced, lmaps.sample(lambda x, sigma: 0.5 * x, operator, y, **options))  # type: ignore[arg-type]


def test_unknown_solver_and_option_are_named() -> None:
    with pytest.raises(ValueError, match="did you mean 'lmaps'"):
        blur_run(solver="lmap")
    with pytest.raises(TypeError, match="k3"):
        blur_run(k3=1.0)
    with pytest.raises(TypeError, match="seed"):
        blur_run(seed=1.5)
