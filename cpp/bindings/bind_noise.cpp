#include <vector>

#include "arrays.hpp"
#include "bind.hpp"
#include "lmaps/noise.hpp"

namespace lmaps::bindings {
namespace {

// Any integer of 64 bits, signed or not.
std::uint64_t seed_of(const py::handle& value) {
  const py::object index = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
  if (!index) throw py::error_already_set();
  const std::uint64_t low = PyLong_AsUnsignedLongLongMask(index.ptr());
  if (PyErr_Occurred()) throw py::error_already_set();
  return low;
}

std::vector<std::uint64_t> seeds_of(const py::iterable& seeds, std::int64_t images) {
  std::vector<std::uint64_t> values;
  for (const py::handle seed : seeds) values.push_back(seed_of(seed));
  if (static_cast<std::int64_t>(values.size()) != images) {
    throw py::value_error("seeds must hold one seed an image, " + std::to_string(images) + ", got " +
                          std::to_string(values.size()));
  }
  return values;
}

void not_negative(const char* name, std::int64_t value) {
  if (value < 0) throw py::value_error(std::string(name) + " must not be negative, got " + std::to_string(value));
}

py::object philox_words(std::int64_t blocks, const py::object& seed, std::int64_t step, std::int64_t stream,
                        std::int64_t first, std::int64_t top) {
  not_negative("blocks", blocks);
  const std::uint64_t key = seed_of(seed);
  const std::uint32_t c0 = word("first", first), c1 = word("step", step), c2 = word("stream", stream), c3 = word("top", top);
  py::array_t<std::uint32_t> words({blocks, std::int64_t{4}});
  lmaps::philox_words(words.mutable_data(), blocks, key, c1, c2, c0, c3);
  return words;
}

py::object normal(std::int64_t count, const py::object& seed, std::int64_t step, std::int64_t stream, const py::object& out) {
  not_negative("count", count);
  const std::uint64_t key = seed_of(seed);
  const std::uint32_t c1 = word("step", step), c2 = word("stream", stream);
  if (count == 0 && out.is_none()) return py::array_t<float>(0);
  const Result numbers = result(out, {count});
  {
    const py::gil_scoped_release release;
    lmaps::normal(numbers.floats(), count, key, c1, c2);
  }
  return numbers.object;
}

py::object transition(const py::object& x0, const py::object& x, double sigma, double sigma_next, double rho,
                      const py::iterable& seeds, std::int64_t step, const py::object& out) {
  const View clean = view(x0, "x0"), noisy = view(x, "x");
  same_shape(clean, noisy);
  const std::int64_t batch = clean.shape.empty() ? 1 : clean.shape[0];
  const std::vector<std::uint64_t> keys = seeds_of(seeds, batch);
  const std::uint32_t counter = word("step", step);
  const Result next = result(out, clean.shape);
  {
    const py::gil_scoped_release release;
    lmaps::transition(clean.floats(), noisy.floats(), next.floats(), batch, clean.size() / batch, sigma, sigma_next, rho,
                      keys.data(), counter);
  }
  return next.object;
}

}  // namespace

void bind_noise(py::module_& module) {
  module.def("philox_words", &philox_words, py::arg("blocks"), py::arg("seed"), py::arg("step"), py::arg("stream"), py::kw_only(),
             py::arg("first") = 0, py::arg("top") = 0,
             "Philox4x32-10 of the counters (first + i, step, stream, top): uint32 [blocks, 4].");
  module.def("normal", &normal, py::arg("count"), py::arg("seed"), py::arg("step"), py::arg("stream"), py::kw_only(),
             py::arg("out") = py::none(),
             "`count` standard normal numbers of one image's stream, float32 [count]; lmaps.kernels.philox defines them.");
  module.def("transition", &transition, py::arg("x0"), py::arg("x"), py::arg("sigma"), py::arg("sigma_next"), py::arg("rho"),
             py::arg("seeds"), py::arg("step"), py::kw_only(), py::arg("out") = py::none(),
             "x0 + sigma_next (sqrt(1 - rho^2) (x - x0) / sigma + rho n): Eq. 2 with alpha = 1.\n\n"
             "x0, x: [B, ...]; image b draws n from seeds[b], stream 0, counter `step`. sigma_next = 0 gives x0 exactly.");
}

}  // namespace lmaps::bindings
