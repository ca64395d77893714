#include <complex>

#include "harness.hpp"

namespace {

constexpr double kTau = 6.283185307179586476925286766559;
constexpr std::int64_t kHeight = 6, kWidth = 19, kPlanes = 2, kShakes = 3, kReach = 1, kSize = kHeight * kWidth;
constexpr std::int64_t kDown = 8, kAcross = 24;

// For each entry of a side extended by kReach, the entry that it repeats.
std::vector<std::int32_t> mirrored(std::int64_t length) {
  std::vector<std::int32_t> sources;
  for (std::int64_t i = -kReach; i < length + kReach; ++i) {
    const std::int64_t back = i < length ? i : 2 * (length - 1) - i;
    sources.push_back(static_cast<std::int32_t>(i < 0 ? -i : back));
  }
  return sources;
}

// Of a correlation with a 3x3 kernel.
std::vector<std::complex<float>> response_of(const float* kernel) {
  std::vector<std::complex<float>> response;
  for (std::int64_t k = 0; k <= kDown / 2; ++k) {
    for (std::int64_t l = 0; l < kAcross; ++l) {
      std::complex<double> sum = 0;
      for (std::int64_t a = 0; a < 3; ++a) {
        for (std::int64_t b = 0; b < 3; ++b) {
          const double turn = double(k * a) / double(kDown) + double(l * b) / double(kAcross);
          sum += double(kernel[3 * a + b]) * std::polar(1.0, kTau * turn);
        }
      }
      response.push_back(std::complex<float>(sum));
    }
  }
  return response;
}

double light(double u) { return u <= 0.04045 ? u / 12.92 : std::pow((u + 0.055) / 1.055, 2.4); }
double light_slope(double u) { return u <= 0.04045 ? 1 / 12.92 : 2.4 / 1.055 * std::pow((u + 0.055) / 1.055, 1.4); }
double shown(double v) { return v <= 0.0031308 ? 12.92 * v : 1.055 * std::pow(v, 1 / 2.4) - 0.055; }
double shown_slope(double v) { return v <= 0.0031308 ? 12.92 : 1.055 / 2.4 * std::pow(v, 1 / 2.4 - 1); }

struct Camera {
  std::vector<float> kernels, weights;

  // visit(pixel of the measurement, pixel of the picture, how much of its light arrives)
  template <class Visit>
  void each(const Visit& visit) const {
    const std::vector<std::int32_t> rows = mirrored(kHeight), columns = mirrored(kWidth);
    for (std::int64_t i = 0; i < kHeight; ++i) {
      for (std::int64_t j = 0; j < kWidth; ++j) {
        for (std::int64_t a = 0; a < 3; ++a) {
          for (std::int64_t b = 0; b < 3; ++b) {
            double share = 0;
            for (std::int64_t s = 0; s < kShakes; ++s) {
              share += double(weights[static_cast<std::size_t>(s * kSize + i * kWidth + j)]) *
                       double(kernels[static_cast<std::size_t>(9 * s + 3 * a + b)]);
            }
            const std::int64_t from = rows[static_cast<std::size_t>(i + a)] * kWidth + columns[static_cast<std::size_t>(j + b)];
            visit(static_cast<std::size_t>(i * kWidth + j), static_cast<std::size_t>(from), share);
          }
        }
      }
    }
  }
};

// Steps on one plane.
std::vector<double> literal(const Camera& camera, const float* xhat, const float* y, const lmaps::Inner& inner) {
  std::vector<double> x(xhat, xhat + kSize);
  for (std::int64_t step = 0; step < inner.steps; ++step) {
    std::vector<double> v(kSize), pull(kSize), g(kSize);
    camera.each([&](std::size_t to, std::size_t from, double share) { v[to] += share * light((x[from] + 1) / 2); });
    for (std::size_t i = 0; i < v.size(); ++i) {
      const double h = 2 * shown(v[i]) - 1;
      if (h >= -1 && h <= 1) pull[i] = 2 * shown_slope(v[i]) * (h - double(y[i]));
    }
    camera.each([&](std::size_t to, std::size_t from, double share) {
      g[from] += share * pull[to] * light_slope((x[from] + 1) / 2) / 2;
    });
    for (std::size_t i = 0; i < x.size(); ++i) {
      x[i] -= inner.eta * ((1 - inner.r) * (x[i] - double(xhat[i])) + inner.r * inner.k2 * g[i]);
    }
  }
  return x;
}

struct Problem {
  Camera camera;
  std::vector<std::complex<float>> responses;

  Problem() : camera{harness::random_floats(9 * kShakes, 1), harness::random_floats(kShakes * kSize, 2)} {
    for (float& value : camera.kernels) value = (1 + value) / 9;
    for (float& value : camera.weights) value = (1 + value) / float(kShakes);
    for (std::int64_t s = 0; s < kShakes; ++s) {
      const std::vector<std::complex<float>> one = response_of(camera.kernels.data() + 9 * s);
      responses.insert(responses.end(), one.begin(), one.end());
    }
  }

  lmaps::CameraShake compiled() const {
    return {kHeight, kWidth, mirrored(kHeight), mirrored(kWidth), kDown, kAcross, kShakes, responses.data(), camera.weights.data()};
  }
};

}  // namespace

TEST(steps_are_the_loop) {
  const Problem problem;
  std::vector<float> xhat = harness::random_floats(kPlanes * kSize, 3), y = harness::random_floats(kPlanes * kSize, 4);
  for (float& value : xhat) value *= 1.3f;  // beyond both ends of the curve
  std::vector<float> out(xhat.size());
  const lmaps::Inner inner{0.6, 0.8, 0.5, 7};
  problem.compiled().steps(xhat.data(), y.data(), out.data(), kPlanes, inner);
  double moved = 0;
  for (std::int64_t plane = 0; plane < kPlanes; ++plane) {
    const std::vector<double> expected = literal(problem.camera, xhat.data() + plane * kSize, y.data() + plane * kSize, inner);
    for (std::int64_t i = 0; i < kSize; ++i) {
      const auto at = static_cast<std::size_t>(plane * kSize + i);
      EXPECT(std::fabs(double(out[at]) - expected[static_cast<std::size_t>(i)]) < 1e-5);
      moved = std::max(moved, std::fabs(double(out[at]) - double(xhat[at])));
    }
  }
  EXPECT(moved > 0.1);
}

TEST(no_step_moves_nothing) {
  const std::vector<float> xhat = harness::random_floats(kSize, 3), y = harness::random_floats(kSize, 4);
  std::vector<float> out(xhat.size());
  Problem().compiled().steps(xhat.data(), y.data(), out.data(), 1, {0.5, 1.0, 1.0, 0});
  EXPECT(out == xhat);
}

TEST(bad_arguments_are_refused) {
  const Problem problem;
  const auto make = [&](std::int64_t height, std::int64_t across, std::int64_t shakes) {
    lmaps::CameraShake(height, kWidth, mirrored(kHeight), mirrored(kWidth), kDown, across, shakes, problem.responses.data(),
                       problem.camera.weights.data());
  };
  EXPECT_REFUSAL("shape.height", make(0, kAcross, kShakes));
  EXPECT_REFUSAL("fft_width", make(kHeight, 22, kShakes));
  EXPECT_REFUSAL("shakes", make(kHeight, kAcross, 0));
  EXPECT_REFUSAL("shakes", make(kHeight, kAcross, 17));
  std::vector<float> x(kSize);
  EXPECT_REFUSAL("overlaps", problem.compiled().steps(x.data(), x.data(), x.data(), 1, {}));
}
