#include "kernels.hpp"

namespace lmaps::LMAPS_ISA {

extern const Kernels table = {
    philox_words,  normal,        transition,     mask_steps,    hdr_steps,      quantize_steps,         jpeg_steps,
    jpeg_forward,  weighted_rows, descend_row,    columns_in,    columns_crop,   columns_out,            rows_times,
    rows_spread,   rows_gather,   recur,          camera_light,  camera_misfit,  camera_descend,         phase_middle,
    rows_phase,    turn_rows,     picture_in,     picture_descend, spectral_gain, spectral_apply,        spectral_apply_complex,
};

}  // namespace lmaps::LMAPS_ISA
