#include <pybind11/stl.h>

#include <string>
#include <vector>

#include "arrays.hpp"
#include "bind.hpp"
#include "lmaps/correlation.hpp"

namespace lmaps::bindings {
namespace {

using Sources = std::vector<std::int32_t>;

Correlation make(std::int64_t height, std::int64_t width, const Sources& rows, const Sources& columns,
                 std::int64_t fft_height, std::int64_t fft_width, const py::object& response) {
  const View given = view(response, "response", true);
  if (given.element != Element::complex64 || given.shape != std::vector<std::int64_t>{fft_height / 2 + 1, fft_width}) {
    throw py::value_error("response must be complex64 of shape [fft_height // 2 + 1, fft_width] = (" +
                          std::to_string(fft_height / 2 + 1) + ", " + std::to_string(fft_width) + "), got shape " +
                          given.shape_text());
  }
  return Correlation(height, width, rows, columns, fft_height, fft_width, given.complexes());
}

std::int64_t planes_of(const Correlation& self, const View& x) {
  const Shape shape = picture(x);
  if (shape.height != self.height() || shape.width != self.width()) {
    throw py::value_error(x.name + " must be [B, C, " + std::to_string(self.height()) + ", " + std::to_string(self.width()) +
                          "], the size this correlation was made for; got shape " + x.shape_text());
  }
  return shape.planes();
}

using Apply = void (Correlation::*)(const float*, float*, std::int64_t) const;

py::object apply(const Correlation& self, Apply function, const py::object& array, const char* name, const py::object& out) {
  const View from = view(array, name);
  const std::int64_t planes = planes_of(self, from);
  const Result to = result(out, from.shape);
  {
    const py::gil_scoped_release release;
    (self.*function)(from.floats(), to.floats(), planes);
  }
  return to.object;
}

py::object forward(const Correlation& self, const py::object& x, const py::object& out) {
  return apply(self, &Correlation::forward, x, "x", out);
}

py::object adjoint(const Correlation& self, const py::object& u, const py::object& out) {
  return apply(self, &Correlation::adjoint, u, "u", out);
}

py::object normal(const Correlation& self, const py::object& x, const py::object& out) {
  return apply(self, &Correlation::normal, x, "x", out);
}

py::object series(const Correlation& self, const py::object& g, const std::vector<float>& coefficients, double bound,
                  const py::object& out) {
  const View from = view(g, "g");
  const std::int64_t planes = planes_of(self, from);
  const Result to = result(out, from.shape);
  {
    const py::gil_scoped_release release;
    self.series(from.floats(), to.floats(), planes, coefficients.data(), static_cast<std::int64_t>(coefficients.size()), bound);
  }
  return to.object;
}

}  // namespace

void bind_correlation(py::module_& module) {
  py::class_<Correlation>(module, "Correlation",
                          "H = C R E: E extends a plane beyond its edges, R correlates it circularly with a kernel of any size by\n"
                          "Fourier transforms, C keeps the plane's own corner. Made once for a size; safe to share between threads.")
      .def(py::init(&make), py::arg("height"), py::arg("width"), py::arg("rows"), py::arg("columns"), py::arg("fft_height"),
           py::arg("fft_width"), py::arg("response"),
           "rows, columns: for each row and column of the extended plane, the one of the plane that it copies, -1 for zero.\n"
           "fft_height, fft_width: sides of the transforms, products of 2, 3 and 5.\n"
           "response: by what the extended plane's transform is multiplied, complex64 [fft_height // 2 + 1, fft_width].")
      .def("forward", &forward, py::arg("x"), py::kw_only(), py::arg("out") = py::none(), "H x, for x [B, C, H, W].")
      .def("adjoint", &adjoint, py::arg("u"), py::kw_only(), py::arg("out") = py::none(), "H^T u.")
      .def("normal", &normal, py::arg("x"), py::kw_only(), py::arg("out") = py::none(), "H^T H x.")
      .def("series", &series, py::arg("g"), py::arg("coefficients"), py::arg("bound"), py::kw_only(),
           py::arg("out") = py::none(),
           "sum_j coefficients[j] V_j(Z) g, Z = 2 H^T H / bound - 1; V_0 = 1, V_1 = 2 Z - 1, V_(j+1) = 2 Z V_j - V_(j-1).");
}

}  // namespace lmaps::bindings
