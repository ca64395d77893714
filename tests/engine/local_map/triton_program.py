"""Run by `test_gpu` with TRITON_INTERPRET=1: the CPU plays the GPU, and every kernel of the wiring runs in the interpreter."""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from torch import Tensor

from lmaps import operators, schedules
from lmaps.engine.captured import Turn
from lmaps.engine.graph import Rerun
from lmaps.engine.local_map import LocalMAP, Strategy, build, device, gpu, gpu_linear, gpu_steps
from lmaps.engine.loop import run
from lmaps.engine.operators import Operator
from lmaps.engine.recorded import Recorded
from lmaps.engine.solvers.lmaps import LMAPS
from lmaps.kernels import mri

CPU = torch.device("cpu")
SIGMAS = [3.0, 0.5, 0.1]
SHAPE = (2, 3, 16, 32)
SETTINGS = {"k1": 0.4, "k2": 5.0, "eta": 0.1, "inner_steps": 3}


def smooth(seed: int, shape: tuple[int, ...] = SHAPE) -> Tensor:
    small = torch.rand(*shape[:2], 5, 5, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(small, size=shape[2:], mode="bicubic") * 2 - 1


def relative(a: Tensor, b: Tensor) -> float:
    return float(torch.linalg.vector_norm(a - b) / torch.linalg.vector_norm(b))


def built(operator: Operator, shape: tuple[int, ...] = SHAPE, *, gpu: bool, **changes: object) -> Strategy:
    """The strategy, with the CPU as it is or passing for a GPU."""
    device.GPU = frozenset({"cpu"}) if gpu else frozenset({"cuda"})
    try:
        return build(operator, LocalMAP(**{**SETTINGS, **changes}), SIGMAS, shape)  # type: ignore[arg-type]
    finally:
        device.GPU = frozenset({"cuda"})


def compare(operator: Operator, kernel: str, *, outliers: float = 0.0, **changes: object) -> None:
    here, there = built(operator, gpu=False, **changes), built(operator, gpu=True, **changes)
    assert there.describe()["kernel"] == kernel, there.describe()
    xhat, y = smooth(0), operator.degrade(smooth(1), 0.05)
    for step, place in ((0, 0), (2, device.OnDevice(torch.tensor([2], dtype=torch.int32), there.kind(2)))):
        expected = here.solve(xhat, here.observe(y), step)
        got = there.solve(xhat, there.observe(y), place)
        off = ((got - expected).abs() > 1e-5).float().mean()
        assert off <= outliers, (kernel, step, float(off), float((got - expected).abs().max()))
        assert relative(expected, xhat) > 1e-3


def pointwise() -> None:
    for operator in (operators.HDR(), operators.HDR(gradient="identity"), operators.Quantize(2), operators.JPEG(5)):
        # A quantiser jumps: a rounding difference may put a value on the other side of a step.
        compare(operator, "triton", outliers=5e-3)
    assert gpu.fused(operators.Denoise(), LocalMAP(**SETTINGS), SIGMAS, SHAPE, CPU) is None
    assert gpu.fused(operators.JPEG(5), LocalMAP(**SETTINGS), SIGMAS, (1, 3, 16, 24), CPU) is None


def closed_forms() -> None:
    for inner in (3, "exact"):
        compare(operators.Inpainting.random(), "triton mask", inner_steps=inner)
        compare(operators.SuperResolution(4), "triton spectral", inner_steps=inner)
        compare(operators.GaussianBlur(9, 1.0), "triton spectral", inner_steps=inner)
        compare(
            operators.Blur(torch.arange(15.0).reshape(5, 3) / 105, "circular"), "triton spectral", inner_steps=inner
        )
    compare(operators.Denoise(), "triton spectral")


def blurs() -> None:
    shape = (1, 1, 16, 20)
    kernel = torch.zeros(7, 5)
    kernel[2:5, 1:3] = torch.arange(1.0, 7.0).reshape(3, 2) / 21
    for padding in ("reflect", "circular"):
        operator = operators.Blur(kernel, padding)
        x = smooth(2, shape)
        assert relative(gpu_linear.direct_normal(operator, shape, CPU)(x), operator.normal(x)) < 2e-6
    blur = operators.Blur(kernel)
    assert gpu_linear.normal(blur, shape, CPU)[1].way == "torch"
    there, reference = (built(blur, shape, gpu=g, strategy=s) for g, s in ((True, "stepped"), (False, "reference")))
    xhat, y = smooth(0, shape), blur.degrade(smooth(1, shape), 0.05)
    got = there.solve(xhat, there.observe(y), device.OnDevice(torch.tensor([1], dtype=torch.int32)))
    assert relative(got, reference.solve(xhat, (y,), 1)) < 1e-6


def phase_retrieval() -> None:
    """Frames of 32 x 48 have kernels; those of 40 x 64 go through torch."""
    for shape, way in (((1, 1, 32, 64), "ieee"), ((1, 1, 24, 40), "torch")):
        operator = operators.PhaseRetrieval(oversample=0.0 if way == "ieee" else 2.0)
        here, there = built(operator, shape, gpu=False), built(operator, shape, gpu=True)
        assert there.describe()["kernel"] == f"phase-retrieval {way}"
        xhat, y = smooth(0, shape), operator.degrade(smooth(1, shape), 0.05)
        got = there.solve(xhat, there.observe(y), device.OnDevice(torch.tensor([1], dtype=torch.int32)))
        assert relative(got, here.solve(xhat, here.observe(y), 1)) < 1e-5


def coils() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(1, 2, 32, 32, dtype=torch.complex64, generator=generator)
    mask = (torch.rand(1, 1, 32, 32, generator=generator) > 0.5).float()
    xhat = torch.randn(1, 2, 32, 32, generator=generator)
    y = mask * torch.randn(1, 2, 32, 32, dtype=torch.complex64, generator=generator)
    rows = device.table(LocalMAP(k1=0.4, k2=0.5, eta=0.1), SIGMAS, CPU)
    steps = gpu_steps.mri_steps(maps, mask, rows, 2, 1)
    got = steps.solve(xhat, steps.observe(y), torch.tensor([1], dtype=torch.int32))
    assert relative(got, mri.steps_twin(xhat, y, maps, mask, rows, 1, 2)) < 1e-5
    shape = (2, 2, 32, 32)
    operator = operators.MRI(maps[0], operators.MRI.mask(32, 4))
    there, reference = (built(operator, shape, gpu=g, strategy=s) for g, s in ((True, "stepped"), (False, "reference")))
    assert there.describe()["kernel"] == "mri ieee"
    xhat, measured = smooth(0, shape), operator.degrade(smooth(1, shape), 0.05)
    got = there.solve(xhat, there.observe(measured), device.OnDevice(torch.tensor([1], dtype=torch.int32)))
    assert relative(got, reference.solve(xhat, (measured,), 1)) < 1e-5


def turns() -> None:
    """Whole restorations on fixed buffers: the transition's kernel draws the numbers of the CPU's stream."""
    sigmas = [float(s) for s in schedules.edm(4, sigma_max=2.0, sigma_min=0.05)]

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        return torch.tanh(x * 0.25 / (0.25 + sigma.reshape(-1, 1, 1, 1) ** 2))

    def into(x: Tensor, sigma: Tensor, out: Tensor) -> None:
        out.copy_(denoise(x, sigma))

    for operator, rho in (
        (operators.SuperResolution(4), 1.0),
        (operators.HDR(), 0.6),
        (operators.Inpainting.box(8), 0.0),
    ):
        y = operator.degrade(smooth(1), 0.05)
        method = LMAPS(operator, sigmas, SHAPE, rho=rho, **SETTINGS)  # type: ignore[arg-type]
        expected, _, _ = run(denoise, method, y, sigmas, SHAPE, (3, 2**63 + 5))
        device.GPU = frozenset({"cpu"})
        method = LMAPS(operator, sigmas, SHAPE, rho=rho, **SETTINGS)  # type: ignore[arg-type]
        turn = Turn(into, method, sigmas, SHAPE, method.observe(y), CPU)
        assert turn.kernel == "triton"
        got, status, taken = Recorded(turn, Rerun()).run(method.observe(y), (3, 2**63 + 5))
        device.GPU = frozenset({"cuda"})
        assert (status, taken) == ("ok", 4)
        assert (got - expected).abs().max() < 5e-5, float((got - expected).abs().max())


PARTS: dict[str, Callable[[], None]] = {
    f.__name__: f for f in (pointwise, closed_forms, blurs, phase_retrieval, coils, turns)
}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
