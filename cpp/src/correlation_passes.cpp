#include "correlation_passes.hpp"

#include <string>

#include "check.hpp"

namespace lmaps {
namespace {

Edges filled(std::vector<std::int32_t> rows, std::vector<std::int32_t> columns, std::int64_t width, std::int64_t height,
             std::int64_t stride) {
  const auto reach = static_cast<std::int64_t>(columns.size());
  std::int64_t left = 0, right = 0;
  for (std::int64_t start = 0; start + width <= reach && right == 0; ++start) {
    std::int64_t j = 0;
    while (j < width && columns[static_cast<std::size_t>(start + j)] == j) ++j;
    if (j == width) left = start, right = start + width;
  }
  rows.resize(static_cast<std::size_t>(height), -1);
  columns.resize(static_cast<std::size_t>(stride), -1);
  return {std::move(rows), std::move(columns), left, right, reach};
}

std::vector<std::int32_t> counted(std::int64_t length) {
  std::vector<std::int32_t> values(static_cast<std::size_t>(length));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::int32_t>(i);
  return values;
}

void require_sources(const char* name, const std::vector<std::int32_t>& sources, std::int64_t length, std::int64_t fft) {
  const auto count = static_cast<std::int64_t>(sources.size());
  if (count < length || count > fft) {
    check::fail(std::string(name) + " must have from " + std::to_string(length) + " (the plane's side) to " + std::to_string(fft) +
                " (the transform's) entries, got " + std::to_string(count));
  }
  for (const std::int32_t source : sources) {
    if (source < -1 || source >= length) {
      check::fail(std::string(name) + " must hold numbers from -1 to " + std::to_string(length - 1) + ", got " +
                  std::to_string(source));
    }
  }
}

}  // namespace

Field field_of(std::int64_t height, std::int64_t width, const std::vector<std::int32_t>& rows,
               const std::vector<std::int32_t>& columns, std::int64_t fft_height, std::int64_t fft_width) {
  check::shape({1, 1, height, width});
  require_fourier_length("fft_height", fft_height, height);
  require_fourier_length("fft_width", fft_width, width);
  require_sources("rows", rows, height, fft_height);
  require_sources("columns", columns, width, fft_width);
  const std::int64_t stride = strips(fft_width) * kStrip;
  return {height,
          width,
          stride,
          fft_height / 2 + 1,
          FourierTable(fft_height),
          FourierTable(fft_width),
          filled(rows, columns, width, fft_height, stride),
          filled(counted(height), counted(width), width, fft_height, stride),
          std::make_unique<Shelf>()};
}

// The factors: 1 / (fft_height fft_width), and 1 / 2 for taking two columns at a time.
Response response_of(const Field& field, const std::complex<float>* given) {
  const std::int64_t length = field.rows().length;
  const float factor = static_cast<float>(0.5 / (static_cast<double>(length) * static_cast<double>(field.columns().length)));
  const auto size = static_cast<std::size_t>(panels(field.half) * length * kPanel);
  Response response{std::vector<float>(size, 0.0f), std::vector<float>(size, 0.0f)};
  for (std::int64_t k = 0; k < field.half; ++k) {
    for (std::int64_t j = 0; j < length; ++j) {
      const auto at = static_cast<std::size_t>((k / kPanel * length + j) * kPanel + k % kPanel);
      response.re[at] = factor * given[k * length + j].real();
      response.im[at] = factor * given[k * length + j].imag();
    }
  }
  return response;
}

// folded[columns[j]] += from[j]
void Passes::fold_row(const float* from, const Edges& edges, float* folded) const {
  const auto add = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t j = begin; j < end; ++j) {
      const std::int32_t to = edges.columns[static_cast<std::size_t>(j)];
      if (to >= 0) folded[to] += from[j];
    }
  };
  if (edges.right > 0) {
    std::copy_n(from + edges.left, field_.width, folded);
  } else {
    std::fill_n(folded, field_.width, 0.0f);
  }
  add(0, edges.left);
  add(edges.right, edges.reach);
}

}  // namespace lmaps
