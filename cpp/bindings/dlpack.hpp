// The part of the DLPack ABI (version 0, "dltensor" capsules) that reading a tensor takes.
#pragma once

#include <cstdint>

namespace lmaps::bindings::dlpack {

inline constexpr std::int32_t kCpu = 1;
inline constexpr std::int32_t kCudaHost = 3;  // pinned memory, which the processor reads like any other
inline constexpr std::uint8_t kFloat = 2;
inline constexpr std::uint8_t kComplex = 5;

struct Device {
  std::int32_t type;
  std::int32_t id;
};

struct DataType {
  std::uint8_t code;
  std::uint8_t bits;
  std::uint16_t lanes;
};

struct Tensor {
  void* data;
  Device device;
  std::int32_t dimensions;
  DataType type;
  std::int64_t* shape;
  std::int64_t* strides;  // null: row-major
  std::uint64_t byte_offset;
};

}  // namespace lmaps::bindings::dlpack
