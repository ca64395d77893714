#include <pybind11/stl.h>

#include <string>
#include <vector>

#include "arrays.hpp"
#include "bind.hpp"
#include "lmaps/camera.hpp"

namespace lmaps::bindings {
namespace {

using Sources = std::vector<std::int32_t>;
using Sides = std::vector<std::int64_t>;

void require(const View& given, const Sides& shape, const char* meaning) {
  if (given.shape == shape) return;
  std::string wanted;
  for (const std::int64_t side : shape) wanted += (wanted.empty() ? "" : ", ") + std::to_string(side);
  throw py::value_error(given.name + " must be " + meaning + " = [" + wanted + "], got shape " + given.shape_text());
}

CameraShake make(std::int64_t height, std::int64_t width, const Sources& rows, const Sources& columns, std::int64_t fft_height,
                 std::int64_t fft_width, const py::object& responses, const py::object& weights) {
  const View factors = view(responses, "responses", true), shares = view(weights, "weights");
  const std::int64_t shakes = factors.shape.empty() ? 0 : factors.shape[0];
  if (factors.element != Element::complex64) throw py::type_error("responses must be complex64");
  require(factors, {shakes, fft_height / 2 + 1, fft_width}, "[shakes, fft_height // 2 + 1, fft_width]");
  require(shares, {shakes, height, width}, "[shakes, height, width]");
  return CameraShake(height, width, rows, columns, fft_height, fft_width, shakes, factors.complexes(), shares.floats());
}

py::object steps(const CameraShake& self, const py::object& xhat, const py::object& y, double r, double k2, double eta,
                 std::int64_t steps, const py::object& out) {
  const View start = view(xhat, "xhat"), measured = view(y, "y");
  const Shape shape = picture(start);
  require(start, {shape.batch, shape.channels, self.height(), self.width()}, "[B, C, height, width]");
  same_shape(start, measured);
  const Result x = result(out, start.shape);
  {
    const py::gil_scoped_release release;
    self.steps(start.floats(), measured.floats(), x.floats(), shape.planes(), {r, k2, eta, steps});
  }
  return x.object;
}

}  // namespace

void bind_camera(py::module_& module) {
  py::class_<CameraShake>(module, "CameraShake",
                          "The inner problem for H(x) = clip(2 g(sum_s w_s R_s E g^-1((x + 1) / 2)) - 1, -1, 1): light that adds up\n"
                          "while a camera moves, and is shaped by the curve g of sRGB afterwards. E and R_s as in Correlation.\n"
                          "Made once for a size; safe to share between threads.")
      .def(py::init(&make), py::arg("height"), py::arg("width"), py::arg("rows"), py::arg("columns"), py::arg("fft_height"),
           py::arg("fft_width"), py::arg("responses"), py::arg("weights"),
           "rows, columns, fft_height, fft_width: as for Correlation.\n"
           "responses: complex64 [shakes, fft_height // 2 + 1, fft_width]; weights: [shakes, height, width].")
      .def("steps", &steps, py::arg("xhat"), py::arg("y"), py::arg("r"), py::arg("k2"), py::arg("eta"), py::arg("steps"),
           py::kw_only(), py::arg("out") = py::none(), "xhat, y: [B, C, height, width] in [-1, 1].");
}

}  // namespace lmaps::bindings
