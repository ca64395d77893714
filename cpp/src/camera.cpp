#include "lmaps/camera.hpp"

#include <algorithm>
#include <string>

#include "check.hpp"
#include "correlation_passes.hpp"

namespace lmaps {

struct CameraPlan {
  Field field;
  std::vector<Response> responses;
  std::vector<float> weights;  // [shakes][height][width]

  std::int64_t shakes() const { return static_cast<std::int64_t>(responses.size()); }
  std::int64_t plane_size() const { return field.height * field.width; }
};

namespace {

// One call: the picture's light, and what pulls at it through every kernel.
class Descending {
 public:
  Descending(const CameraPlan& plan, const float* xhat, const float* y, float* x, std::int64_t planes)
      : plan_(plan),
        xhat_(xhat),
        y_(y),
        x_(x),
        size_(planes * plan.plane_size()),
        run_(plan.field, planes, plan.shakes()),
        light_(*plan.field.shelf, size_),
        pulls_(*plan.field.shelf, plan.shakes() * size_) {
    run_.over_rows([&](std::int64_t row, float*) {
      const std::int64_t at = row * plan_.field.width;
      kernels_.camera_light(x_ + at, light_.data() + at, plan_.field.width);
    });
  }

  void step(const Descent& descent) {
    see();
    pull_back(descent);
  }

 private:
  // H(x), and in `pulls_` what its distance from y says about the light behind each kernel.
  void see() {
    const Field& field = plan_.field;
    run_.columns_in(light_.data(), field.extended);
    run_.rows_spread(plan_.responses);
    run_.columns_out(field.own, plan_.shakes());
    run_.over_rows([&](std::int64_t row, float*) {
      const float *mixed[kMostResponses], *weights[kMostResponses];
      float* pulls[kMostResponses];
      for (std::int64_t s = 0; s < plan_.shakes(); ++s) {
        mixed[s] = run_.summed(s, row);
        weights[s] = plan_.weights.data() + s * plan_.plane_size() + row % field.height * field.width;
        pulls[s] = pulls_.data() + s * size_ + row * field.width;
      }
      kernels_.camera_misfit(mixed, weights, plan_.shakes(), y_ + row * field.width, pulls, field.width);
    });
  }

  void pull_back(const Descent& descent) {
    const Field& field = plan_.field;
    run_.columns_in(pulls_.data(), field.own, plan_.shakes());
    run_.rows_gather(plan_.responses);
    run_.columns_out(field.extended);
    run_.fold_columns(field.extended, [&](std::int64_t row, const float* g) {
      const std::int64_t at = row * field.width;
      kernels_.camera_descend(g, xhat_ + at, x_ + at, light_.data() + at, field.width, descent.prior, descent.data);
    });
  }

  const CameraPlan& plan_;
  const Kernels& kernels_ = kernels();
  const float *xhat_, *y_;
  float* x_;
  std::int64_t size_;
  Passes run_;
  Scratch light_, pulls_;
};

}  // namespace

CameraShake::CameraShake(std::int64_t height, std::int64_t width, const std::vector<std::int32_t>& rows,
                         const std::vector<std::int32_t>& columns, std::int64_t fft_height, std::int64_t fft_width,
                         std::int64_t shakes, const std::complex<float>* responses, const float* weights) {
  Field field = field_of(height, width, rows, columns, fft_height, fft_width);
  if (shakes < 1 || shakes > kMostResponses) {
    check::fail("shakes must be in 1.." + std::to_string(kMostResponses) + ", got " + std::to_string(shakes));
  }
  check::present(check::range("responses", responses, 1));
  check::present(check::range("weights", weights, 1));
  std::vector<Response> stored;
  for (std::int64_t s = 0; s < shakes; ++s) stored.push_back(response_of(field, responses + s * field.half * fft_width));
  plan_ = std::make_unique<CameraPlan>(
      CameraPlan{std::move(field), std::move(stored), std::vector<float>(weights, weights + shakes * height * width)});
}

CameraShake::~CameraShake() = default;
CameraShake::CameraShake(CameraShake&&) noexcept = default;
CameraShake& CameraShake::operator=(CameraShake&&) noexcept = default;

std::int64_t CameraShake::height() const { return plan_->field.height; }
std::int64_t CameraShake::width() const { return plan_->field.width; }

void CameraShake::steps(const float* xhat, const float* y, float* out, std::int64_t planes, Inner inner) const {
  check::shape({1, planes, height(), width()});
  check::stepped(inner);
  const std::int64_t size = planes * plan_->plane_size();
  check::memory(check::range("out", out, size), check::range("xhat", xhat, size), check::range("y", y, size));
  std::copy_n(xhat, size, out);
  if (inner.steps == 0) return;
  Descending descending(*plan_, xhat, y, out, planes);
  for (std::int64_t step = 0; step < inner.steps; ++step) descending.step(descent_of(inner));
}

}  // namespace lmaps
