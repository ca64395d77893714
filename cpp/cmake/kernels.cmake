# The kernel files, compiled once for each instruction set into a namespace of its own (src/kernels/vec.hpp says why).
set(LMAPS_KERNEL_SOURCES camera correlation jpeg noise phase pointwise spectral stencil table)

set(LMAPS_ISAS plain)
if(NOT LMAPS_STANDARD_ONLY AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64" AND CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
  list(APPEND LMAPS_ISAS avx2 avx512)
endif()
set(LMAPS_FLAGS_avx2 -mavx2 -mfma)
set(LMAPS_FLAGS_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mprefer-vector-width=512)

function(lmaps_add_kernels library)
  list(TRANSFORM LMAPS_KERNEL_SOURCES REPLACE "(.+)" "src/kernels/\\1.cpp" OUTPUT_VARIABLE sources)
  foreach(isa IN LISTS LMAPS_ISAS)
    set(kernels lmaps_kernels_${isa})
    add_library(${kernels} OBJECT ${sources})
    target_compile_features(${kernels} PRIVATE cxx_std_17)
    set_target_properties(${kernels} PROPERTIES POSITION_INDEPENDENT_CODE ON)
    target_compile_definitions(${kernels} PRIVATE LMAPS_ISA=${isa})
    target_compile_options(${kernels} PRIVATE ${LMAPS_WARNINGS} ${LMAPS_FLAGS_${isa}})
    if(LMAPS_STANDARD_ONLY)
      target_compile_definitions(${kernels} PRIVATE LMAPS_STANDARD_ONLY)
    endif()
    if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
      # Square roots need no errno. Passing vectors between inlined functions needs no warning about the ABI, and GCC 12 takes
      # the "undefined" operands in its own AVX-512 header for uninitialised variables.
      target_compile_options(${kernels} PRIVATE -O3 -fno-math-errno -ffp-contract=fast -Wno-psabi
                             -Wno-uninitialized $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
    endif()
    target_sources(${library} PRIVATE $<TARGET_OBJECTS:${kernels}>)
  endforeach()
  if("avx512" IN_LIST LMAPS_ISAS)
    target_compile_definitions(${library} PRIVATE LMAPS_X86_VARIANTS)
  endif()
  if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
    # The noise has the same bits on every processor; a fused multiply-add would round differently.
    set_source_files_properties(src/kernels/noise.cpp PROPERTIES COMPILE_OPTIONS -ffp-contract=off)
  endif()
endfunction()
