// The passes that a correlation of extended planes is made of, each over all planes and shared out to threads.
#pragma once

#include <algorithm>
#include <complex>
#include <cstdint>
#include <memory>
#include <vector>

#include "dispatch.hpp"
#include "fourier_plan.hpp"
#include "parallel.hpp"
#include "shelf.hpp"

namespace lmaps {

constexpr std::int64_t kStrip = 2 * kPanel;  // columns that one transform takes

inline std::int64_t strips(std::int64_t columns) { return (columns + kStrip - 1) / kStrip; }
inline std::int64_t panels(std::int64_t rows) { return (rows + kPanel - 1) / kPanel; }

// Row and column sources of an extended plane, filled up with -1 to the size of the transforms. Its columns [left, right) are
// the plane's own, the others repeat some of them; reach is where they end.
struct Edges {
  std::vector<std::int32_t> rows;
  std::vector<std::int32_t> columns;
  std::int64_t left, right, reach;
};

// A plane, its extension, and the transforms of the latter.
struct Field {
  std::int64_t height, width, stride, half;
  FourierTable down, across;
  Edges extended, own;
  std::unique_ptr<Shelf> shelf;

  const FourierPlan& columns() const { return down.plan(); }
  const FourierPlan& rows() const { return across.plan(); }
  std::int64_t spectrum_size() const { return half * stride; }
};

// Throws std::invalid_argument naming the argument.
Field field_of(std::int64_t height, std::int64_t width, const std::vector<std::int32_t>& rows,
               const std::vector<std::int32_t>& columns, std::int64_t fft_height, std::int64_t fft_width);

// By what a spectrum is multiplied: [panel of rows][fft_width][kPanel], with the factors in it that the transforms leave out.
struct Response {
  std::vector<float> re, im;
};

// given: [fft_height / 2 + 1][fft_width]
Response response_of(const Field& field, const std::complex<float>* given);

// The memory that one call works in: the spectra of `planes` planes, `sets` times over.
class Passes {
 public:
  Passes(const Field& field, std::int64_t planes, std::int64_t sets = 1)
      : field_(field),
        planes_(planes),
        sets_(sets),
        workers_(threads()),
        scratch_size_(6 * kPanel * std::max(field.columns().length, field.rows().length)),
        spectra_(*field.shelf, 2 * sets * planes * field.spectrum_size()),
        sums_(*field.shelf, sets * planes * field.height * field.stride),
        scratch_(*field.shelf, workers_ * scratch_size_) {}

  // Planes of the first `sets` sets, one after the other, to their spectra.
  void columns_in(const float* x, const Edges& edges, std::int64_t sets = 1) {
    over_strips(sets, strips(edges.reach), [&](std::int64_t plane, std::int64_t first, float* scratch) {
      const Extended from{x + plane * field_.height * field_.width, field_.width, edges.rows.data(), edges.columns.data()};
      kernels_.columns_in(field_.columns(), from, first, spectrum(plane), scratch);
    });
  }

  // Between columns of `from` and columns of `to`, in place.
  void rows_times(const Response& response, const Edges& from, const Edges& to, bool conjugate) {
    over_panels(from, to, [&](std::int64_t plane, std::int64_t at, const SpectrumRows& rows, float* scratch) {
      kernels_.rows_times(field_.rows(), spectrum(plane), rows, {response.re.data() + at, response.im.data() + at}, conjugate,
                          scratch);
    });
  }

  // The first set's spectra times each response, to a set each.
  void rows_spread(const std::vector<Response>& responses) {
    over_panels(field_.extended, field_.own, [&](std::int64_t plane, std::int64_t at, const SpectrumRows& rows, float* scratch) {
      const Bank bank = bank_of(responses, plane, at);
      kernels_.rows_spread(field_.rows(), bank.factors, bank.spectra, sets_, rows, scratch);
    });
  }

  // The sum over the sets of their spectra, each times its response's conjugate, to the first set.
  void rows_gather(const std::vector<Response>& responses) {
    over_panels(field_.own, field_.extended, [&](std::int64_t plane, std::int64_t at, const SpectrumRows& rows, float* scratch) {
      const Bank bank = bank_of(responses, plane, at);
      kernels_.rows_gather(field_.rows(), bank.factors, bank.spectra, sets_, rows, scratch);
    });
  }

  void columns_crop() {
    over_strips(1, strips(field_.width), [&](std::int64_t plane, std::int64_t first, float* scratch) {
      kernels_.columns_crop(field_.columns(), spectrum(plane), first, field_.height, field_.width, scratch);
    });
  }

  // Leaves the rows of the extended planes of the first `sets` sets added up, for `fold_columns` and `summed`.
  void columns_out(const Edges& edges, std::int64_t sets = 1) {
    over_strips(sets, strips(edges.reach), [&](std::int64_t plane, std::int64_t first, float* scratch) {
      float* const to = sums_.data() + plane * field_.height * field_.stride;
      for (std::int64_t i = 0; i < field_.height; ++i) std::fill_n(to + i * field_.stride + first, kStrip, 0.0f);
      kernels_.columns_out(field_.columns(), spectrum(plane), first, edges.rows.data(), to, field_.stride, scratch);
    });
  }

  // Row `row` of a set's planes, as long as the plane's own edges leave it.
  const float* summed(std::int64_t set, std::int64_t row) const {
    return sums_.data() + (set * planes_ * field_.height + row) * field_.stride;
  }

  // take(row of the planes, scratch)
  template <class Take>
  void over_rows(const Take& take) {
    parallel_for(planes_ * field_.height, workers_, [&](std::int64_t row, int worker) { take(row, scratch(worker)); });
  }

  // Adds the columns of the first set's extended planes up; take(row of the planes, its values).
  template <class Take>
  void fold_columns(const Edges& edges, const Take& take) {
    over_rows([&](std::int64_t row, float* folded) {
      fold_row(summed(0, row), edges, folded);
      take(row, folded);
    });
  }

 private:
  // One plane's spectra in all sets, and the panels they are multiplied by.
  struct Bank {
    HalfSpectrum spectra[kMostResponses];
    Factors factors[kMostResponses];
  };

  Bank bank_of(const std::vector<Response>& responses, std::int64_t plane, std::int64_t at) const {
    Bank bank;
    for (std::size_t set = 0; set < responses.size(); ++set) {
      bank.spectra[set] = spectrum(static_cast<std::int64_t>(set) * planes_ + plane);
      bank.factors[set] = {responses[set].re.data() + at, responses[set].im.data() + at};
    }
    return bank;
  }

  void fold_row(const float* from, const Edges& edges, float* folded) const;

  HalfSpectrum spectrum(std::int64_t plane) const {
    float* const at = spectra_.data() + 2 * plane * field_.spectrum_size();
    return {at, at + field_.spectrum_size(), field_.stride};
  }
  float* scratch(int worker) const { return scratch_.data() + worker * scratch_size_; }

  template <class Task>
  void over_strips(std::int64_t sets, std::int64_t count, const Task& task) {
    parallel_for(sets * planes_ * count, workers_,
                 [&](std::int64_t i, int worker) { task(i / count, i % count * kStrip, scratch(worker)); });
  }

  // task(plane, where the panel of a response begins, its rows, scratch)
  template <class Task>
  void over_panels(const Edges& from, const Edges& to, const Task& task) {
    const std::int64_t pieces = panels(field_.half), size = field_.rows().length * kPanel;
    parallel_for(planes_ * pieces, workers_, [&](std::int64_t i, int worker) {
      const std::int64_t piece = i % pieces, first = piece * kPanel;
      const SpectrumRows rows{first, std::min<std::int64_t>(kPanel, field_.half - first), strips(from.reach) * kStrip,
                              strips(to.reach) * kStrip};
      task(i / pieces, piece * size, rows, scratch(worker));
    });
  }

  const Field& field_;
  const Kernels& kernels_ = kernels();
  std::int64_t planes_, sets_;
  int workers_;
  std::int64_t scratch_size_;
  Scratch spectra_, sums_, scratch_;
};

}  // namespace lmaps
