"""The fused steps for the CPU (C++, cpp/bindings). help(lmaps._native.<name>) gives the formulas.

Arrays are NumPy arrays or CPU tensors that support DLPack, contiguous, never converted. `out` must share no memory with the
inputs; it is returned. Without it the result is a new NumPy array.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, Protocol, SupportsIndex, TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

class _SupportsDLPack(Protocol):
    def __dlpack__(self, *args: Any, **kwargs: Any) -> Any: ...
    def __dlpack_device__(self) -> tuple[Any, Any]: ...

_Array: TypeAlias = NDArray[Any] | _SupportsDLPack
_Out = TypeVar("_Out", bound=_Array)
_Steps: TypeAlias = SupportsIndex | Literal["exact"] | float
_Padding: TypeAlias = Literal["reflect", "circular", "replicate", "zero"]
_Kernel: TypeAlias = _Array | tuple[_Array, _Array]
_Sampling: TypeAlias = Literal["4:4:4", "4:2:2", "4:2:0", "4:4:0", "4:1:1"]
_Chroma: TypeAlias = Literal["decimate", "average"]
_Float32: TypeAlias = NDArray[np.float32]

def isa() -> str: ...
def available_isas() -> list[str]: ...
def force_isa(name: str) -> None: ...
def threads() -> int: ...
def set_threads(count: int) -> None: ...
def philox_words(
    blocks: int, seed: SupportsIndex, step: int, stream: int, *, first: int = 0, top: int = 0
) -> NDArray[np.uint32]: ...
@overload
def normal(count: int, seed: SupportsIndex, step: int, stream: int, *, out: None = None) -> _Float32: ...
@overload
def normal(count: int, seed: SupportsIndex, step: int, stream: int, *, out: _Out) -> _Out: ...
@overload
def transition(
    x0: _Array,
    x: _Array,
    sigma: float,
    sigma_next: float,
    rho: float,
    seeds: Iterable[SupportsIndex],
    step: int,
    *,
    out: None = None,
) -> _Float32: ...
@overload
def transition(
    x0: _Array,
    x: _Array,
    sigma: float,
    sigma_next: float,
    rho: float,
    seeds: Iterable[SupportsIndex],
    step: int,
    *,
    out: _Out,
) -> _Out: ...
@overload
def mask_steps(
    xhat: _Array, y: _Array, mask: _Array, r: float, k2: float, eta: float, steps: int, *, out: None = None
) -> _Float32: ...
@overload
def mask_steps(
    xhat: _Array, y: _Array, mask: _Array, r: float, k2: float, eta: float, steps: int, *, out: _Out
) -> _Out: ...
@overload
def hdr_steps(
    xhat: _Array,
    y: _Array,
    scale: float,
    r: float,
    k2: float,
    eta: float,
    steps: int,
    *,
    gradient: Literal["exact", "surrogate"] = "exact",
    out: None = None,
) -> _Float32: ...
@overload
def hdr_steps(
    xhat: _Array,
    y: _Array,
    scale: float,
    r: float,
    k2: float,
    eta: float,
    steps: int,
    *,
    gradient: Literal["exact", "surrogate"] = "exact",
    out: _Out,
) -> _Out: ...
@overload
def quantize_steps(
    xhat: _Array, y: _Array, bits: int, r: float, k2: float, eta: float, steps: int, *, out: None = None
) -> _Float32: ...
@overload
def quantize_steps(
    xhat: _Array, y: _Array, bits: int, r: float, k2: float, eta: float, steps: int, *, out: _Out
) -> _Out: ...
@overload
def jpeg_steps(
    xhat: _Array,
    y: _Array,
    luma_table: _Array,
    chroma_table: _Array | None,
    sampling: _Sampling,
    r: float,
    k2: float,
    eta: float,
    steps: int,
    *,
    chroma: _Chroma = "decimate",
    out: None = None,
) -> _Float32: ...
@overload
def jpeg_steps(
    xhat: _Array,
    y: _Array,
    luma_table: _Array,
    chroma_table: _Array | None,
    sampling: _Sampling,
    r: float,
    k2: float,
    eta: float,
    steps: int,
    *,
    chroma: _Chroma = "decimate",
    out: _Out,
) -> _Out: ...
@overload
def jpeg_forward(
    x: _Array,
    luma_table: _Array,
    chroma_table: _Array | None,
    sampling: _Sampling,
    *,
    chroma: _Chroma = "decimate",
    out: None = None,
) -> _Float32: ...
@overload
def jpeg_forward(
    x: _Array,
    luma_table: _Array,
    chroma_table: _Array | None,
    sampling: _Sampling,
    *,
    chroma: _Chroma = "decimate",
    out: _Out,
) -> _Out: ...
@overload
def blur_forward(x: _Array, kernel: _Kernel, padding: _Padding, *, out: None = None) -> _Float32: ...
@overload
def blur_forward(x: _Array, kernel: _Kernel, padding: _Padding, *, out: _Out) -> _Out: ...
@overload
def blur_adjoint(u: _Array, kernel: _Kernel, padding: _Padding, *, out: None = None) -> _Float32: ...
@overload
def blur_adjoint(u: _Array, kernel: _Kernel, padding: _Padding, *, out: _Out) -> _Out: ...
@overload
def blur_steps(
    xhat: _Array,
    y: _Array,
    kernel: _Kernel,
    padding: _Padding,
    r: float,
    k2: float,
    eta: float,
    steps: int,
    *,
    out: None = None,
) -> _Float32: ...
@overload
def blur_steps(
    xhat: _Array,
    y: _Array,
    kernel: _Kernel,
    padding: _Padding,
    r: float,
    k2: float,
    eta: float,
    steps: int,
    *,
    out: _Out,
) -> _Out: ...

class Correlation:
    def __init__(
        self,
        height: int,
        width: int,
        rows: Sequence[int],
        columns: Sequence[int],
        fft_height: int,
        fft_width: int,
        response: _Array,
    ) -> None: ...
    @overload
    def forward(self, x: _Array, *, out: None = None) -> _Float32: ...
    @overload
    def forward(self, x: _Array, *, out: _Out) -> _Out: ...
    @overload
    def adjoint(self, u: _Array, *, out: None = None) -> _Float32: ...
    @overload
    def adjoint(self, u: _Array, *, out: _Out) -> _Out: ...
    @overload
    def normal(self, x: _Array, *, out: None = None) -> _Float32: ...
    @overload
    def normal(self, x: _Array, *, out: _Out) -> _Out: ...
    @overload
    def series(self, g: _Array, coefficients: Sequence[float], bound: float, *, out: None = None) -> _Float32: ...
    @overload
    def series(self, g: _Array, coefficients: Sequence[float], bound: float, *, out: _Out) -> _Out: ...

class CameraShake:
    def __init__(
        self,
        height: int,
        width: int,
        rows: Sequence[int],
        columns: Sequence[int],
        fft_height: int,
        fft_width: int,
        responses: _Array,
        weights: _Array,
    ) -> None: ...
    @overload
    def steps(
        self, xhat: _Array, y: _Array, r: float, k2: float, eta: float, steps: int, *, out: None = None
    ) -> _Float32: ...
    @overload
    def steps(self, xhat: _Array, y: _Array, r: float, k2: float, eta: float, steps: int, *, out: _Out) -> _Out: ...

class PhaseRetrieval:
    def __init__(self, height: int, width: int, fft_height: int, fft_width: int) -> None: ...
    @overload
    def steps(
        self, xhat: _Array, y: _Array, r: float, k2: float, eta: float, steps: int, *, out: None = None
    ) -> _Float32: ...
    @overload
    def steps(self, xhat: _Array, y: _Array, r: float, k2: float, eta: float, steps: int, *, out: _Out) -> _Out: ...

@overload
def spectral_gain(lam: _Array, r: float, k2: float, eta: float, steps: _Steps, *, out: None = None) -> _Float32: ...
@overload
def spectral_gain(lam: _Array, r: float, k2: float, eta: float, steps: _Steps, *, out: _Out) -> _Out: ...
@overload
def spectral_apply(c: _Array, b: _Array, lam: _Array, w: _Array, *, out: None = None) -> NDArray[Any]: ...
@overload
def spectral_apply(c: _Array, b: _Array, lam: _Array, w: _Array, *, out: _Out) -> _Out: ...
@overload
def spectral_filter(
    c: _Array, b: _Array, lam: _Array, r: float, k2: float, eta: float, steps: _Steps, *, out: None = None
) -> NDArray[Any]: ...
@overload
def spectral_filter(
    c: _Array, b: _Array, lam: _Array, r: float, k2: float, eta: float, steps: _Steps, *, out: _Out
) -> _Out: ...
def phase_middle(z: _Out, y: _Array) -> _Out: ...
