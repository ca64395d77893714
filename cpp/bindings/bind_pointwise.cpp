#include <string>

#include "arrays.hpp"
#include "bind.hpp"
#include "lmaps/pointwise.hpp"

namespace lmaps::bindings {
namespace {

py::object mask_steps(const py::object& xhat, const py::object& y, const py::object& mask, double r, double k2, double eta,
                      std::int64_t steps, const py::object& out) {
  const View start = view(xhat, "xhat"), measured = view(y, "y"), factor = view(mask, "mask");
  const Shape shape = picture(start);
  same_shape(start, measured);
  const std::int64_t count = repeats_over(factor, start);
  const Result x = result(out, start.shape);
  {
    const py::gil_scoped_release release;
    lmaps::mask_steps(start.floats(), measured.floats(), factor.floats(), count, x.floats(), shape, {r, k2, eta, steps});
  }
  return x.object;
}

Gradient gradient_of(const std::string& name) {
  if (name == "exact") return Gradient::clip;
  if (name == "surrogate") return Gradient::surrogate;
  throw py::value_error("gradient must be 'exact' or 'surrogate', got '" + name + "'");
}

py::object hdr_steps(const py::object& xhat, const py::object& y, double scale, double r, double k2, double eta,
                     std::int64_t steps, const std::string& gradient, const py::object& out) {
  const View start = view(xhat, "xhat"), measured = view(y, "y");
  const Shape shape = picture(start);
  same_shape(start, measured);
  const Gradient kind = gradient_of(gradient);
  const Result x = result(out, start.shape);
  {
    const py::gil_scoped_release release;
    lmaps::hdr_steps(start.floats(), measured.floats(), x.floats(), shape, scale, kind, {r, k2, eta, steps});
  }
  return x.object;
}

py::object quantize_steps(const py::object& xhat, const py::object& y, int bits, double r, double k2, double eta,
                          std::int64_t steps, const py::object& out) {
  const View start = view(xhat, "xhat"), measured = view(y, "y");
  const Shape shape = picture(start);
  same_shape(start, measured);
  const Result x = result(out, start.shape);
  {
    const py::gil_scoped_release release;
    lmaps::quantize_steps(start.floats(), measured.floats(), x.floats(), shape, bits, {r, k2, eta, steps});
  }
  return x.object;
}

}  // namespace

void bind_pointwise(py::module_& module) {
  module.def("mask_steps", &mask_steps, py::arg("xhat"), py::arg("y"), py::arg("mask"), py::arg("r"), py::arg("k2"), py::arg("eta"),
             py::arg("steps"), py::kw_only(), py::arg("out") = py::none(),
             "The inner problem for H(x) = mask * x. xhat, y: [B, C, H, W]; mask: [H, W], [C, H, W] or [B, C, H, W], any of\n"
             "them behind leading ones.");
  module.def("hdr_steps", &hdr_steps, py::arg("xhat"), py::arg("y"), py::arg("scale"), py::arg("r"), py::arg("k2"),
             py::arg("eta"), py::arg("steps"), py::kw_only(), py::arg("gradient") = "exact", py::arg("out") = py::none(),
             "The inner problem for H(x) = clip(scale * x, -1, 1). gradient: 'exact' takes J = scale where -1 <= scale x <= 1\n"
             "and 0 elsewhere, 'surrogate' takes J = I (Eq. 17).");
  module.def("quantize_steps", &quantize_steps, py::arg("xhat"), py::arg("y"), py::arg("bits"), py::arg("r"), py::arg("k2"),
             py::arg("eta"), py::arg("steps"), py::kw_only(), py::arg("out") = py::none(),
             "The inner problem for H(x) = 2 floor((x + 1) / 2 L + 1/2) / L - 1, L = 2^bits - 1, with J = I (Eq. 17, 32).");
}

}  // namespace lmaps::bindings
