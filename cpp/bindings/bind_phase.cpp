#include "arrays.hpp"
#include "bind.hpp"
#include "lmaps/phase.hpp"

namespace lmaps::bindings {
namespace {

py::object phase_middle(const py::object& z, const py::object& y) {
  const View spectrum = writable_view(z, "z", Element::complex64), amplitudes = view(y, "y");
  same_shape(spectrum, amplitudes);
  {
    const py::gil_scoped_release release;
    lmaps::phase_middle(static_cast<std::complex<float>*>(spectrum.data), amplitudes.floats(), spectrum.size());
  }
  return z;
}

void require(const View& given, const char* shape, std::int64_t rows, std::int64_t columns) {
  const std::vector<std::int64_t>& sides = given.shape;
  if (sides.size() != 4 || sides[2] != rows || sides[3] != columns) {
    throw py::value_error(given.name + " must be [B, C, " + shape + "] = [B, C, " + std::to_string(rows) + ", " +
                          std::to_string(columns) + "], got shape " + given.shape_text());
  }
}

py::object steps(const PhaseRetrieval& self, const py::object& xhat, const py::object& y, double r, double k2, double eta,
                 std::int64_t steps, const py::object& out) {
  const View start = view(xhat, "xhat"), moduli = view(y, "y");
  require(start, "height, width", self.height(), self.width());
  require(moduli, "fft_height // 2 + 1, fft_width", self.half(), self.across());
  const std::int64_t planes = picture(start).planes();
  if (picture(moduli).planes() != planes) {
    throw py::value_error("y must have as many planes as xhat, got shapes " + moduli.shape_text() + " and " + start.shape_text());
  }
  const Result x = result(out, start.shape);
  {
    const py::gil_scoped_release release;
    self.steps(start.floats(), moduli.floats(), x.floats(), planes, {r, k2, eta, steps});
  }
  return x.object;
}

}  // namespace

void bind_phase(py::module_& module) {
  module.def("phase_middle", &phase_middle, py::arg("z"), py::arg("y"),
             "z <- z - y z/|z| in place (z/|z| = 0 where z = 0), and z returned: what lies between the two transforms of a\n"
             "gradient step for H(x) = |A x|. z: complex64 of any shape, y: float32 of the same shape.");
  py::class_<PhaseRetrieval>(module, "PhaseRetrieval",
                             "The inner problem for H(x) = |F pad((x + 1)/2)|, F orthonormal, for pictures in the corner of a field.\n"
                             "Made once for a size; safe to share between threads.")
      .def(py::init<std::int64_t, std::int64_t, std::int64_t, std::int64_t>(), py::arg("height"), py::arg("width"),
           py::arg("fft_height"), py::arg("fft_width"), "The field's sides must be products of 2, 3 and 5.")
      .def("steps", &steps, py::arg("xhat"), py::arg("y"), py::arg("r"), py::arg("k2"), py::arg("eta"), py::arg("steps"),
           py::kw_only(), py::arg("out") = py::none(),
           "xhat [B, C, height, width]; y: the upper half [B, C, fft_height // 2 + 1, fft_width] of moduli that are even.");
}

}  // namespace lmaps::bindings
