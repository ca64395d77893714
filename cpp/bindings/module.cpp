#include "bind.hpp"

PYBIND11_MODULE(_native, module, pybind11::mod_gil_not_used()) {
  module.doc() =
      "The fused steps for the CPU: thin bindings of the C++ library lmaps_core.\n\n"
      "Arrays are NumPy arrays or CPU tensors that support DLPack (torch), float32 unless said otherwise, contiguous; they are\n"
      "read and written in place of being copied. Every function takes out=, an array of the result's shape that shares no\n"
      "memory with the inputs, and returns it; without it the result is a new NumPy array. The GIL is released while a\n"
      "function works. Bad arguments raise ValueError or TypeError naming the argument.\n\n"
      "The inner problem, taken `steps` plain gradient steps from x = xhat (Eq. 13 of the paper):\n"
      "    g = (1 - r) (x - xhat) + r k2 J^T (H(x) - y),    x <- x - eta g";
  lmaps::bindings::bind_runtime(module);
  lmaps::bindings::bind_noise(module);
  lmaps::bindings::bind_pointwise(module);
  lmaps::bindings::bind_jpeg(module);
  lmaps::bindings::bind_blur(module);
  lmaps::bindings::bind_camera(module);
  lmaps::bindings::bind_correlation(module);
  lmaps::bindings::bind_phase(module);
  lmaps::bindings::bind_spectral(module);
}
