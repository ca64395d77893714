"""Records: what a cell that goes well, that is refused, that diverges or fails leaves behind; and resuming."""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lmaps.engine import metrics, plan
from lmaps.engine.bench import photos, quality, runs, tables
from lmaps.engine.bench.journal import Journal, Record
from lmaps.engine.bench.methods import parse
from lmaps.engine.bench.runs import Cell, Setting
from lmaps.engine.loop import Diverged
from lmaps.engine.priors import load_prior

SIZE = 32


@pytest.fixture
def setting(tiny_prior_folder: Path) -> Setting:
    return Setting(
        load_prior(str(tiny_prior_folder)), str(tiny_prior_folder), SIZE, steps=3, backend="torch", precision="float32"
    )


def go(
    words: str, task: str, setting: Setting, journal: Journal, count: int = 1
) -> tuple[list[Record], list[tuple[str, bool]]]:
    seen: list[tuple[str, bool]] = []
    cells = [Cell(parse(word), task) for word in words.split()]
    records = runs.run(
        cells,
        photos.load(None, SIZE, count),
        setting,
        journal,
        lambda cell, _, fresh: seen.append((cell.method.label, fresh)),
    )
    return records, seen


def test_a_record_is_what_the_engine_gives(setting: Setting, tmp_path: Path) -> None:
    (record, second), _ = go("ddrm", "sr4", setting, Journal(tmp_path / "j"), count=2)
    photo = photos.load(None, SIZE, 2)[1]
    h = runs.operator("sr4", SIZE, 0)
    y = h.degrade(2 * photo.pixels[None] - 1, 0.05, 1)
    options: dict[str, Any] = {"solver": "ddrm", "steps": 3, "backend": "torch", "precision": "float32"}
    restorer = plan.compile(h, setting.prior, size=(SIZE, SIZE), task="sr4", noise=0.05, **options)
    image = restorer(y, seed=1).image
    assert second["psnr"] == pytest.approx(float(metrics.psnr(image, photo.pixels[None])), abs=1e-4)
    assert (record["status"], record["denoiser_calls"], record["backend"]) == ("ok", 3, "torch")
    assert record["own_calls"] == 20
    assert record["total_s"] > 0
    assert record["config"]["image"] != second["config"]["image"]


def test_a_method_runs_on_lmapss_noise_levels(setting: Setting, tmp_path: Path) -> None:
    photo_set = replace(setting, preset="photo", steps=None, budget=6)
    words = "lmaps ddrm ddrm:grid=lmaps daps:grid=lmaps ddrm:sigma_max=2,sigma_min=0.1 start"
    records, _ = go(words, "sr4", photo_set, Journal(tmp_path / "j"))
    assert [r["status"] for r in records] == ["ok"] * 6
    ours, own, moved, sampled, given, _ = records
    assert (ours["sigma_max"], moved["sigma_max"], sampled["sigma_max"]) == pytest.approx((0.7, 0.7, 0.7))
    assert moved["sigma_min"] == pytest.approx(ours["sigma_min"])
    assert own["sigma_max"] > 20
    assert given["sigma_max"] == pytest.approx(2)
    assert all(r["denoiser_calls"] <= 6 for r in records)
    assert own["psnr"] != moved["psnr"]
    page = "\n".join(quality.report(quality.known(photo_set, 1, True, "off"), records))
    for part in (
        "0.7 to 0.05",
        ", lmaps | torch float32 |",
        ", own | torch float32 |",
        "equal calls are not equal seconds",
    ):
        assert part in page, part


@pytest.mark.parametrize("word", ["fps:particles=0", "ddrm:eta=7"])
def test_a_bad_value_is_no_undefined_method(setting: Setting, tmp_path: Path, word: str) -> None:
    with pytest.raises(ValueError, match=word.partition(":")[2].partition("=")[0]):
        go(word, "sr4", setting, Journal(tmp_path / "j"))


def test_methods_that_need_noise_say_so(setting: Setting, tmp_path: Path) -> None:
    quiet = replace(setting, noise=0.0, steps=None, budget=2)
    records, _ = go("tmpd fps mcg-diff vml-map lgd ddrm", "sr4", quiet, Journal(tmp_path / "j"))
    assert [r["status"] for r in records] == [*["undefined"] * 4, "ok", "ok"]
    assert all(f"solver '{r['method']}'" in r["reason"] and "or use" in r["reason"] for r in records[:4])


def test_what_is_done_is_not_done_again(setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = go("start ddrm", "sr4", setting, Journal(tmp_path / "j"))
    longer, seen = go("start ddrm diffpir", "sr4", setting, Journal(tmp_path / "j"), count=2)
    assert [fresh for _, fresh in seen] == [False, True, False, True, True, True]
    assert longer[2]["psnr"] == first[1]["psnr"]
    monkeypatch.setattr(runs, "compile", None)  # nothing is planned for what is known
    again, seen = go("start ddrm diffpir", "sr4", setting, Journal(tmp_path / "j"), count=2)
    assert not any(fresh for _, fresh in seen)
    assert [r["psnr"] for r in again] == [r["psnr"] for r in longer]


@pytest.mark.parametrize(
    "change", [{"steps": 4}, {"seed": 1}, {"noise": 0.1}, {"budget": 2}, {"backend": "auto"}, {"preset": "paper"}]
)
def test_a_changed_configuration_starts_afresh(setting: Setting, tmp_path: Path, change: dict[str, Any]) -> None:
    go("ddrm", "sr4", setting, Journal(tmp_path / "j"))
    _, seen = go("ddrm", "sr4", replace(setting, **change), Journal(tmp_path / "j"))
    assert seen == [("ddrm", True)]


def test_a_changed_engine_starts_afresh(setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go("ddrm", "sr4", setting, Journal(tmp_path / "j"))
    monkeypatch.setattr(runs, "code", lambda: "another state")
    assert go("ddrm", "sr4", setting, Journal(tmp_path / "j"))[1] == [("ddrm", True)]


def test_an_interrupt_loses_nothing_that_was_finished(setting: Setting, tmp_path: Path) -> None:
    def stop(cell: Cell, record: Record, fresh: bool) -> None:
        if cell.method.label == "ddrm":
            raise KeyboardInterrupt

    cells = [Cell(parse(word), "sr4") for word in ("start", "ddrm", "diffpir")]
    with pytest.raises(KeyboardInterrupt):
        runs.run(cells, photos.load(None, SIZE, 1), setting, Journal(tmp_path / "j"), stop)
    _, seen = go("start ddrm diffpir", "sr4", setting, Journal(tmp_path / "j"))
    assert [fresh for _, fresh in seen] == [False, False, True]


def test_a_method_that_is_not_defined_says_so_in_its_own_words(setting: Setting, tmp_path: Path) -> None:
    records, _ = go("ddrm tmpd fast-dips lmaps", "jpeg", setting, Journal(tmp_path / "j"))
    assert [r["status"] for r in records] == ["undefined", "undefined", "undefined", "ok"]
    assert "solver 'ddrm' is for linear operators, and JPEG is not one" in records[0]["reason"]
    grads, _ = go("dps", "sr4", replace(setting, backend="openvino"), Journal(tmp_path / "j"))
    assert "needs the gradient of the network" in grads[0]["reason"]


def test_a_cell_that_diverges_or_fails_is_recorded_and_the_rest_goes_on(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records, _ = go("lmaps:k2=1e30,eta=1e9 ddrm", "deblur-gaussian", setting, Journal(tmp_path / "j"))
    assert [r["status"] for r in records] == ["diverged", "ok"]

    def burst(*_: object, **__: object) -> None:
        raise Diverged("it burst")

    monkeypatch.setattr(plan.Restorer, "__call__", burst)
    (failed,), _ = go("diffpir", "deblur-gaussian", setting, Journal(tmp_path / "j"))
    assert (failed["status"], failed["reason"]) == ("failed", "Diverged: it burst")


def test_an_option_that_does_not_exist_stops_the_run(setting: Setting, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="wrong"):
        go("ddrm:wrong=1", "sr4", setting, Journal(tmp_path / "j"))


def test_means_and_deviations_are_those_of_the_images_that_ended_well() -> None:
    values = [20.0, 23.0, 29.0]
    records = [
        {
            "task": "t",
            "method": "m",
            "status": "ok",
            "psnr": v,
            "ssim": v / 100,
            "denoiser_calls": 4,
            "own_calls": 9,
            "total_s": 2.0,
        }
        for v in values
    ]
    bad = {"task": "t", "method": "m", "status": "diverged", "psnr": 3.0, "ssim": 0.1, "reason": "burst"}
    found = tables.summary([*records, bad])
    assert found.mean["psnr"] == pytest.approx(24.0)
    assert found.deviation["psnr"] == pytest.approx(statistics.stdev(values))
    assert "perceptual" not in found.mean
    assert (found.effort(False), found.effort(True)) == ("4 of 9", "4 of 9 ∇")
    assert found.cell("psnr") == "24.00 ± 4.58 (diverged 1 of 4)"
    assert tables.summary([bad]).cell("psnr") == "diverged 1 of 1"
    assert tables.summary([{"status": "undefined", "reason": "no"}] * 2).cell("psnr") == "undefined"


def test_the_report_says_what_was_run_and_what_others_printed(setting: Setting, tmp_path: Path) -> None:
    records, _ = go("start ddrm lmaps", "sr4", setting, Journal(tmp_path / "j"))
    records += go("start ddrm lmaps", "jpeg", setting, Journal(tmp_path / "j"))[0]
    told = quality.known(replace(setting, budget=3), 1, False, "no weights")
    page = "\n".join(quality.report(told, records))
    for part in (
        "$ lmaps",
        setting.prior.digest,
        torch.__version__,
        "incomplete",
        "cut down to 3 calls",
        "no perceptual metric: no weights",
        "| ddrm |",
        "26.58 / 0.782 / 0.282",
        "27.25 ± 1.37 / 0.814 ± 0.045",
        "- ddrm: solver 'ddrm' is for linear operators",
    ):
        assert part in page, part
    overview = page.split("## sr4")[0]
    best = max(r["psnr"] for r in records if r["task"] == "sr4")
    assert f"**{best:.2f}**" in overview
    assert "| ddrm | " in overview
    assert "undefined" in overview
