from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench import shapes
from bench.shapes import CANDIDATES, Tried, gflop, main, megabytes, report
from lmaps.engine.priors.unet import UNet, UNetConfig

TINY = {"shipped": UNetConfig((4, 6), (1, 1), 8), "wider": UNetConfig((8, 10), (1, 1), 8)}


def test_costs_of_a_network_counted_by_hand() -> None:
    """One level: stem 12 -> 4, one block of two 4 -> 4, head 4 -> 12, all 3x3 at half resolution."""
    network = UNetConfig((4,), (1,), 8)
    at_half = 9 * (12 * 4 + 2 * 4 * 4 + 4 * 12)
    assert gflop(network, 16) == pytest.approx(2e-9 * 64 * at_half)
    others = 2 * (8 * 8 + 8) + (8 * 8 + 8)
    assert megabytes(network) == pytest.approx(2e-6 * (at_half + others))


def test_counting_works_for_every_candidate_and_they_differ() -> None:
    costs = {(megabytes(network), gflop(network, 64)) for network in CANDIDATES.values()}
    assert len(costs) == len(CANDIDATES)


def test_every_weight_is_at_work() -> None:
    denoiser = shapes.with_random_weights(TINY["wider"])
    assert isinstance(denoiser.network, UNet)
    assert all(bool((p != 0).all()) for p in denoiser.parameters())


def test_the_report_is_sorted_by_time_and_names_what_is_too_large() -> None:
    psnr = {"0.05": 38.0, "0.1": 34.0, "0.2": 31.0, "0.4": 28.0, "1.0": 24.0}
    text = report(
        [
            Tried("large", UNetConfig((64, 128), (3, 8)), 40.0, 30.0, 90.0, psnr),
            Tried("small", UNetConfig((4, 6), (1, 1), 8), 1.0, 2.0, 12.5, None),
        ],
        500,
        256,
    )
    rows = [line for line in text.splitlines() if line.startswith(("| large", "| small"))]
    assert rows[0].startswith("| small | 4/6 | 1/1 | 1.0 | 2.0 | 12.5 |")
    assert rows[1].endswith("| 38.00 | 34.00 | 31.00 | 28.00 | 24.00 | 31.00 |")
    assert "Over the 32 MB that the repository has room for: large." in text


@pytest.mark.slow
def test_a_search_trains_once_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "CANDIDATES", TINY)
    generator = np.random.default_rng(0)
    for name in ("a.png", "b.png", "gb82-0.png"):
        coarse = Image.fromarray(generator.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        coarse.resize((140, 130), Image.Resampling.BICUBIC).save(tmp_path / name)
    out = tmp_path / "results" / "shapes.md"
    command = ["--photos", str(tmp_path), "-o", str(out), "--images", "64", "--size", "32", "--rounds", "1"]
    main([*command, "--tries", "shipped"])
    journal = out.with_suffix(".jsonl").read_text(encoding="utf-8")
    torch.manual_seed(1)
    main([*command, "--tries", "shipped", "wider"])
    again = out.with_suffix(".jsonl").read_text(encoding="utf-8")
    assert again.startswith(journal)
    assert len(again.splitlines()) == 2
    assert (
        len([line for line in out.read_text(encoding="utf-8").splitlines() if line.startswith(("| sh", "| wi"))]) == 3
    )
