#include <pybind11/stl.h>

#include "bind.hpp"
#include "lmaps/runtime.hpp"

namespace lmaps::bindings {

namespace py = pybind11;

void bind_runtime(py::module_& module) {
  module.def("isa", &lmaps::isa, "The machine code in use: 'plain', 'avx2' or 'avx512'.");
  module.def("available_isas", &lmaps::available_isas, "What this build and this processor can run, narrowest first.");
  module.def("force_isa", &lmaps::force_isa, py::arg("name"), "Use one of available_isas() from now on; 'auto' is the widest.");
  module.def("threads", &lmaps::threads, "Threads a call may use; OMP_NUM_THREADS, or the processors this process may use, at first.");
  module.def("set_threads", &lmaps::set_threads, py::arg("count"), "Set the number of threads, 1..1024.");
}

}  // namespace lmaps::bindings
