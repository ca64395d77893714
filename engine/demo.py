"""The demo: the bundled photographs, degraded and restored by every task; sheets of pictures and a table's figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from . import metrics, presets, tasks
from .files import Picture, write_image
from .files.picture import Pixels
from .plan import Result, compile

SIDE = 256
_GAP, _HEAD, _MARGIN = 4, 22, 150
OnStep = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Row:
    """One task's figures, each a mean over the photographs: dB, SSIM, seconds a photograph.

    start: the picture made from the measurement alone (its pseudo-inverse where it has one).
    """

    task: str
    start_psnr: float
    start_ssim: float
    psnr: float
    ssim: float
    seconds: float
    backend: str
    strategy: str
    status: str


def demo_tasks() -> list[str]:
    """The tasks that the shipped prior has settings for. Phase retrieval is not among them: it needs a prior that knows whole
    pictures, and this one knows small pieces."""
    rows = presets.rows("photo")
    return [name for name in tasks.TASKS if name in rows]


def photographs() -> dict[str, Tensor]:
    """Name -> [3, 256, 256] float32 in [0, 1]."""
    folder = resources.files(__package__) / "demo_photos"
    photos = {}
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        if entry.name.endswith(".png"):
            with entry.open("rb") as file:
                pixels = np.asarray(Image.open(file).convert("RGB"), np.float32) / 255
            photos[entry.name.removesuffix(".png")] = torch.from_numpy(pixels.transpose(2, 0, 1).copy())
    return photos


def run(
    folder: Path, names: Sequence[str], *, seed: int = 0, on_step: OnStep | None = None, **compiling: Any
) -> Iterator[Row]:
    """Degrade and restore the photographs by each task in `names`; yields a row as each is done.

    Writes FOLDER/TASK.png (a photograph a row: truth, measurement, restored), and at the end FOLDER/contact-sheet.png.
    `on_step(task, done, of)` is called after each denoiser call; `compiling` goes to `lmaps.compile`.
    """
    photos = photographs()
    x = torch.stack(list(photos.values()))
    cells = []
    for name in names:
        operator = tasks.build(name, **({"seed": seed} if tasks.get(name).seeded else {}))
        noise = tasks.get(name).default_noise
        y = operator.degrade(2 * x - 1, noise, seed)
        restorer = compile(operator, task=name, size=(SIDE, SIDE), noise=noise, **compiling)
        result = restorer(y, seed=seed, callback=_counter(name, len(x) * restorer.steps, on_step))
        seen = _visible(name, y)
        _write(folder / f"{name}.png", task_sheet(name, photos, seen, result.image))
        cells.append((name, seen, result.image))
        yield _row(name, x, ((operator.start(y) + 1) / 2).clamp(0, 1), result)
    _write(folder / "contact-sheet.png", contact_sheet(photos, cells))


def task_sheet(name: str, photos: dict[str, Tensor], seen: Tensor, restored: Tensor) -> Image.Image:
    """Truth, measurement and restored side by side, a photograph a row."""
    sheet = Image.new("RGB", (3 * SIDE + 4 * _GAP, _HEAD + len(photos) * (SIDE + _GAP)), "white")
    heads = ("truth", f"measurement ({name})", "restored")
    for column, head in enumerate(heads):
        _write_text(sheet, (_GAP + column * (SIDE + _GAP), 3), head)
    for row, truth in enumerate(photos.values()):
        for column, picture in enumerate((truth, seen[row], restored[row])):
            at = _GAP + column * (SIDE + _GAP), _HEAD + row * (SIDE + _GAP)
            sheet.paste(_image(picture, SIDE), at)
    return sheet


def contact_sheet(photos: dict[str, Tensor], cells: Sequence[tuple[str, Tensor, Tensor]]) -> Image.Image:
    """All tasks on one page, half size: a task a row, for each photograph its measurement and its restoration."""
    side = SIDE // 2
    pair = 2 * side + 3 * _GAP
    sheet = Image.new("RGB", (_MARGIN + len(photos) * pair, _HEAD + (len(cells) + 1) * (side + _GAP)), "white")
    _write_text(sheet, (_GAP, _HEAD + side // 2 - 8), "truth")
    for column, (name, truth) in enumerate(photos.items()):
        left = _MARGIN + column * pair
        _write_text(sheet, (left, 3), name)
        sheet.paste(_image(truth, side), (left, _HEAD))
    for row, (task, seen, restored) in enumerate(cells, 1):
        top = _HEAD + row * (side + _GAP)
        _write_text(sheet, (_GAP, top + side // 2 - 8), task)
        for column in range(len(photos)):
            left = _MARGIN + column * pair
            sheet.paste(_image(seen[column], side), (left, top))
            sheet.paste(_image(restored[column], side), (left + side + _GAP, top))
    return sheet


def measured_picture(task: str, y: np.ndarray[Any, Any]) -> Pixels:
    """A measurement [..., C, h, w] for eyes, in [0, 1]: clipped, or log amplitudes where it is no picture."""
    if task in tasks.SCIENCE:
        return _amplitudes(task, y)
    if task == "phase-retrieval":
        amplitude = np.log1p(np.abs(y) / max(float(np.median(np.abs(y))), 1e-6))
        return np.asarray(amplitude / amplitude.max(axis=(-3, -2, -1), keepdims=True), np.float32)
    return np.asarray(((y + 1) / 2).clip(0, 1), np.float32)


def _amplitudes(task: str, y: np.ndarray[Any, Any]) -> Pixels:
    """[1, h, w]: logarithms of what a scientific task measured, of the first channel or coil; closures as one line."""
    size = np.abs(y).reshape(1, 1, -1) if task == "blackhole" else np.hypot(y[:1, ..., 0], y[:1, ..., 1])
    logarithm = np.log1p(size / max(float(np.median(size)), 1e-12))
    return np.asarray(logarithm / max(float(logarithm.max()), 1e-12), np.float32)


def _visible(task: str, y: Tensor) -> Tensor:
    return torch.from_numpy(measured_picture(task, y.numpy()))


def _counter(name: str, of: int, on_step: OnStep | None) -> Callable[[object], None]:
    done = 0

    def count(_: object) -> None:
        nonlocal done
        done += 1
        if on_step is not None:
            on_step(name, done, of)

    return count


def _row(name: str, x: Tensor, start: Tensor, result: Result) -> Row:
    restored, stats = result.image.cpu(), result.stats
    return Row(
        task=name,
        start_psnr=float(metrics.psnr(start, x).mean()),
        start_ssim=float(metrics.ssim(start, x).mean()),
        psnr=float(metrics.psnr(restored, x).mean()),
        ssim=float(metrics.ssim(restored, x).mean()),
        seconds=stats["total_s"] / len(x),
        backend=f"{stats['backend']} {stats['precision']}",
        strategy=str(stats.get("strategy", "")),
        status=result.status,
    )


def _image(picture: Tensor, side: int) -> Image.Image:
    samples = (picture.cpu().clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    image = Image.fromarray(samples)
    smaller = image.width > side
    return image.resize((side, side), Image.Resampling.LANCZOS if smaller else Image.Resampling.NEAREST)


def _write_text(sheet: Image.Image, at: tuple[int, int], text: str) -> None:
    ImageDraw.Draw(sheet).text(at, text, fill="black", font=ImageFont.load_default(14))


def _write(path: Path, sheet: Image.Image) -> None:
    pixels = np.asarray(sheet, np.float32).transpose(2, 0, 1) / np.float32(255)
    write_image(path, Picture(pixels), overwrite=True)
