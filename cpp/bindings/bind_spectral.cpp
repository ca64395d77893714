#include <cmath>
#include <string>

#include "arrays.hpp"
#include "bind.hpp"
#include "lmaps/spectral.hpp"

namespace lmaps::bindings {
namespace {

// A whole number, or "exact" or infinity for the minimum itself.
std::int64_t steps_of(const py::object& steps) {
  if (py::isinstance<py::str>(steps)) {
    if (steps.cast<std::string>() == "exact") return lmaps::exact;
  } else if (py::isinstance<py::float_>(steps)) {
    if (steps.cast<double>() == HUGE_VAL) return lmaps::exact;
  } else if (PyIndex_Check(steps.ptr())) {
    return steps.cast<std::int64_t>();
  }
  throw py::type_error("steps must be an integer, 'exact' or math.inf, got " + py::repr(steps).cast<std::string>());
}

py::object spectral_gain(const py::object& lam, double r, double k2, double eta, const py::object& steps,
                         const py::object& out) {
  const View eigenvalues = view(lam, "lam");
  const Inner inner{r, k2, eta, steps_of(steps)};
  const Result gain = result(out, eigenvalues.shape);
  {
    const py::gil_scoped_release release;
    lmaps::spectral_gain(eigenvalues.floats(), gain.floats(), eigenvalues.size(), inner);
  }
  return gain.object;
}

struct Coefficients {
  View c, b, lam;
  std::int64_t eigenvalues;
};

Coefficients coefficients_of(const py::object& c, const py::object& b, const py::object& lam) {
  Coefficients made{view(c, "c", true), view(b, "b", true), view(lam, "lam"), 0};
  same_shape(made.c, made.b);
  if (made.c.element != made.b.element) throw py::type_error("b must be real or complex as c is");
  made.eigenvalues = repeats_over(made.lam, made.c);
  return made;
}

py::object spectral_apply(const py::object& c, const py::object& b, const py::object& lam, const py::object& w,
                          const py::object& out) {
  const Coefficients in = coefficients_of(c, b, lam);
  const View gain = view(w, "w");
  same_shape(in.lam, gain);
  const Result to = result(out, in.c.shape, in.c.element);
  {
    const py::gil_scoped_release release;
    if (in.c.element == Element::complex64) {
      lmaps::spectral_apply(in.c.complexes(), in.b.complexes(), in.lam.floats(), gain.floats(), in.eigenvalues,
                            to.complexes(), in.c.size());
    } else {
      lmaps::spectral_apply(in.c.floats(), in.b.floats(), in.lam.floats(), gain.floats(), in.eigenvalues, to.floats(),
                            in.c.size());
    }
  }
  return to.object;
}

py::object spectral_filter(const py::object& c, const py::object& b, const py::object& lam, double r, double k2, double eta,
                           const py::object& steps, const py::object& out) {
  const Coefficients in = coefficients_of(c, b, lam);
  const Inner inner{r, k2, eta, steps_of(steps)};
  const Result to = result(out, in.c.shape, in.c.element);
  {
    const py::gil_scoped_release release;
    if (in.c.element == Element::complex64) {
      lmaps::spectral_filter(in.c.complexes(), in.b.complexes(), in.lam.floats(), in.eigenvalues, to.complexes(),
                             in.c.size(), inner);
    } else {
      lmaps::spectral_filter(in.c.floats(), in.b.floats(), in.lam.floats(), in.eigenvalues, to.floats(), in.c.size(), inner);
    }
  }
  return to.object;
}

}  // namespace

void bind_spectral(py::module_& module) {
  module.def("spectral_gain", &spectral_gain, py::arg("lam"), py::arg("r"), py::arg("k2"), py::arg("eta"), py::arg("steps"),
             py::kw_only(), py::arg("out") = py::none(),
             "w = r k2 (1 - (1 - eta m)^K) / m, m = (1 - r) + r k2 lam, for eigenvalues lam of H^T H; r k2 eta K where m = 0.\n"
             "steps = K, or 'exact' or math.inf for the limit w = r k2 / m, 0 where m = 0.");
  module.def("spectral_apply", &spectral_apply, py::arg("c"), py::arg("b"), py::arg("lam"), py::arg("w"), py::kw_only(),
             py::arg("out") = py::none(),
             "c + w (b - lam c). c, b: float32 or complex64 coefficients of xhat and of H^T y, any shape; lam, w: float32 of the\n"
             "same last dimensions, repeated over the others.");
  module.def("spectral_filter", &spectral_filter, py::arg("c"), py::arg("b"), py::arg("lam"), py::arg("r"), py::arg("k2"),
             py::arg("eta"), py::arg("steps"), py::kw_only(), py::arg("out") = py::none(),
             "spectral_apply with w = spectral_gain(lam, r, k2, eta, steps): K gradient steps at the cost of one.");
}

}  // namespace lmaps::bindings
