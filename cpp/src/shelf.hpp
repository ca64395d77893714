// Memory that lies ready between calls. A block of megabytes that is freed goes back to the system, and every call would then
// have it mapped and cleared again, page by page, which takes as long as the transforms done in it.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace lmaps {

class Shelf {
 public:
  struct Block {
    std::unique_ptr<float[]> memory;
    std::int64_t size = 0;
  };

  // The smallest block on the shelf of at least `size` floats, or a new one. Safe to call from several threads at once.
  Block take(std::int64_t size);
  // For later calls; freed instead where the shelf is full.
  void put_back(Block block);

 private:
  std::mutex mutex_;
  std::vector<Block> blocks_;
  std::int64_t lying_ = 0;  // floats on the shelf
};

// `count` floats from a shelf, on a boundary of 64 bytes and not set to anything, for as long as this lives.
class Scratch {
 public:
  Scratch(Shelf& shelf, std::int64_t count) : shelf_(shelf), block_(shelf.take(count + kAlign)) {}
  ~Scratch() { shelf_.put_back(std::move(block_)); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  float* data() const {
    const auto address = reinterpret_cast<std::uintptr_t>(block_.memory.get());
    return block_.memory.get() + (kAlign - address / sizeof(float) % kAlign) % kAlign;
  }

 private:
  static constexpr std::size_t kAlign = 16;
  Shelf& shelf_;
  Shelf::Block block_;
};

}  // namespace lmaps
