#include "lmaps/noise.hpp"

#include <cmath>
#include <cstring>

#include "check.hpp"
#include "dispatch.hpp"
#include "parallel.hpp"

namespace lmaps {
namespace {

// The block counter has 32 bits and gives four numbers a block.
constexpr std::int64_t kLongest = std::int64_t{1} << 34;
constexpr std::uint32_t kTransitionStream = 0;

void require_count(const char* name, std::int64_t count) {
  check::at_least(name, count, 0);
  if (count > kLongest) check::fail(std::string(name) + " must be at most 2^34, got " + std::to_string(count));
}

}  // namespace

void philox_words(std::uint32_t* out, std::int64_t blocks, std::uint64_t seed, std::uint32_t step, std::uint32_t stream,
                  std::uint32_t first, std::uint32_t top) {
  require_count("blocks", blocks);
  if (blocks == 0) return;
  check::present(check::range("out", out, 4 * blocks));
  kernels().philox_words(out, blocks, {seed, step, stream}, first, top);
}

void normal(float* out, std::int64_t count, std::uint64_t seed, std::uint32_t step, std::uint32_t stream) {
  require_count("count", count);
  if (count == 0) return;
  check::present(check::range("out", out, count));
  const Kernels& run = kernels();
  parallel_pieces(1, count, [&](std::int64_t, std::int64_t begin, std::int64_t length) {
    run.normal(out + begin, begin, length, {seed, step, stream});
  });
}

void transition(const float* x0, const float* x, float* x_next, std::int64_t batch, std::int64_t image_size, double sigma,
                double sigma_next, double rho, const std::uint64_t* seeds, std::uint32_t step) {
  check::shape({batch, 1, 1, image_size});
  require_count("image_size", image_size);
  check::positive("sigma", sigma);
  check::not_negative("sigma_next", sigma_next);
  check::within("rho", rho, 0.0, 1.0);
  const std::int64_t size = batch * image_size;
  check::memory(check::range("x_next", x_next, size), check::range("x0", x0, size), check::range("x", x, size),
                check::range("seeds", seeds, batch));
  if (sigma_next == 0.0) {
    std::memcpy(x_next, x0, static_cast<std::size_t>(size) * sizeof(float));
    return;
  }
  const TransitionStep coefficients{static_cast<float>(sigma_next * std::sqrt(1.0 - rho * rho) / sigma),
                                    static_cast<float>(sigma_next * rho)};
  const Kernels& run = kernels();
  parallel_pieces(batch, image_size, [&](std::int64_t image, std::int64_t begin, std::int64_t length) {
    const std::int64_t at = image * image_size + begin;
    run.transition(x0 + at, x + at, x_next + at, begin, length, {seeds[image], step, kTransitionStream}, coefficients);
  });
}

}  // namespace lmaps
