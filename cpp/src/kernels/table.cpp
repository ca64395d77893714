#include "kernels.hpp"

namespace lmaps::LMAPS_ISA {

extern const Kernels table = {
    philox_words, normal, transition, mask_steps, hdr_steps, quantize_steps,
};

}  // namespace lmaps::LMAPS_ISA
