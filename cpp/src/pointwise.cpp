#include "lmaps/pointwise.hpp"

#include "check.hpp"
#include "dispatch.hpp"
#include "parallel.hpp"

namespace lmaps {

void mask_steps(const float* xhat, const float* y, const float* mask, std::int64_t mask_count, float* out, Shape shape,
                Inner inner) {
  check::shape(shape);
  check::stepped(inner);
  const std::int64_t size = shape.size(), plane = shape.plane_size(), image = plane * shape.channels;
  if (mask_count != plane && mask_count != image && mask_count != size) {
    check::fail("mask must have the entries of a plane, of an image or of the whole batch (" + std::to_string(plane) + ", " +
                std::to_string(image) + " or " + std::to_string(size) + "), got " + std::to_string(mask_count));
  }
  check::memory(check::range("out", out, size), check::range("xhat", xhat, size), check::range("y", y, size),
                check::range("mask", mask, mask_count));
  const Kernels& run = kernels();
  const Descent descent = descent_of(inner);
  parallel_pieces(size / mask_count, mask_count, [&](std::int64_t group, std::int64_t begin, std::int64_t count) {
    const std::int64_t at = group * mask_count + begin;
    run.mask_steps(xhat + at, y + at, mask + begin, out + at, count, descent);
  });
}

void hdr_steps(const float* xhat, const float* y, float* out, Shape shape, double scale, Gradient gradient, Inner inner) {
  check::shape(shape);
  check::stepped(inner);
  check::positive("scale", scale);
  const std::int64_t size = shape.size();
  check::memory(check::range("out", out, size), check::range("xhat", xhat, size), check::range("y", y, size));
  const Kernels& run = kernels();
  const Descent descent = descent_of(inner);
  const bool surrogate = gradient == Gradient::surrogate;
  parallel_pieces(1, size, [&](std::int64_t, std::int64_t begin, std::int64_t count) {
    run.hdr_steps(xhat + begin, y + begin, out + begin, count, static_cast<float>(scale), surrogate, descent);
  });
}

void quantize_steps(const float* xhat, const float* y, float* out, Shape shape, int bits, Inner inner) {
  check::shape(shape);
  check::stepped(inner);
  if (bits < 1 || bits > 16) check::fail("bits must be in 1..16, got " + std::to_string(bits));
  const std::int64_t size = shape.size();
  check::memory(check::range("out", out, size), check::range("xhat", xhat, size), check::range("y", y, size));
  const Kernels& run = kernels();
  const Descent descent = descent_of(inner);
  const float levels = static_cast<float>((1 << bits) - 1);
  parallel_pieces(1, size, [&](std::int64_t, std::int64_t begin, std::int64_t count) {
    run.quantize_steps(xhat + begin, y + begin, out + begin, count, levels, descent);
  });
}

}  // namespace lmaps
