"""An ONNX graph of someone else's as a prior: wrapped into ONE graph (x, sigma) -> denoised, its weights left as they are."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...export.digest import of_file
from ...export.external_data import GraphError, check_external_data, external_files
from .config import CONFIG, GRAPH, ONNX, UNKNOWN_LICENCE, PriorConfig
from .error import PriorError
from .graph_around import around
from .graph_signature import Signature, read_signature
from .noise_schedule import NoiseSchedule, as_schedule
from .prediction import check_prediction, check_range
from .saving import finish, staged

if TYPE_CHECKING:
    from onnx import ModelProto

EXTRA = 'pip install "lmaps-engine[onnx]"'
# Sizes tried, in this order, where a graph does not say what H and W must be divisible by.
_MULTIPLES = (1, 2, 4, 8, 16, 32, 64, 128)


def save_graph(
    path: Path,
    folder: Path,
    *,
    prediction: str,
    schedule: NoiseSchedule | Mapping[str, Any] | str | Sequence[float] | None = None,
    timestep: str | None = None,
    value_range: tuple[float, float] = (-1.0, 1.0),
    channels: int | None = None,
    multiple: int | None = None,
    name: str | None = None,
    licence: str = UNKNOWN_LICENCE,
    source: Mapping[str, str] | None = None,
) -> PriorConfig:
    """Write the graph at `path` as a prior into `folder`: model.onnx, the files of weights beside it, config.json.

    prediction: what the graph answers; `schedule` (default "linear": DDPM's) goes with all but "denoised", whose second
                input is sigma itself.
    timestep:   "interpolated", or "nearest", which is the default where the graph takes whole steps.
    channels, multiple: where the graph does not say; multiple is otherwise found by trying.
    The graph is run once on random numbers. Raises PriorError naming what does not fit.
    """
    check_prediction(prediction)
    check_range(value_range)
    model = _load(path)
    signature = read_signature(path, model)
    channels = _channels(path, signature, channels)
    table = _schedule(prediction, schedule)
    timestep = _timestep(path, signature, prediction, timestep)
    model = around(
        model,
        signature,
        prediction=prediction,
        schedule=table,
        timestep=timestep,
        value_range=value_range,
        channels=channels,
    )
    facts = {"prediction": prediction, "timestep": timestep, "value_range": f"{value_range[0]:g} to {value_range[1]:g}"}
    with staged(folder) as staging:
        (staging / GRAPH).write_bytes(model.SerializeToString(deterministic=True))
        del model
        beside = _bring(path, staging)
        multiple = _tried(path, staging / GRAPH, signature, channels, multiple)
        config = PriorConfig(
            name=name or path.stem,
            architecture=ONNX,
            settings={**facts, **({"schedule": table.to_settings()} if table else {})},
            channels=channels,
            multiple=multiple,
            licence=licence,
            notes={},
            files={file: of_file(staging / file) for file in (GRAPH, *beside)},
            size=signature.size,
            batch=signature.batch,
            source=source or {},
        )
        return finish(staging, folder, config)


def _load(path: Path) -> ModelProto:
    try:
        import onnx
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise PriorError(f"{path} is an ONNX graph, and {error.name} is not installed; {EXTRA}") from None
    if not path.is_file():
        raise PriorError(f"{path} does not exist")
    try:
        check_external_data(path)
        return onnx.load(str(path), load_external_data=False)
    except (GraphError, OSError) as error:
        raise PriorError(f"{path} cannot be used: {error}") from None
    except Exception as error:  # protobuf's own kind of error has no stable home
        raise PriorError(f"{path} is not an ONNX file, or it is damaged: {error}") from None


def _channels(path: Path, signature: Signature, given: int | None) -> int:
    found = signature.channels or given
    if found is None:
        raise PriorError(f"{path} does not say how many channels its pictures have; give channels (--channels)")
    if given not in (None, found):
        raise PriorError(f"{path} takes pictures of {found} channels, not {given}")
    return found


def _schedule(prediction: str, schedule: Any) -> NoiseSchedule | None:
    if prediction == "denoised":
        if schedule is not None:
            raise PriorError("a graph that answers (x, sigma) with the clean picture has no schedule; leave it out")
        return None
    return as_schedule("linear" if schedule is None else schedule)


def _timestep(path: Path, signature: Signature, prediction: str, given: str | None) -> str:
    if not signature.whole_steps:
        return given or "interpolated"
    if prediction == "denoised":
        raise PriorError(
            f"{path}: its input {signature.t!r} takes whole numbers and cannot be sigma; is it a timestep?"
        )
    if given == "interpolated":
        raise PriorError(f"{path}: its input {signature.t!r} takes whole steps; use timestep 'nearest'")
    return "nearest"


def _bring(path: Path, staging: Path) -> list[str]:
    """Copies of the files of weights beside the new graph. Links would do, but readers take them for an attack."""
    files = sorted(external_files(path))
    for file in files:
        if Path(file).name != file or file in (GRAPH, CONFIG):
            raise PriorError(
                f"{path} keeps weights in {file!r}; they must lie beside it, not named {GRAPH} or {CONFIG}"
            )
        shutil.copyfile(path.parent / file, staging / file)
    return files


def _tried(path: Path, graph: Path, signature: Signature, channels: int, given: int | None) -> int:
    """Run the wrapped graph, and find what H and W must be divisible by where neither the graph nor the user says."""
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # the errors of a trial are no news
    try:
        onnx.checker.check_model(str(graph))
        runner = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # both packages have many kinds
        raise PriorError(f"{path} is not a valid ONNX graph: {str(error).splitlines()[0]}") from None
    batch = signature.batch or 2
    if signature.size is not None:
        if reason := _fault(runner, batch, channels, *signature.size):
            raise PriorError(f"{path} does not work as described: {reason}")
        return int(np.gcd(*signature.size))
    known = given or signature.multiple
    reason = None
    for multiple in (known,) if known else _MULTIPLES:
        # 3 and 5 times: sizes that are divisible by nothing larger.
        reason = _fault(runner, batch, channels, 3 * multiple, 5 * multiple)
        if reason is None:
            return multiple
    raise PriorError(
        f"{path} does not work as described (tried pictures of {3 * multiple}x{5 * multiple}): {reason}. If only the "
        "size is at fault, give multiple (--multiple), what height and width must be divisible by"
    )


def _fault(runner: Any, batch: int, channels: int, height: int, width: int) -> str | None:
    """Why one call went wrong, or None."""
    draw = np.random.default_rng(0)
    x = draw.standard_normal((batch, channels, height, width), dtype=np.float32)
    try:
        (out,) = runner.run(None, {"x": x, "sigma": np.full(batch, 0.5, np.float32)})
    except Exception as error:  # ONNX Runtime has many kinds
        return str(error).splitlines()[0][:300]
    if out.shape != x.shape:
        return f"given a picture of shape {x.shape} it answers one of shape {out.shape}"
    return None if np.isfinite(out).all() else "it answers numbers that are not finite"
