"""An ONNX graph opened by ONNX Runtime on a GPU, run in memory and on a stream the caller gives.

Three ways: its CUDA provider, its TensorRT provider (needs NVIDIA's TensorRT), and the TensorRT-RTX plug-in, a package of
its own. Nothing falls back: a session that would put a node on the CPU, or that came up with another provider than the
one asked for, is refused.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .external_data import GraphError, check_external_data
from .profiles import Shapes, format_shapes

Provider = Literal["cuda", "tensorrt", "tensorrt-rtx"]

CUDA, TENSORRT, RTX = "CUDAExecutionProvider", "TensorrtExecutionProvider", "NvTensorRTRTXExecutionProvider"
NAMES: dict[Provider, str] = {"cuda": CUDA, "tensorrt": TENSORRT, "tensorrt-rtx": RTX}
_PLUGIN = "onnxruntime-ep-nv-tensorrt-rtx-cu13"
_GPU_BUILD = 'pip install onnxruntime-gpu in the place of onnxruntime (see "lmaps-engine[gpu]")'
_WITHOUT_WAITING = {"disable_synchronize_execution_providers": "1"}


class OnnxRuntimeGPUGraph:
    """One session on one GPU, for one set of shapes, on one stream. `enqueue` serves one thread at a time.

    device: the CUDA device's number.  stream: of the GPU, not the default one, which ONNX Runtime takes for none; it must
    outlive the session.  engines: a folder of our own where TensorRT's engines or compiled kernels are kept and looked
    for; None for nowhere.
    Raises ImportError where a package is missing, GraphError for a graph that does not run wholly on the provider.
    """

    def __init__(
        self, path: Path, shapes: Shapes, *, provider: Provider, device: int, stream: int, engines: Path | None = None
    ) -> None:
        import onnxruntime

        check_external_data(path)
        if not stream:
            raise ValueError("stream must not be the default one (0): ONNX Runtime would use a stream of its own")
        name = NAMES[provider]
        settings = provider_settings(provider, device, stream, shapes, engines)
        options = _options(path, shapes)
        providers: Any = [(name, settings)]
        if provider == "tensorrt-rtx":
            options.add_provider_for_devices([_plugin_device(device)], settings)
            providers = None
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=providers, enable_fallback=0)
        except Exception as error:
            raise GraphError(f"ONNX Runtime cannot open {path} with {name}: {error}") from error
        if not session.get_providers() or session.get_providers()[0] != name:
            raise GraphError(f"ONNX Runtime opened {path} with {session.get_providers()}, not with {name}")
        self._session, self._device, self._shapes = session, device, dict(shapes)
        self._output = session.get_outputs()[0].name
        self._run_options = onnxruntime.RunOptions()
        for key, value in _WITHOUT_WAITING.items():
            self._run_options.add_run_config_entry(key, value)
        self.version: str = onnxruntime.__version__

    def enqueue(self, inputs: Mapping[str, int], out: int, out_shape: tuple[int, ...]) -> None:
        """Put one run on the session's stream and return.

        inputs: device memory of every input, contiguous float32 in the session's shapes, by name; out: of the first
        output. All of it must stay as it is until the stream has passed this run.
        """
        binding = self._session.io_binding()
        for name, address in inputs.items():
            binding.bind_input(name, "cuda", self._device, np.float32, self._shapes[name], address)
        binding.bind_output(self._output, "cuda", self._device, np.float32, out_shape, out)
        self._session.run_with_iobinding(binding, self._run_options)


def provider_settings(
    provider: Provider, device: int, stream: int, shapes: Shapes, engines: Path | None
) -> dict[str, str]:
    """The provider's options, as text. Sources: ONNX Runtime's pages of the CUDA and the TensorRT provider, and the
    option list that comes with the plug-in.

    CUDA:          cuDNN tries every convolution algorithm; full float32 products; memory grows by what is asked for.
    TensorRT:      types as the graph has them; one fixed shape; no auxiliary streams.
    TensorRT-RTX:  one fixed shape; the compiled kernels are kept in `engines`.
    """
    common = {"user_compute_stream": str(stream)}
    if provider == "cuda":
        return {
            **common,
            "device_id": str(device),
            "cudnn_conv_algo_search": "EXHAUSTIVE",
            "cudnn_conv_use_max_workspace": "1",
            "use_tf32": "0",
            "arena_extend_strategy": "kSameAsRequested",
        }
    text = format_shapes(shapes)
    if provider == "tensorrt":
        kept = {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(engines)} if engines else {}
        return {
            **common,
            "device_id": str(device),
            "trt_fp16_enable": "0",
            "trt_bf16_enable": "0",
            "trt_auxiliary_streams": "0",
            "trt_profile_min_shapes": text,
            "trt_profile_opt_shapes": text,
            "trt_profile_max_shapes": text,
            **kept,
        }
    # The plug-in separates inputs by semicolons.
    text = ";".join(format_shapes({name: shape}) for name, shape in sorted(shapes.items()))
    kept = {"nv_runtime_cache_path": str(engines)} if engines else {}
    return {
        **common,
        "has_user_compute_stream": "1",
        "nv_profile_min_shapes": text,
        "nv_profile_opt_shapes": text,
        "nv_profile_max_shapes": text,
        **kept,
    }


def missing(provider: Provider) -> str | None:
    """Why the provider cannot be used in this process, or None. The plug-in is loaded to find out."""
    try:
        import onnx  # noqa: F401
        import onnxruntime
    except ImportError as error:
        return f"{error.name} cannot be imported ({error}); {_GPU_BUILD}"
    if provider != "tensorrt-rtx":
        if NAMES[provider] in onnxruntime.get_available_providers():
            return None
        return f"this onnxruntime {onnxruntime.__version__} was built without {NAMES[provider]}; {_GPU_BUILD}"
    try:
        devices = _plugin_devices()
    except ImportError as error:
        return f"the plug-in cannot be imported ({error}); pip install {_PLUGIN}"
    except Exception as error:  # whatever the loader of a foreign library raises
        return f"the plug-in cannot be loaded ({error}); it needs an NVIDIA driver for CUDA 13"
    if not devices:
        return "the plug-in lists no GPU here: it takes compute capability 8.6, 8.9, and 12.0 and newer"
    return None


def versions(provider: Provider) -> dict[str, str]:
    """Of everything whose change makes compiled engines stale."""
    import onnxruntime

    found = {"onnxruntime": onnxruntime.__version__}
    packages = {"tensorrt": ("tensorrt", "tensorrt-cu12", "tensorrt-cu13"), "tensorrt-rtx": (_PLUGIN,), "cuda": ()}
    for package in packages[provider]:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def _options(path: Path, shapes: Shapes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    # With every size known, arithmetic on shapes is folded away; it is what providers leave to the CPU.
    fix_shapes(options, path, shapes)
    return options


def fix_shapes(options: Any, path: Path, shapes: Shapes) -> None:
    """Give the free dimensions of the graph's inputs their values. Raises GraphError where a shape does not fit."""
    import onnx

    for value in onnx.load(str(path), load_external_data=False).graph.input:
        dims, shape = value.type.tensor_type.shape.dim, shapes.get(value.name, ())
        fixed = [dim.dim_value or size for dim, size in zip(dims, shape, strict=False)]
        if len(dims) != len(shape) or fixed != list(shape):
            wanted = [dim.dim_param or dim.dim_value for dim in dims]
            raise GraphError(f"{value.name} of {path} is {wanted}; it cannot have the shape {shape}")
        for dim, size in zip(dims, shape, strict=True):
            if dim.dim_param:
                options.add_free_dimension_override_by_name(dim.dim_param, size)


@cache
def _registered() -> str:
    """Make the plug-in known to ONNX Runtime, once for the process; its provider's name."""
    import onnxruntime
    import onnxruntime_ep_nv_tensorrt_rtx as plugin  # type: ignore[import-not-found]

    name: str = plugin.get_ep_name()
    onnxruntime.register_execution_provider_library(name, plugin.get_library_path())
    return name


def _plugin_devices() -> list[Any]:
    import onnxruntime

    name = _registered()
    return [device for device in onnxruntime.get_ep_devices() if device.ep_name == name]


def _plugin_device(number: int) -> Any:
    """The plug-in lists GPUs in CUDA's order."""
    devices = _plugin_devices()
    if number >= len(devices):
        raise GraphError(f"the TensorRT-RTX plug-in lists {len(devices)} GPU(s); number {number} was asked for")
    return devices[number]
