// Which machine code runs and on how many threads. Both settings are process-wide and may be changed at any time.
#pragma once

#include <string>
#include <vector>

namespace lmaps {

// Name of the variant in use: "plain", "avx2" or "avx512". Without force_isa it is the widest this processor can run.
std::string isa();

// Names this build and this processor can run, narrowest first. "plain" is always there.
std::vector<std::string> available_isas();

// Use the named variant from now on; "auto" returns to the widest. Throws std::invalid_argument for any other name that is
// not in available_isas().
void force_isa(const std::string& name);

// Threads a call may use: OMP_NUM_THREADS, or the processors that this process may use, until set_threads.
int threads();

// Throws std::invalid_argument unless 1 <= count <= 1024.
void set_threads(int count);

}  // namespace lmaps
