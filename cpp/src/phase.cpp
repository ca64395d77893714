#include "lmaps/phase.hpp"

#include <algorithm>
#include <cmath>

#include "check.hpp"
#include "dispatch.hpp"
#include "fourier_plan.hpp"
#include "parallel.hpp"
#include "shelf.hpp"

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

struct PhasePlan {
  std::int64_t height, width, half, stride;
  FourierTable down, across;
  std::unique_ptr<Shelf> shelf;

  const FourierPlan& columns() const { return down.plan(); }
  const FourierPlan& rows() const { return across.plan(); }
};

namespace {

// The memory that one call works in, for all its planes.
class Run {
 public:
  Run(const PhasePlan& plan, std::int64_t planes)
      : plan_(plan),
        planes_(planes),
        workers_(threads()),
        scratch_size_(4 * kPanel * std::max(plan.columns().length, plan.rows().length)),
        spectra_(*plan.shelf, 2 * planes * plan.half * plan.stride),
        moduli_(*plan.shelf, planes * pieces() * panel()),
        scratch_(*plan.shelf, workers_ * scratch_size_) {}

  // The moduli in the order in which the rows are worked on.
  void take_moduli(const float* y) {
    const std::int64_t length = plan_.rows().length;
    over_rows([&](std::int64_t plane, std::int64_t piece, const SpectrumRows& rows, float*) {
      kernels_.turn_rows(y + (plane * plan_.half + rows.first) * length, length, rows.count, length, moduli(plane, piece));
    });
  }

  void picture_in(const float* x) {
    over_columns([&](std::int64_t plane, const PictureColumns& columns, float* scratch) {
      picture_in(plane, columns, x, scratch);
    });
  }

  void rows_phase() {
    over_rows([&](std::int64_t plane, std::int64_t piece, const SpectrumRows& rows, float* scratch) {
      kernels_.rows_phase(plan_.rows(), spectrum(plane), rows, moduli(plane, piece), scratch);
    });
  }

  // Moves the picture, and on to the next step's spectrum where there is one.
  void descend(const float* xhat, float* x, const Inner& inner, bool more) {
    const float pull = static_cast<float>(inner.eta * (1 - inner.r));
    const float push = static_cast<float>(0.5 * inner.eta * inner.r * inner.k2 * factor());
    over_columns([&](std::int64_t plane, const PictureColumns& columns, float* scratch) {
      kernels_.picture_descend(plan_.columns(), columns, pull, push, xhat + plane * size(), x + plane * size(), spectrum(plane),
                               scratch);
      if (more) picture_in(plane, columns, x, scratch);
    });
  }

 private:
  static constexpr std::int64_t kStrip = 2 * kPanel;

  // Of the orthonormal transform, which the passes leave out.
  double factor() const {
    return 1 / std::sqrt(static_cast<double>(plan_.columns().length) * static_cast<double>(plan_.rows().length));
  }

  void picture_in(std::int64_t plane, const PictureColumns& columns, const float* x, float* scratch) {
    // z = F pad((x + 1) / 2), and a half spectrum of two columns at a time comes out twice as large.
    const float scale = static_cast<float>(0.25 * factor());
    kernels_.picture_in(plan_.columns(), columns, scale, x + plane * size(), spectrum(plane), scratch);
  }

  std::int64_t size() const { return plan_.height * plan_.width; }
  std::int64_t strips() const { return (plan_.width + kStrip - 1) / kStrip; }
  std::int64_t pieces() const { return (plan_.half + kPanel - 1) / kPanel; }
  std::int64_t panel() const { return plan_.rows().length * kPanel; }
  float* moduli(std::int64_t plane, std::int64_t piece) const { return moduli_.data() + (plane * pieces() + piece) * panel(); }
  float* scratch(int worker) const { return scratch_.data() + worker * scratch_size_; }
  HalfSpectrum spectrum(std::int64_t plane) const {
    const std::int64_t part = plan_.half * plan_.stride;
    float* const at = spectra_.data() + 2 * plane * part;
    return {at, at + part, plan_.stride};
  }

  template <class Task>
  void over_rows(const Task& task) {
    parallel_for(planes_ * pieces(), workers_, [&](std::int64_t i, int worker) {
      const std::int64_t piece = i % pieces(), first = piece * kPanel, count = std::min<std::int64_t>(kPanel, plan_.half - first);
      task(i / pieces(), piece, SpectrumRows{first, count, strips() * kStrip, strips() * kStrip}, scratch(worker));
    });
  }

  template <class Task>
  void over_columns(const Task& task) {
    parallel_for(planes_ * strips(), workers_, [&](std::int64_t i, int worker) {
      task(i / strips(), PictureColumns{i % strips() * kStrip, plan_.height, plan_.width}, scratch(worker));
    });
  }

  const PhasePlan& plan_;
  const Kernels& kernels_ = kernels();
  std::int64_t planes_;
  int workers_;
  std::int64_t scratch_size_;
  Scratch spectra_, moduli_, scratch_;
};

}  // namespace

PhaseRetrieval::PhaseRetrieval(std::int64_t height, std::int64_t width, std::int64_t fft_height, std::int64_t fft_width) {
  check::shape({1, 1, height, width});
  require_fourier_length("fft_height", fft_height, height);
  require_fourier_length("fft_width", fft_width, width);
  const std::int64_t strip = 2 * kPanel, stride = (fft_width + strip - 1) / strip * strip;
  plan_ = std::make_unique<PhasePlan>(
      PhasePlan{height, width, fft_height / 2 + 1, stride, FourierTable(fft_height), FourierTable(fft_width),
                std::make_unique<Shelf>()});
}

PhaseRetrieval::~PhaseRetrieval() = default;
PhaseRetrieval::PhaseRetrieval(PhaseRetrieval&&) noexcept = default;
PhaseRetrieval& PhaseRetrieval::operator=(PhaseRetrieval&&) noexcept = default;

std::int64_t PhaseRetrieval::height() const { return plan_->height; }
std::int64_t PhaseRetrieval::width() const { return plan_->width; }
std::int64_t PhaseRetrieval::half() const { return plan_->half; }
std::int64_t PhaseRetrieval::across() const { return plan_->rows().length; }

void PhaseRetrieval::steps(const float* xhat, const float* y, float* out, std::int64_t planes, Inner inner) const {
  check::shape({1, planes, plan_->half, across()});
  check::stepped(inner);
  const std::int64_t size = planes * plan_->height * plan_->width;
  check::memory(check::range("out", out, size), check::range("xhat", xhat, size),
                check::range("y", y, planes * plan_->half * across()));
  std::copy_n(xhat, size, out);
  if (inner.steps == 0) return;
  Run run(*plan_, planes);
  run.take_moduli(y);
  run.picture_in(out);
  for (std::int64_t step = 1; step <= inner.steps; ++step) {
    run.rows_phase();
    run.descend(xhat, out, inner, step < inner.steps);
  }
}

}  // namespace lmaps
