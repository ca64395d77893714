"""An ONNX graph to a serialised TensorRT engine.

Networks are strongly typed: TensorRT computes in the types the graph says, so precision is chosen by exporting another
graph, never by a builder flag. Auxiliary streams are off: everything an engine does is on the stream it is given, which
is what a CUDA graph captures.

Written to the public Python API of TensorRT 10.13 (type-checked against it) and its migration guide to 11.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from .external_data import GraphError, check_external_data
from .profiles import Profile
from .tensorrt_library import listen, logger, refusal

if TYPE_CHECKING:
    import tensorrt as trt

HardwareCompatibility = Literal["none", "ampere-plus", "same-capability"]


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """How an engine is built.

    workspace: bytes a layer's tactic may use for itself; 0 for all that the GPU has.
    level:     0 (builds fast) .. 5 (tries everything).  tf32: round float32 products to TF32's 10 bits.
    version_compatible, hardware_compatible: also runs with other versions or on other GPUs, and slower.
    """

    workspace: int = 0
    level: int = 3
    tf32: bool = False
    version_compatible: bool = False
    hardware_compatible: HardwareCompatibility = "none"

    def __post_init__(self) -> None:
        if self.workspace < 0:
            raise ValueError(f"workspace must be a number of bytes, or 0 for all there is, got {self.workspace}")
        if not 0 <= self.level <= 5:
            raise ValueError(f"level must be 0 to 5, got {self.level}")
        if self.hardware_compatible not in ("none", "ampere-plus", "same-capability"):
            raise ValueError(
                f"hardware_compatible must be none, ampere-plus or same-capability, got {self.hardware_compatible!r}"
            )


class Plan(NamedTuple):
    """A serialised engine, and the timing cache with what its build has measured."""

    engine: bytes
    timing: bytes


def build(graph: Path, profile: Profile, settings: BuildSettings, timing: bytes | memoryview = b"") -> Plan:
    """Build on torch's, that is the calling thread's, current CUDA device. Takes minutes.

    timing: the cache of an earlier build on the same kind of GPU with the same TensorRT, or nothing.
    Raises GraphError for a graph TensorRT cannot take, TensorRTError where it finds no implementation.
    """
    import tensorrt as trt

    check_external_data(graph)
    listen()
    builder = trt.Builder(logger())
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    _parse(network, graph)
    config = builder.create_builder_config()
    _configure(config, settings)
    _add_profile(builder, network, config, profile)
    known = config.create_timing_cache(timing)
    if not config.set_timing_cache(known, ignore_mismatch=False):
        # Made by another version or on another GPU: of no use, and no reason to stop.
        config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise refusal(f"TensorRT cannot build {graph.name} for {profile.facts()['opt']}")
    return Plan(bytes(engine), bytes(config.get_timing_cache().serialize()))


def _parse(network: trt.INetworkDefinition, graph: Path) -> None:
    import tensorrt as trt

    parser = trt.OnnxParser(network, logger())
    if not parser.parse_from_file(str(graph)):
        errors = [parser.get_error(i) for i in range(parser.num_errors)]
        said = dict.fromkeys(f"{error.node_operator()}: {error.desc()}" for error in errors)
        raise GraphError(f"TensorRT cannot read {graph}: {'; '.join(said)}")


def _configure(config: trt.IBuilderConfig, settings: BuildSettings) -> None:
    import tensorrt as trt

    if settings.workspace:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace)
    config.builder_optimization_level = settings.level
    config.max_aux_streams = 0
    if not settings.tf32:
        config.clear_flag(trt.BuilderFlag.TF32)
    if settings.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if settings.hardware_compatible != "none":
        levels = trt.HardwareCompatibilityLevel
        config.hardware_compatibility_level = (
            levels.AMPERE_PLUS if settings.hardware_compatible == "ampere-plus" else levels.SAME_COMPUTE_CAPABILITY
        )


def _add_profile(
    builder: trt.Builder, network: trt.INetworkDefinition, config: trt.IBuilderConfig, profile: Profile
) -> None:
    import tensorrt as trt

    names = {network.get_input(i).name for i in range(network.num_inputs)}
    if names != set(profile.opt):
        raise GraphError(f"the graph's inputs are {sorted(names)}; the profile has shapes for {sorted(profile.opt)}")
    shapes = builder.create_optimization_profile()
    for name in names:
        low, middle, high = (trt.Dims(list(wanted[name])) for wanted in (profile.min, profile.opt, profile.max))
        shapes.set_shape(name, low, middle, high)
    if config.add_optimization_profile(shapes) < 0:
        raise refusal(f"TensorRT does not accept the shapes {profile.facts()}")
