#include <string>

#include "arrays.hpp"
#include "bind.hpp"
#include "lmaps/blur.hpp"

namespace lmaps::bindings {
namespace {

Padding padding_of(const std::string& name) {
  if (name == "reflect") return Padding::reflect;
  if (name == "circular") return Padding::circular;
  if (name == "replicate") return Padding::replicate;
  if (name == "zero") return Padding::zero;
  throw py::value_error("padding must be 'reflect', 'circular', 'replicate' or 'zero', got '" + name + "'");
}

// The kernel's views, kept alive beside the description that points into them.
struct Kernel {
  View weights;
  View column;
  View row;
  BlurKernel kernel;
};

View dimensions(const py::object& array, const char* name, std::size_t count) {
  View given = view(array, name);
  if (given.shape.size() != count) {
    throw py::value_error(std::string(name) + " must have " + std::to_string(count) + " dimension(s), got shape " +
                          given.shape_text());
  }
  return given;
}

Kernel kernel_of(const py::object& kernel) {
  Kernel made;
  if (py::isinstance<py::tuple>(kernel)) {
    const auto factors = py::reinterpret_borrow<py::tuple>(kernel);
    if (factors.size() != 2) {
      throw py::value_error("kernel must be an array [h, w] or a pair (column [h], row [w]), got a tuple of " +
                            std::to_string(factors.size()));
    }
    made.column = dimensions(factors[0], "kernel[0]", 1);
    made.row = dimensions(factors[1], "kernel[1]", 1);
    made.kernel = BlurKernel::separable(made.column.floats(), made.column.shape[0], made.row.floats(), made.row.shape[0]);
  } else {
    made.weights = dimensions(kernel, "kernel", 2);
    made.kernel = BlurKernel::full(made.weights.floats(), made.weights.shape[0], made.weights.shape[1]);
  }
  return made;
}

using Apply = void (*)(const float*, float*, Shape, const BlurKernel&, Padding);

py::object apply(Apply function, const py::object& array, const char* name, const py::object& kernel,
                 const std::string& padding, const py::object& out) {
  const View from = view(array, name);
  const Shape shape = picture(from);
  const Kernel taps = kernel_of(kernel);
  const Padding edge = padding_of(padding);
  const Result to = result(out, from.shape);
  {
    const py::gil_scoped_release release;
    function(from.floats(), to.floats(), shape, taps.kernel, edge);
  }
  return to.object;
}

py::object blur_forward(const py::object& x, const py::object& kernel, const std::string& padding, const py::object& out) {
  return apply(&lmaps::blur_forward, x, "x", kernel, padding, out);
}

py::object blur_adjoint(const py::object& u, const py::object& kernel, const std::string& padding, const py::object& out) {
  return apply(&lmaps::blur_adjoint, u, "u", kernel, padding, out);
}

py::object blur_steps(const py::object& xhat, const py::object& y, const py::object& kernel, const std::string& padding,
                      double r, double k2, double eta, std::int64_t steps, const py::object& out) {
  const View start = view(xhat, "xhat"), measured = view(y, "y");
  const Shape shape = picture(start);
  same_shape(start, measured);
  const Kernel taps = kernel_of(kernel);
  const Padding edge = padding_of(padding);
  const Result x = result(out, start.shape);
  {
    const py::gil_scoped_release release;
    lmaps::blur_steps(start.floats(), measured.floats(), x.floats(), shape, taps.kernel, edge, {r, k2, eta, steps});
  }
  return x.object;
}

}  // namespace

void bind_blur(py::module_& module) {
  module.def("blur_forward", &blur_forward, py::arg("x"), py::arg("kernel"), py::arg("padding"), py::kw_only(),
             py::arg("out") = py::none(),
             "H(x)[i, j] = sum of kernel[a, b] x~[i + a - (h - 1)/2, j + b - (w - 1)/2], a cross-correlation of every plane of\n"
             "x [B, C, H, W], x~ extended by padding: 'reflect' (edge not repeated), 'circular', 'replicate' or 'zero'.\n"
             "kernel: float32 [h, w], both odd, or a pair (column [h], row [w]) whose outer product it is.");
  module.def("blur_adjoint", &blur_adjoint, py::arg("u"), py::arg("kernel"), py::arg("padding"), py::kw_only(),
             py::arg("out") = py::none(), "H^T u, exact at the borders; arguments as in blur_forward.");
  module.def("blur_steps", &blur_steps, py::arg("xhat"), py::arg("y"), py::arg("kernel"), py::arg("padding"), py::arg("r"),
             py::arg("k2"), py::arg("eta"), py::arg("steps"), py::kw_only(), py::arg("out") = py::none(),
             "The inner problem for H of blur_forward.");
}

}  // namespace lmaps::bindings
