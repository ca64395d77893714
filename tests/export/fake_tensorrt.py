"""A FAKE of the module `tensorrt`, for tests of the code around it. It is no evidence that the real library runs.

It has the calls that lmaps makes, with the argument kinds of the 10.13 stubs, and records them. An "engine" is text that
names its profile; running one writes 0.5 x + sigma through the raw addresses it was given.
"""

from __future__ import annotations

import ctypes
import enum
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

PLAN, TIMING = b"FAKE PLAN ", b"FAKE TIMINGS "


class Severity(enum.IntEnum):
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class Creation(enum.IntEnum):
    EXPLICIT_BATCH, STRONGLY_TYPED = range(2)


class Flag(enum.IntEnum):
    TF32, VERSION_COMPATIBLE = 6, 13


class Pool(enum.IntEnum):
    WORKSPACE = 0


class Hardware(enum.IntEnum):
    NONE, AMPERE_PLUS, SAME_COMPUTE_CAPABILITY = range(3)


class Strategy(enum.IntEnum):
    STATIC, ON_PROFILE_CHANGE, USER_MANAGED = range(3)


class Mode(enum.IntEnum):
    NONE, INPUT, OUTPUT = range(3)


class DataType(enum.IntEnum):
    FLOAT, HALF = range(2)


class ILogger:
    Severity = Severity

    def log(self, severity: Severity, msg: str) -> None:
        raise NotImplementedError


class Dims(list[int]):
    pass


class Named:
    def __init__(self, name: str) -> None:
        self.name, self.text = name, name

    def desc(self) -> str:
        return self.text

    def node_operator(self) -> str:
        return "Frobnicate"


class FakeTensorRT(ModuleType):
    """Put it into sys.modules as "tensorrt". calls: (name, arguments) in order.

    graph_error, build_error: messages to fail with.  scratch: bytes a context asks for.  unloadable: plans are refused.
    """

    def __init__(self, version: str = "10.13.0.35") -> None:
        super().__init__("tensorrt")
        self.__version__ = version
        self.calls: list[tuple[str, Any]] = []
        self.graph_error = self.build_error = ""
        self.scratch, self.unloadable, self.dtype = 1024, 0, DataType.FLOAT
        self.builds = 0
        self.ILogger, self.Dims, self.DataType = ILogger, Dims, DataType
        self.NetworkDefinitionCreationFlag, self.BuilderFlag, self.MemoryPoolType = Creation, Flag, Pool
        self.HardwareCompatibilityLevel, self.TensorIOMode = Hardware, Mode
        self.ExecutionContextAllocationStrategy = Strategy

    def note(self, name: str, *arguments: Any) -> None:
        self.calls.append((name, arguments))

    def named(self, *names: str) -> list[tuple[str, Any]]:
        return [call for call in self.calls if call[0] in names]

    def Builder(self, logger: ILogger) -> Builder:
        return Builder(self, logger)

    def OnnxParser(self, network: Network, logger: ILogger) -> Parser:
        return Parser(self, network)

    def Runtime(self, logger: ILogger) -> Runtime:
        return Runtime(self, logger)


class Network:
    num_inputs = 0

    def get_input(self, index: int) -> Named:
        return Named(("x", "sigma")[index])


class Parser:
    def __init__(self, fake: FakeTensorRT, network: Network) -> None:
        self.fake, self.network = fake, network

    def parse_from_file(self, model: str) -> bool:
        assert Path(model).is_file()
        self.network.num_inputs = 2
        self.fake.note("parse", model)
        return not self.fake.graph_error

    @property
    def num_errors(self) -> int:
        return 3

    def get_error(self, index: int) -> Named:
        return Named(self.fake.graph_error)


class Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, list[list[int]]] = {}

    def set_shape(self, input: str, min: Dims, opt: Dims, max: Dims) -> None:
        assert all(isinstance(d, Dims) for d in (min, opt, max))
        self.shapes[input] = [list(min), list(opt), list(max)]


class Timing:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def serialize(self) -> memoryview:
        return memoryview(self.data)


class Config:
    def __init__(self, fake: FakeTensorRT) -> None:
        self.fake, self.profiles, self.flags, self.pools = fake, list[Profile](), {Flag.TF32}, dict[Pool, int]()
        self.builder_optimization_level, self.max_aux_streams = 3, -1
        self.hardware_compatibility_level = Hardware.NONE
        self.timing = Timing(b"")

    def set_memory_pool_limit(self, pool: Pool, pool_size: int) -> None:
        self.pools[pool] = pool_size

    def set_flag(self, flag: Flag) -> None:
        self.flags.add(flag)

    def clear_flag(self, flag: Flag) -> None:
        self.flags.discard(flag)

    def add_optimization_profile(self, profile: Profile) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def create_timing_cache(self, serialized_timing_cache: Any) -> Timing:
        return Timing(bytes(serialized_timing_cache))

    def set_timing_cache(self, cache: Timing, ignore_mismatch: bool) -> bool:
        """As the real one: it must be of this version, or empty."""
        self.fake.note("timing", cache.data, ignore_mismatch)
        if cache.data and not cache.data.startswith(TIMING + self.fake.__version__.encode()):
            return False
        self.timing = cache
        return True

    def get_timing_cache(self) -> Timing:
        return self.timing


class Builder:
    def __init__(self, fake: FakeTensorRT, logger: ILogger) -> None:
        self.fake, self.logger = fake, logger

    def create_network(self, flags: int = 0) -> Network:
        self.fake.note("network", flags)
        return Network()

    def create_builder_config(self) -> Config:
        return Config(self.fake)

    def create_optimization_profile(self) -> Profile:
        return Profile()

    def build_serialized_network(self, network: Network, config: Config) -> memoryview | None:
        self.fake.note("build", config)
        if self.fake.build_error:
            self.logger.log(Severity.ERROR, self.fake.build_error)
            return None
        self.fake.builds += 1
        config.timing.data = TIMING + f"{self.fake.__version__} after {self.fake.builds}".encode()
        (profile,) = config.profiles
        return memoryview(PLAN + json.dumps([self.fake.__version__, profile.shapes]).encode())


class Runtime:
    def __init__(self, fake: FakeTensorRT, logger: ILogger) -> None:
        self.fake, self.logger = fake, logger

    def deserialize_cuda_engine(self, serialized_engine: Any) -> Engine | None:
        plan = bytes(serialized_engine)
        self.fake.note("load", plan)
        version, shapes = json.loads(plan.removeprefix(PLAN))
        if self.fake.unloadable or version != self.fake.__version__:
            self.fake.unloadable = max(0, self.fake.unloadable - 1)
            self.logger.log(Severity.ERROR, f"engine of version {version}")
            return None
        return Engine(self.fake, shapes)


class Engine:
    num_io_tensors = 3

    def __init__(self, fake: FakeTensorRT, shapes: dict[str, list[list[int]]]) -> None:
        self.fake, self.shapes = fake, shapes

    def get_tensor_name(self, index: int) -> str:
        return ("x", "sigma", "denoised")[index]

    def get_tensor_mode(self, name: str) -> Mode:
        return Mode.OUTPUT if name == "denoised" else Mode.INPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        return self.fake.dtype

    def create_execution_context(self, strategy: Strategy) -> Context:
        self.fake.note("context", strategy)
        return Context(self)


class Context:
    def __init__(self, engine: Engine) -> None:
        self.engine, self.fake = engine, engine.fake
        self.given: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.memory = (0, 0)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        low, _, high = self.engine.shapes[name]
        self.given[name] = shape
        return all(a <= b <= c for a, b, c in zip(low, shape, high, strict=True))

    def infer_shapes(self) -> list[str]:
        return [name for name in self.engine.shapes if name not in self.given]

    def get_tensor_shape(self, name: str) -> Dims:
        return Dims(self.given["x" if name == "denoised" else name])

    def update_device_memory_size_for_shapes(self) -> int:
        assert not self.infer_shapes()
        return self.fake.scratch

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self.addresses[name] = memory
        return memory != 0

    def set_device_memory(self, memory: int, size: int) -> None:
        assert size >= self.fake.scratch
        self.memory = (memory, size)

    def execute_async_v3(self, stream_handle: int) -> bool:
        assert set(self.addresses) == {"x", "sigma", "denoised"}
        assert self.memory[0]
        self.fake.note("run", self, stream_handle)
        ctypes.memset(self.memory[0], 0xFF, self.fake.scratch)  # scratch is the engine's to write
        x, sigma, out = (self._view(name) for name in ("x", "sigma", "denoised"))
        out[...] = 0.5 * x + sigma.reshape(-1, 1, 1, 1)
        return True

    def _view(self, name: str) -> Any:
        shape = tuple(self.get_tensor_shape(name))
        memory = (ctypes.c_float * int(np.prod(shape))).from_address(self.addresses[name])
        return np.ctypeslib.as_array(memory).reshape(shape)
