// A correlation of planes with one kernel of any size, by Fourier transforms of the extended plane, its exact adjoint, and
// polynomials of H^T H.
//
//     H = C R E      E extends a plane beyond its edges, R correlates with the kernel circularly, C keeps the plane's own corner
//
// A transform goes down the columns and then along the rows, and each visit to a piece of memory does all that can be done
// there: (forward, times the response, inverse) along the rows, (inverse, crop, forward) down the columns.
#pragma once

#include <complex>
#include <cstdint>
#include <memory>
#include <vector>

namespace lmaps {

struct CorrelationPlan;

class Correlation {
 public:
  // rows, columns:  for each row and column of the extended plane, the one of the plane that it copies, or -1 for zero.
  // height, width:  of the plane.
  // fft_height, fft_width: of the transforms: products of 2, 3 and 5, at least the extended plane's sides.
  // response:       the Fourier transform by which that of the extended plane is multiplied, [fft_height / 2 + 1][fft_width].
  // Throws std::invalid_argument naming the argument.
  Correlation(std::int64_t height, std::int64_t width, const std::vector<std::int32_t>& rows,
              const std::vector<std::int32_t>& columns, std::int64_t fft_height, std::int64_t fft_width,
              const std::complex<float>* response);
  ~Correlation();
  Correlation(Correlation&&) noexcept;
  Correlation& operator=(Correlation&&) noexcept;

  std::int64_t height() const;
  std::int64_t width() const;

  // All arrays [planes][height][width]. Safe to call from several threads at once.
  void forward(const float* x, float* out, std::int64_t planes) const;
  void adjoint(const float* u, float* out, std::int64_t planes) const;
  void normal(const float* x, float* out, std::int64_t planes) const;  // H^T H x

  // sum over j < count of coefficients[j] V_j(Z) g, with Z = 2 H^T H / bound - 1, V_0 = 1, V_1 = 2 Z - 1 and
  // V_(j+1) = 2 Z V_j - V_(j-1); bound > 0 is the largest eigenvalue of H^T H, or more.
  void series(const float* g, float* out, std::int64_t planes, const float* coefficients, std::int64_t count,
              double bound) const;

 private:
  std::unique_ptr<const CorrelationPlan> plan_;
};

}  // namespace lmaps
