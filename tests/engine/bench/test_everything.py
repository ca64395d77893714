"""Every method on every task with the shipped network, once and small: all end well, or refuse for the known reasons."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmaps.engine import metrics, tasks
from lmaps.engine.bench import photos, quality, runs
from lmaps.engine.bench.journal import Journal
from lmaps.engine.bench.methods import everything
from lmaps.engine.priors import load_prior

NONLINEAR = {"phase-retrieval", "deblur-nonlinear", "hdr", "jpeg", "quantize"}
UNDEFINED = {
    **dict.fromkeys(("ddrm", "ddnm", "fps", "mcg-diff"), NONLINEAR | {"deblur-motion"}),
    "tmpd": NONLINEAR,
    "pigdm": {"phase-retrieval", "deblur-nonlinear"},
    "fast-dips": {"jpeg", "quantize"},
}


@pytest.mark.slow
def test_every_method_runs_every_task_it_is_defined_for(tmp_path: Path) -> None:
    setting = runs.Setting(load_prior("photo"), "photo", 48, budget=6, perceptual=None)
    cells = quality.plan(everything(), list(tasks.TASKS))
    records = runs.run(cells, photos.load(None, 48, 1), setting, Journal(tmp_path / "j"), lambda *_: None)
    assert len(records) == 20 * len(tasks.TASKS)
    for record in records:
        what = f"{record['method']} on {record['task']}: {record}"
        undefined = record["task"] in UNDEFINED.get(record["method"], ())
        assert record["status"] == ("undefined" if undefined else "ok"), what
        if undefined:
            assert f"solver '{record['method']}'" in record["reason"], what
        else:
            assert record["psnr"] > 3, what
            assert record["denoiser_calls"] <= 6, what
    page = "\n".join(quality.report(quality.known(setting, 1, True, "off"), records))
    for task in tasks.TASKS:
        assert f"## {task}" in page


def test_a_perceptual_metric_is_recorded_where_there_is_one(tmp_path: Path) -> None:
    try:
        metric = metrics.perceptual("st-lpips-alex")
    except RuntimeError as reason:
        pytest.skip(str(reason))
    setting = runs.Setting(load_prior("photo"), "photo", 32, perceptual=metric)
    cells = quality.plan(everything()[:1], ["sr4"])
    (record,) = runs.run(cells, photos.load(None, 32, 1), setting, Journal(tmp_path / "j"), lambda *_: None)
    photo = photos.load(None, 32, 1)[0].pixels[None]
    h = runs.operator("sr4", 32, 0)
    start = ((h.start(h.degrade(2 * photo - 1, 0.05, 0)) + 1) / 2).clamp(0, 1)
    assert record["perceptual"] == pytest.approx(float(metric(start, photo)), abs=1e-6)
