// Borrowed views of NumPy arrays and of anything that speaks DLPack (torch CPU tensors): no copy, no silent conversion.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <complex>
#include <cstdint>
#include <string>
#include <vector>

#include "lmaps/types.hpp"

namespace lmaps::bindings {

namespace py = pybind11;

enum class Element { float32, complex64 };

// An array that somebody else owns, kept alive for as long as the view is.
struct View {
  std::string name;
  void* data = nullptr;
  std::vector<std::int64_t> shape;
  Element element = Element::float32;
  py::object owner;

  std::int64_t size() const;
  std::string shape_text() const;
  const float* floats() const { return static_cast<const float*>(data); }
  const std::complex<float>* complexes() const { return static_cast<const std::complex<float>*>(data); }
};

// Views `object`, or raises: TypeError for something that is no float32 (or complex64, where `complex_too`) array, ValueError
// for one that is not contiguous, not aligned or not in the processor's memory. The message starts with `name`.
View view(const py::object& object, const char* name, bool complex_too = false);

// The same for memory that is going to be written, of exactly this element type; ValueError for a read-only array.
View writable_view(const py::object& object, const char* name, Element element);

// A result: the caller's `out`, checked against the shape and type, or a new NumPy array where `out` is None.
struct Result {
  py::object object;
  void* data = nullptr;

  float* floats() const { return static_cast<float*>(data); }
  std::complex<float>* complexes() const { return static_cast<std::complex<float>*>(data); }
};

Result result(const py::object& out, const std::vector<std::int64_t>& shape, Element element = Element::float32);

// Raises ValueError unless the two have the same shape.
void same_shape(const View& a, const View& b);

// The shape of a [B, C, H, W] picture; ValueError for any other number of dimensions.
Shape picture(const View& x);

// Raises ValueError unless `factor`'s shape, leading ones aside, is the end of `full`'s: it then repeats over the leading
// dimensions. Returns its number of entries.
std::int64_t repeats_over(const View& factor, const View& full);

// A 32-bit counter word from a Python integer; ValueError outside [0, 2^32).
std::uint32_t word(const char* name, std::int64_t value);

}  // namespace lmaps::bindings
