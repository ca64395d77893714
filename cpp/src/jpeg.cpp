#include "lmaps/jpeg.hpp"

#include "check.hpp"
#include "dispatch.hpp"
#include "parallel.hpp"

namespace lmaps {
namespace {

void require_table(const char* name, const float* table) {
  check::present(check::range(name, table, 64));
  for (int i = 0; i < 64; ++i) {
    if (!(table[i] > 0.0f && std::isfinite(table[i]))) {
      check::fail(std::string(name) + " must hold finite numbers greater than 0, got " + std::to_string(table[i]));
    }
  }
}

void require_format(const JpegFormat& format, std::int64_t channels) {
  if (channels != 1 && channels != 3) check::fail("shape.channels must be 3 (RGB) or 1 (grey), got " + std::to_string(channels));
  require_table("luma_table", format.luma_table);
  if (channels == 1) return;
  require_table("cb_table", format.cb_table);
  require_table("cr_table", format.cr_table);
  const int sampling = 10 * format.chroma_down + format.chroma_across;
  if (sampling != 11 && sampling != 12 && sampling != 14 && sampling != 21 && sampling != 22) {
    check::fail("chroma_down x chroma_across must be 1x1, 1x2, 1x4, 2x1 or 2x2, got " + std::to_string(format.chroma_down) +
                "x" + std::to_string(format.chroma_across));
  }
}

void lay_table(JpegSetup& setup, int block, const float* table) {
  for (int i = 0; i < 8; ++i) {
    for (int j = 0; j < 8; ++j) {
      const int at = block / 2 * 128 + 16 * j + block % 2 * 8 + i;
      setup.table[at] = table[8 * i + j];
      setup.inverse[at] = 1.0f / table[8 * i + j];
    }
  }
}

JpegSetup setup_of(const JpegFormat& format, std::int64_t channels) {
  JpegSetup setup{};
  setup.colour = channels == 3;
  setup.down = setup.colour ? format.chroma_down : 1;
  setup.across = setup.colour ? format.chroma_across : 1;
  setup.average = format.average;
  for (int i = 0; i < 3 * 128; ++i) setup.table[i] = setup.inverse[i] = 1.0f;
  const int luma_blocks = setup.down * setup.across;
  for (int block = 0; block < luma_blocks; ++block) {
    lay_table(setup, block, format.luma_table);
    // 127.5 (x + 1) - 128 = 127.5 x - 1/2, and eight times that in the coefficient of the mean.
    setup.shift[block / 2 * 128 + block % 2 * 8] = -4.0f;
  }
  if (setup.colour) {
    lay_table(setup, luma_blocks, format.cb_table);
    lay_table(setup, luma_blocks + 1, format.cr_table);
  }
  return setup;
}

// visit(offset of the row's first entry, row) for every row of macroblocks of every image.
template <class Visit>
void over_rows(const Shape& shape, const JpegSetup& setup, const Visit& visit) {
  const std::int64_t tall = 8 * setup.down, rows = (shape.height + tall - 1) / tall, plane = shape.plane_size();
  parallel_for(shape.batch * rows, [&](std::int64_t i) {
    const std::int64_t top = i % rows * tall;
    const int inside = static_cast<int>(std::min(tall, shape.height - top));
    visit(i / rows * shape.channels * plane + top * shape.width, JpegRow{plane, shape.width, inside});
  });
}

}  // namespace

void jpeg_steps(const float* xhat, const float* y, float* out, Shape shape, const JpegFormat& format, Inner inner) {
  check::shape(shape);
  check::stepped(inner);
  require_format(format, shape.channels);
  const std::int64_t size = shape.size();
  check::memory(check::range("out", out, size), check::range("xhat", xhat, size), check::range("y", y, size));
  const Kernels& run = kernels();
  const Descent descent = descent_of(inner);
  const JpegSetup setup = setup_of(format, shape.channels);
  over_rows(shape, setup, [&](std::int64_t at, const JpegRow& row) {
    run.jpeg_steps(xhat + at, y + at, out + at, row, setup, descent);
  });
}

void jpeg_forward(const float* x, float* out, Shape shape, const JpegFormat& format) {
  check::shape(shape);
  require_format(format, shape.channels);
  const std::int64_t size = shape.size();
  check::memory(check::range("out", out, size), check::range("x", x, size));
  const Kernels& run = kernels();
  const JpegSetup setup = setup_of(format, shape.channels);
  over_rows(shape, setup, [&](std::int64_t at, const JpegRow& row) { run.jpeg_forward(x + at, out + at, row, setup); });
}

}  // namespace lmaps
