#include "kernels.hpp"

namespace lmaps::LMAPS_ISA {

extern const Kernels table = {
    philox_words,  normal,      transition,   mask_steps,    hdr_steps,      quantize_steps,         jpeg_steps, jpeg_forward,
    weighted_rows, descend_row, phase_middle, spectral_gain, spectral_apply, spectral_apply_complex,
};

}  // namespace lmaps::LMAPS_ISA
