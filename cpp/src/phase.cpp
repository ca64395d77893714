#include "lmaps/phase.hpp"

#include "check.hpp"
#include "dispatch.hpp"
#include "parallel.hpp"

namespace lmaps {

void phase_middle(std::complex<float>* z, const float* y, std::int64_t count) {
  check::at_least("count", count, 1);
  check::memory(check::range("z", z, count), check::range("y", y, count));
  const Kernels& run = kernels();
  float* const parts = reinterpret_cast<float*>(z);
  parallel_pieces(1, count, [&](std::int64_t, std::int64_t begin, std::int64_t length) {
    run.phase_middle(parts + 2 * begin, y + begin, length);
  });
}

}  // namespace lmaps
