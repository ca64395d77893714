#include "shelf.hpp"

#include <algorithm>

namespace lmaps {
namespace {

constexpr std::int64_t kMostLying = std::int64_t{1} << 24;  // 64 MiB

}  // namespace

Shelf::Block Shelf::take(std::int64_t size) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    auto best = blocks_.end();
    for (auto block = blocks_.begin(); block != blocks_.end(); ++block) {
      if (block->size >= size && (best == blocks_.end() || block->size < best->size)) best = block;
    }
    if (best != blocks_.end()) {
      Block taken = std::move(*best);
      blocks_.erase(best);
      lying_ -= taken.size;
      return taken;
    }
  }
  return {std::unique_ptr<float[]>(new float[static_cast<std::size_t>(size)]), size};
}

void Shelf::put_back(Block block) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (lying_ + block.size > kMostLying) return;
  lying_ += block.size;
  blocks_.push_back(std::move(block));
}

}  // namespace lmaps
