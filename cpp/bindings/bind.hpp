#pragma once

#include <pybind11/pybind11.h>

namespace lmaps::bindings {

void bind_runtime(pybind11::module_& module);
void bind_noise(pybind11::module_& module);
void bind_pointwise(pybind11::module_& module);
void bind_jpeg(pybind11::module_& module);
void bind_blur(pybind11::module_& module);
void bind_camera(pybind11::module_& module);
void bind_correlation(pybind11::module_& module);
void bind_phase(pybind11::module_& module);
void bind_spectral(pybind11::module_& module);

}  // namespace lmaps::bindings
