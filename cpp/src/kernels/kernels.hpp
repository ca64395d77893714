// What each kernel file defines, once for each instruction set. The meaning of every function is in table.hpp.
#pragma once

#include "table.hpp"

namespace lmaps::LMAPS_ISA {

void philox_words(uint32_t* out, int64_t blocks, NoiseKey key, uint32_t first, uint32_t top);
void normal(float* out, int64_t begin, int64_t count, NoiseKey key);
void transition(const float* x0, const float* x, float* out, int64_t begin, int64_t count, NoiseKey key,
                TransitionStep step);

void mask_steps(const float* xhat, const float* y, const float* mask, float* out, int64_t count, Descent descent);
void hdr_steps(const float* xhat, const float* y, float* out, int64_t count, float scale, bool surrogate, Descent descent);
void quantize_steps(const float* xhat, const float* y, float* out, int64_t count, float levels, Descent descent);

void jpeg_steps(const float* xhat, const float* y, float* out, const JpegRow& row, const JpegSetup& setup, Descent descent);
void jpeg_forward(const float* x, float* out, const JpegRow& row, const JpegSetup& setup);

void weighted_rows(float* to, int64_t count, const float* const* rows, const float* weights, int64_t taps, bool add);
void descend_row(float* d, const float* pull, int64_t count, Descent descent);

void columns_in(const FourierPlan& plan, const Extended& from, int64_t first, const HalfSpectrum& to, float* scratch);
void columns_crop(const FourierPlan& plan, const HalfSpectrum& spectrum, int64_t first, int64_t height, int64_t width,
                  float* scratch);
void columns_out(const FourierPlan& plan, const HalfSpectrum& from, int64_t first, const int32_t* rows, float* to,
                 int64_t to_stride, float* scratch);
void rows_times(const FourierPlan& plan, const HalfSpectrum& spectrum, const SpectrumRows& rows, Factors response,
                bool conjugate, float* scratch);
void rows_spread(const FourierPlan& plan, const Factors* responses, const HalfSpectrum* spectra, int64_t count,
                 const SpectrumRows& rows, float* scratch);
void rows_gather(const FourierPlan& plan, const Factors* responses, const HalfSpectrum* spectra, int64_t count,
                 const SpectrumRows& rows, float* scratch);
void recur(const float* pulled, const float* now, float* next, float* sum, int64_t count, Recurrence step);

void camera_light(const float* x, float* light, int64_t count);
void camera_misfit(const float* const* mixed, const float* const* weights, int64_t shakes, const float* y, float* const* pulls,
                   int64_t count);
void camera_descend(const float* g, const float* xhat, float* x, float* light, int64_t count, float pull, float push);

void phase_middle(float* z, const float* y, int64_t count);
void rows_phase(const FourierPlan& plan, const HalfSpectrum& spectrum, const SpectrumRows& rows, const float* y, float* scratch);
void turn_rows(const float* from, int64_t columns, int64_t rows, int64_t length, float* to);
void picture_in(const FourierPlan& plan, const PictureColumns& columns, float scale, const float* x, const HalfSpectrum& to,
                float* scratch);
void picture_descend(const FourierPlan& plan, const PictureColumns& columns, float pull, float push, const float* xhat, float* x,
                     const HalfSpectrum& from, float* scratch);

void spectral_gain(const float* eigenvalues, float* gain, int64_t count, SpectralStep step);
void spectral_apply(const float* c, const float* b, const float* eigenvalues, const float* gain, float* out, int64_t count);
void spectral_apply_complex(const float* c, const float* b, const float* eigenvalues, const float* gain, float* out,
                            int64_t count);

}  // namespace lmaps::LMAPS_ISA
