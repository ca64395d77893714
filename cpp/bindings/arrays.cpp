#include "arrays.hpp"

#include "dlpack.hpp"

namespace lmaps::bindings {
namespace {

std::string text_of(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

[[noreturn]] void bad_value(const std::string& name, const std::string& what) { throw py::value_error(name + " " + what); }
[[noreturn]] void bad_type(const std::string& name, const std::string& what) { throw py::type_error(name + " " + what); }

constexpr const char* kContiguous = "must be contiguous in row-major order; pass numpy.ascontiguousarray(...) or .contiguous()";

[[noreturn]] void wrong_element(const std::string& name, bool complex_too, const std::string& got) {
  bad_type(name, std::string("must hold ") + (complex_too ? "float32 or complex64" : "float32") + ", got " + got +
                     "; nothing is converted silently");
}

void view_numpy(View& view, const py::array& array, bool complex_too) {
  if (py::isinstance<py::array_t<float>>(array)) {
    view.element = Element::float32;
  } else if (complex_too && py::isinstance<py::array_t<std::complex<float>>>(array)) {
    view.element = Element::complex64;
  } else {
    wrong_element(view.name, complex_too, py::str(array.dtype()));
  }
  if (!(array.flags() & py::array::c_style)) bad_value(view.name, kContiguous);
  if (!(array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_)) bad_value(view.name, "must be aligned; pass a copy");
  view.shape.assign(array.shape(), array.shape() + array.ndim());
  view.data = const_cast<void*>(array.data());
  view.owner = array;
}

bool row_major(const dlpack::Tensor& tensor) {
  if (tensor.strides == nullptr) return true;
  std::int64_t expected = 1;
  for (int i = tensor.dimensions - 1; i >= 0; --i) {
    if (tensor.shape[i] != 1 && tensor.strides[i] != expected) return false;
    expected *= tensor.shape[i];
  }
  return true;
}

// The capsule is left unconsumed: its own destructor gives the tensor back when the view ends.
py::object capsule_of(const View& view, const py::object& object) {
  try {
    const auto device = object.attr("__dlpack_device__")().cast<py::tuple>();
    const auto type = py::int_(device[0]).cast<std::int32_t>();
    if (type != dlpack::kCpu && type != dlpack::kCudaHost) {
      bad_value(view.name, "must be in the processor's memory, got a tensor on DLPack device type " + std::to_string(type) +
                               "; move it with .cpu()");
    }
    return object.attr("__dlpack__")();
  } catch (const py::error_already_set& error) {
    bad_value(view.name, std::string("cannot be read through DLPack: ") + error.what());
  }
}

void view_dlpack(View& view, const py::object& object, bool complex_too) {
  view.owner = capsule_of(view, object);
  auto* tensor = static_cast<dlpack::Tensor*>(PyCapsule_GetPointer(view.owner.ptr(), "dltensor"));
  if (tensor == nullptr) {
    PyErr_Clear();
    bad_type(view.name, "gives no DLPack capsule of version 0 (\"dltensor\")");
  }
  const dlpack::DataType type = tensor->type;
  if (type.code == dlpack::kFloat && type.bits == 32 && type.lanes == 1) {
    view.element = Element::float32;
  } else if (complex_too && type.code == dlpack::kComplex && type.bits == 64 && type.lanes == 1) {
    view.element = Element::complex64;
  } else {
    wrong_element(view.name, complex_too,
                  "DLPack type code " + std::to_string(type.code) + " of " + std::to_string(type.bits) + " bits");
  }
  if (!row_major(*tensor)) bad_value(view.name, kContiguous);
  view.shape.assign(tensor->shape, tensor->shape + tensor->dimensions);
  view.data = static_cast<char*>(tensor->data) + tensor->byte_offset;
}

}  // namespace

std::int64_t View::size() const {
  std::int64_t count = 1;
  for (const std::int64_t side : shape) count *= side;
  return count;
}

std::string View::shape_text() const { return text_of(shape); }

View view(const py::object& object, const char* name, bool complex_too) {
  View view;
  view.name = name;
  if (py::isinstance<py::array>(object)) {
    view_numpy(view, py::reinterpret_borrow<py::array>(object), complex_too);
  } else if (py::hasattr(object, "__dlpack__") && py::hasattr(object, "__dlpack_device__")) {
    view_dlpack(view, object, complex_too);
  } else {
    bad_type(name, "must be a NumPy array or a CPU tensor that supports DLPack, got " +
                       py::str(py::type::of(object).attr("__name__")).cast<std::string>());
  }
  if (view.size() == 0) bad_value(name, "must not be empty, got shape " + view.shape_text());
  return view;
}

View writable_view(const py::object& object, const char* name, Element element) {
  View given = view(object, name, element == Element::complex64);
  if (given.element != element) bad_type(name, "must hold complex64, got float32");
  if (py::isinstance<py::array>(object) && !py::reinterpret_borrow<py::array>(object).writeable()) bad_value(name, "is read-only");
  return given;
}

Result result(const py::object& out, const std::vector<std::int64_t>& shape, Element element) {
  if (out.is_none()) {
    py::array array(py::dtype(element == Element::float32 ? "float32" : "complex64"), shape);
    void* const data = array.mutable_data();
    return {std::move(array), data};
  }
  const View given = writable_view(out, "out", element);
  if (given.shape != shape) bad_value("out", "must have shape " + text_of(shape) + ", got " + given.shape_text());
  return {out, given.data};
}

void same_shape(const View& a, const View& b) {
  if (a.shape != b.shape) {
    bad_value(b.name, "must have the shape of " + a.name + ", " + a.shape_text() + ", got " + b.shape_text());
  }
}

Shape picture(const View& x) {
  if (x.shape.size() != 4) bad_value(x.name, "must have shape [B, C, H, W], got " + x.shape_text());
  return {x.shape[0], x.shape[1], x.shape[2], x.shape[3]};
}

std::int64_t repeats_over(const View& factor, const View& full) {
  std::size_t first = 0;
  while (first < factor.shape.size() && factor.shape[first] == 1) ++first;
  const std::size_t kept = factor.shape.size() - first;
  bool fits = kept <= full.shape.size();
  for (std::size_t i = 0; fits && i < kept; ++i) {
    fits = factor.shape[first + i] == full.shape[full.shape.size() - kept + i];
  }
  if (!fits) {
    bad_value(factor.name, "must have the last dimensions of " + full.name + ", " + full.shape_text() + ", got " +
                               factor.shape_text());
  }
  return factor.size();
}

std::uint32_t word(const char* name, std::int64_t value) {
  if (value < 0 || value > 0xFFFFFFFFll) bad_value(name, "must be in [0, 2^32), got " + std::to_string(value));
  return static_cast<std::uint32_t>(value);
}

}  // namespace lmaps::bindings
