#include <complex>

#include "harness.hpp"

using Complex = std::complex<float>;
using Sources = std::vector<std::int32_t>;

namespace {

constexpr double kTau = 6.283185307179586476925286766559;
constexpr std::int64_t kHeight = 11, kWidth = 37, kPlanes = 3, kSize = kHeight * kWidth;

// A side with `before` entries that bounce off its beginning and `after` that wrap around from it, and a zero.
Sources sources(std::int64_t length, std::int64_t before, std::int64_t after) {
  Sources made;
  for (std::int64_t i = -before; i < length + after; ++i) {
    made.push_back(static_cast<std::int32_t>(i < 0 ? -i : i % length));
  }
  made.push_back(-1);
  return made;
}

struct Problem {
  std::int64_t fft_height, fft_width, kernel_height, kernel_width;
  Sources rows, columns;
  std::vector<float> kernel;

  Problem(std::int64_t high, std::int64_t wide, std::int64_t kh, std::int64_t kw)
      : fft_height(high), fft_width(wide), kernel_height(kh), kernel_width(kw), rows(sources(kHeight, kh / 2, kh - 1 - kh / 2)),
        columns(sources(kWidth, kw / 2, kw - 1 - kw / 2)), kernel(harness::random_floats(kh * kw, 3)) {}

  // conj of the kernel's transform, as a sum in double precision.
  std::vector<Complex> response() const {
    std::vector<Complex> made;
    for (std::int64_t k = 0; k <= fft_height / 2; ++k) {
      for (std::int64_t l = 0; l < fft_width; ++l) {
        std::complex<double> sum = 0.0;
        for (std::int64_t a = 0; a < kernel_height; ++a) {
          for (std::int64_t b = 0; b < kernel_width; ++b) {
            const double turn = double(k * a) / double(fft_height) + double(l * b) / double(fft_width);
            sum += double(kernel[static_cast<std::size_t>(a * kernel_width + b)]) * std::polar(1.0, kTau * turn);
          }
        }
        made.push_back(Complex(sum));
      }
    }
    return made;
  }

  lmaps::Correlation correlation() const {
    return lmaps::Correlation(kHeight, kWidth, rows, columns, fft_height, fft_width, response().data());
  }

  // H one entry at a time; `transposed` spreads instead of gathering.
  std::vector<double> literal(const std::vector<double>& x, bool transposed) const {
    std::vector<double> out(x.size());
    for (std::int64_t at = 0; at < kPlanes * kSize; ++at) {
      const std::int64_t plane = at / kSize, i = at / kWidth % kHeight, j = at % kWidth;
      for (std::int64_t a = 0; a < kernel_height; ++a) {
        for (std::int64_t b = 0; b < kernel_width; ++b) {
          const std::int32_t row = rows[static_cast<std::size_t>(i + a)], column = columns[static_cast<std::size_t>(j + b)];
          if (row < 0 || column < 0) continue;
          const auto from = static_cast<std::size_t>(plane * kSize + row * kWidth + column);
          const double weight = double(kernel[static_cast<std::size_t>(a * kernel_width + b)]);
          if (transposed) {
            out[from] += weight * x[static_cast<std::size_t>(at)];
          } else {
            out[static_cast<std::size_t>(at)] += weight * x[from];
          }
        }
      }
    }
    return out;
  }

  std::vector<double> normal(const std::vector<double>& x) const { return literal(literal(x, false), true); }
};

// Every radix, odd and even sides, one that is no multiple of anything, a kernel as wide as the picture.
const Problem kProblems[] = {{20, 45, 5, 5}, {15, 40, 3, 1}, {16, 64, 3, 1}, {18, 40, 5, 3}, {20, 48, 9, 9}, {27, 75, 11, 37}, {32, 128, 1, 7}};

}  // namespace

TEST(forward_adjoint_and_normal) {
  for (const Problem& problem : kProblems) {
    const lmaps::Correlation correlation = problem.correlation();
    const std::vector<float> x = harness::random_floats(kPlanes * kSize, 1);
    const std::vector<double> exact(x.begin(), x.end());
    std::vector<float> out = harness::poisoned(kPlanes * kSize);
    correlation.forward(x.data(), out.data(), kPlanes);
    EXPECT(harness::relative(out, problem.literal(exact, false)) < 2e-6);
    out = harness::poisoned(kPlanes * kSize);
    correlation.adjoint(x.data(), out.data(), kPlanes);
    EXPECT(harness::relative(out, problem.literal(exact, true)) < 2e-6);
    out = harness::poisoned(kPlanes * kSize);
    correlation.normal(x.data(), out.data(), kPlanes);
    EXPECT(harness::relative(out, problem.normal(exact)) < 2e-6);
  }
}

TEST(series) {
  const Problem& problem = kProblems[0];
  const lmaps::Correlation correlation = problem.correlation();
  const std::vector<float> g = harness::random_floats(kPlanes * kSize, 1);
  const float coefficients[] = {0.7f, -0.4f, 0.3f, 0.2f, -0.1f};
  double bound = 0.0;
  for (const float weight : problem.kernel) bound += std::fabs(double(weight));
  bound *= 4 * bound;
  std::vector<double> before(g.begin(), g.end()), now = before, sum(g.size());
  for (int j = 0; j < 5; ++j) {
    for (std::size_t i = 0; i < g.size(); ++i) sum[i] += double(coefficients[j]) * now[i];
    const std::vector<double> pulled = problem.normal(now);
    for (std::size_t i = 0; i < g.size(); ++i) {
      const double z = 2 * pulled[i] / bound - now[i];
      const double next = j == 0 ? 2 * z - now[i] : 2 * z - before[i];
      before[i] = now[i];
      now[i] = next;
    }
    std::vector<float> out = harness::poisoned(kPlanes * kSize);
    correlation.series(g.data(), out.data(), kPlanes, coefficients, j + 1, bound);
    EXPECT(harness::relative(out, sum) < 2e-6);
  }
}

TEST(refusals) {
  const Problem& problem = kProblems[0];
  const std::vector<Complex> response = problem.response();
  const auto make = [&](const Sources& rows, std::int64_t high, std::int64_t wide, const Complex* values) {
    return lmaps::Correlation(kHeight, kWidth, rows, problem.columns, high, wide, values);
  };
  EXPECT_REFUSAL("fft_height", make(problem.rows, 14, 45, response.data()));
  EXPECT_REFUSAL("fft_height", make(problem.rows, 10, 45, response.data()));
  EXPECT_REFUSAL("fft_width", make(problem.rows, 20, 49, response.data()));
  EXPECT_REFUSAL("columns", make(problem.rows, 20, 40, response.data()));
  EXPECT_REFUSAL("rows", make(Sources(3), 20, 45, response.data()));
  EXPECT_REFUSAL("rows", make(Sources(12, 99), 20, 45, response.data()));
  EXPECT_REFUSAL("response", make(problem.rows, 20, 45, nullptr));
  const lmaps::Correlation correlation = problem.correlation();
  std::vector<float> x(kPlanes * kSize), out(kPlanes * kSize);
  const float one = 1.0f;
  EXPECT_REFUSAL("x", correlation.forward(nullptr, out.data(), kPlanes));
  EXPECT_REFUSAL("overlaps", correlation.normal(x.data(), x.data(), kPlanes));
  EXPECT_REFUSAL("channels", correlation.adjoint(x.data(), out.data(), 0));
  EXPECT_REFUSAL("count", correlation.series(x.data(), out.data(), kPlanes, &one, 0, 1.0));
  EXPECT_REFUSAL("bound", correlation.series(x.data(), out.data(), kPlanes, &one, 1, 0.0));
}
