"""Black-hole imaging against sums written out: Fourier sums, triangles and quadrangles, chi2."""

from __future__ import annotations

import io
import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lmaps.engine import operators
from lmaps.engine.black_hole_metrics import aligned, shifted_psnr
from lmaps.engine.local_map import LocalMAP, build, choose
from lmaps.engine.operators import BlackHole, Observation, read_uvfits

from .cases import relative
from .synthetic import observation

SIDE = 8


def picture(side: int = SIDE, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return (torch.rand((2, 1, side, side), generator=generator, dtype=torch.float64) * 1.6 - 0.8).to(dtype)


def written_out(o: Observation, x: Tensor, fov: float, peak: float) -> np.ndarray:
    """V, Jy, by explicit sums over the pixels of one picture [n, n]."""
    n = x.shape[-1]
    pixel = fov * math.pi / 180 / 3600e6 / n
    v = np.zeros(len(o.u), complex)
    for i, j in itertools.product(range(n), range(n)):
        east, north = ((n - 1) / 2 - j) * pixel, ((n - 1) / 2 - i) * pixel
        v += (float(x[i, j]) + 1) / 2 * np.exp(2j * np.pi * (o.u * east + o.v * north))
    return peak * (64 / n) ** 2 * v * (np.sinc(o.u * pixel) * np.sinc(o.v * pixel)) ** 2


def test_forward_is_the_formula() -> None:
    o, x = observation(), picture()
    operator = BlackHole(o, fov=150.0, peak=0.01)
    y = operator(x)
    for b in range(2):
        v = written_out(o, x[b, 0], 150.0, 0.01)
        seen = {(s, *pair): k for k, (s, pair) in enumerate(zip(o.scans, map(tuple, o.stations), strict=True))}

        def side(scan: int, a: int, c: int, values: np.ndarray, seen: dict = seen) -> complex:
            return values[seen[scan, a, c]] if (scan, a, c) in seen else np.conj(values[seen[scan, c, a]])

        cosines, sines, amplitudes = [], [], []
        for scan in range(4):
            for c, d in itertools.combinations(range(1, 5), 2):
                loop = [(0, c), (c, d), (d, 0)]
                phase = np.angle(np.prod([side(scan, *s, v) for s in loop]))
                sigma = math.sqrt(sum((1e-3 / abs(side(scan, *s, o.visibilities))) ** 2 for s in loop))
                cosines.append(math.cos(phase) / sigma)
                sines.append(math.sin(phase) / sigma)
            for p, q, r in ((3, 1, 2), (3, 2, 1), (4, 1, 2), (4, 2, 3), (4, 3, 1)):
                sides = [(0, p), (q, r), (0, r), (p, q)]
                amplitude = [abs(side(scan, *s, v)) for s in sides]
                sigma = math.sqrt(sum((1e-3 / abs(side(scan, *s, o.visibilities))) ** 2 for s in sides))
                amplitudes.append(math.log(amplitude[0] * amplitude[1] / amplitude[2] / amplitude[3]) / sigma)
        flux = float(((x[b] + 1) / 2).sum()) * 64 / (2 * math.sqrt(2))
        expected = torch.tensor([*cosines, *sines, *amplitudes, flux], dtype=torch.float64)
        assert relative(y[b], expected) <= 1e-10
    assert operator.counts == (40, 24, 20)


def test_gradient_is_that_of_autograd_and_of_the_sums() -> None:
    operator, x = BlackHole(observation()), picture()
    y, u = operator.degrade(picture().flip(0), 1.0, seed=1), torch.randn_like(operator(x))
    leaf = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(operator(leaf), leaf, u)
    assert relative(operator.vjp(x, u), g) <= 1e-11
    chi2 = operator.chi2(x, y)
    _, n, m = operator.counts
    total = n * chi2["closure phase"] + m * chi2["closure amplitude"] + chi2["flux"] / 2
    assert relative(total, (operator(x) - y).square().sum(1)) <= 1e-12
    single = operator.vjp(x.float(), u.float())
    assert single.dtype == torch.float32
    assert relative(single, g) <= 1e-4


def test_errors_of_stations_cancel() -> None:
    """Gains and phases of stations change every visibility and no closure."""
    o = observation()
    draw = np.random.RandomState(4)
    gain = np.exp(0.3 * draw.randn(5) + 2j * np.pi * draw.rand(5))
    wrong = o.visibilities * gain[o.stations[:, 0]] * gain[o.stations[:, 1]].conj()
    triangles, quadrangles = o.closures()
    turn = np.exp(1j * (triangles @ np.angle(wrong) - triangles @ np.angle(o.visibilities)))
    assert np.abs(turn - 1).max() <= 1e-10
    assert np.abs(quadrangles @ np.log(np.abs(wrong / o.visibilities))).max() <= 1e-10


def test_closures_are_a_minimal_set() -> None:
    for stations in (3, 4, 5, 6):
        o = observation(stations, 1)
        triangles, quadrangles = o.closures()
        assert (len(triangles), len(quadrangles)) == (
            (stations - 1) * (stations - 2) // 2,
            stations * (stations - 3) // 2,
        )
        assert np.linalg.matrix_rank(triangles) == len(triangles)
        assert len(quadrangles) == 0 or np.linalg.matrix_rank(quadrangles) == len(quadrangles)
    with pytest.raises(ValueError, match="no triangle"):
        BlackHole(observation(2, 3))


def test_chi2_of_the_truth_is_one() -> None:
    o, x = observation(6, 12), picture()[:1]
    seen = written_out(o, x[0, 0], 158.0, 0.008856)
    operator = BlackHole(replace(o, visibilities=seen, sigma=0.03 * np.abs(seen)))
    y = torch.cat([operator.degrade(x, 1.0, seed=k) for k in range(10)])
    chi2 = operator.chi2(x.expand(10, -1, -1, -1), y)
    assert float(chi2["closure phase"].mean()) == pytest.approx(1, abs=0.1)
    assert float(chi2["closure amplitude"].mean()) == pytest.approx(1, abs=0.1)
    assert all(float(value) <= 1e-20 for value in operator.chi2(x, operator.degrade(x)).values())


def test_strategies_equal_the_reference_loop() -> None:
    operator, shape = BlackHole(observation(noise=0.05)), (2, 1, SIDE, SIDE)
    y, xhat = operator(picture()), 0.5 * picture().flip(0)
    assert choose(operator, shape) == "autograd"
    settings = {"k1": 0.1, "k2": 0.01, "eta": 1e-3, "inner_steps": 20}
    plans = [build(operator, LocalMAP(**settings, strategy=s), [3.0, 0.1], shape) for s in ("reference", "autograd")]  # type: ignore[arg-type]
    for index in range(2):
        exact, fast = (plan.solve(xhat, plan.observe(y), index) for plan in plans)
        assert relative(fast, exact) <= 1e-10
        assert relative(fast, xhat) > 1e-4


def test_the_first_scans_and_the_way_into_a_file() -> None:
    o = observation(scans=10)
    operator = BlackHole(o, 0.35)
    assert set(operator.observation.scans) == {0, 1, 2}
    assert set(BlackHole(o, 0.01).observation.scans) == {0}
    file = io.BytesIO()
    np.savez(file, **{k: v.numpy() if isinstance(v, Tensor) else np.asarray(v) for k, v in operator.config().items()})
    file.seek(0)
    with np.load(file, allow_pickle=False) as stored:
        again = operators.from_config(dict(stored))
    assert isinstance(again, BlackHole)
    assert torch.equal(again(picture()), operator(picture()))
    assert torch.equal(again.measurement(), operator.measurement())
    assert operator.measurement().shape == (1, operator(picture()).shape[1])
    assert operator.start(operator.measurement()).shape == operator.picture_shape(operator.measurement())


def test_uvfits_is_read_back(tmp_path: Path) -> None:
    fits = pytest.importorskip("astropy.io.fits")
    o = observation(4, 3)
    values = np.zeros((len(o.u), 1, 1, 1, 2, 3), np.float32)
    values[:, 0, 0, 0, :, 0] = o.visibilities.real[:, None]
    values[:, 0, 0, 0, :, 1] = o.visibilities.imag[:, None]
    values[..., 2] = (1 / (2 * o.sigma**2))[:, None, None, None, None]
    code = (256 * (o.stations[:, 0] + 1) + o.stations[:, 1] + 1).astype(np.float32)
    names = ["UU---SIN", "VV---SIN", "BASELINE", "DATE", "DATE"]
    parameters = [o.u / 2.3e11, o.v / 2.3e11, code, np.full(len(o.u), 2448277.0), o.scans / 512]
    hdu = fits.GroupsHDU(fits.GroupData(values, bitpix=-32, parnames=names, pardata=parameters))
    for axis, kind in ((2, "COMPLEX"), (3, "STOKES"), (4, "FREQ")):
        hdu.header[f"CTYPE{axis}"] = kind
    hdu.header["CRVAL4"] = 2.3e11
    antennas = fits.BinTableHDU.from_columns(
        [fits.Column("ANNAME", "8A", array=["ALMA", "APEX", "LMT", "SPT"])], name="AIPS AN"
    )
    path = tmp_path / "obs.uvfits"
    fits.HDUList([hdu, antennas]).writeto(path)
    again = read_uvfits(path)
    assert again.names == ("ALMA", "APEX", "LMT", "SPT")
    assert np.allclose(again.u, o.u, rtol=1e-6)
    assert np.allclose(again.visibilities, o.visibilities, rtol=1e-6)
    assert np.allclose(again.sigma, o.sigma, rtol=1e-6)
    assert np.array_equal(again.stations, o.stations)
    assert np.array_equal(again.scans, o.scans)
    assert relative(BlackHole(path).measurement(), BlackHole(o).measurement()) <= 1e-2
    between = np.sort(o.stations, 1)[:, 1] + 10 * np.sort(o.stations, 1)[:, 0] == 1
    assert again.flux() == pytest.approx(np.median(np.abs(o.visibilities[between])), rel=1e-5)
    (tmp_path / "not.uvfits").write_text("no")
    with pytest.raises(ValueError, match=r"not an observation in \.uvfits"):
        read_uvfits(tmp_path / "not.uvfits")


def test_psnr_after_the_best_shift() -> None:
    truth = torch.zeros(2, 1, 16, 16)
    truth[:, :, 5:9, 6:10] = 1
    moved = truth.roll((2, -3), (2, 3))
    assert float(shifted_psnr(moved, truth).min()) > 20
    # Seen through a wide beam, what the shift left over is gone.
    assert float((shifted_psnr(moved, truth, blur=30) - shifted_psnr(moved, truth)).min()) > 3
    assert aligned(moved, truth).shape == truth.shape
    with pytest.raises(ValueError, match="one shape"):
        shifted_psnr(truth, truth[:1])


def test_bad_input_is_named() -> None:
    o = observation()
    with pytest.raises(ValueError, match="fraction must be"):
        BlackHole(o, 0.0)
    with pytest.raises(ValueError, match="square pictures of one channel"):
        BlackHole(o)(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match="sigma > 0"):
        Observation(o.u, o.v, o.visibilities, 0 * o.sigma, o.stations, o.scans)
    with pytest.raises(ValueError, match="of one length"):
        Observation(o.u[:3], o.v, o.visibilities, o.sigma, o.stations, o.scans)
