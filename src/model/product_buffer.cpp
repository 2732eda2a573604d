#include "model/product_buffer.h"

#include <algorithm>

#include "base/mapped_tensor.h"

namespace prepack {
namespace {

constexpr int64_t kSliceBytes = int64_t{24} << 20;
constexpr int64_t kMinSliceTiles = 32;

void* at_least(int64_t size, at::Tensor& buffer) {
  if (!buffer.defined() || buffer.numel() < size) {
    buffer.reset();  // first, to leave no hole in the heap
    buffer = scratch({size}, at::kByte);
  }
  return buffer.data_ptr();
}

}  // namespace

char* product_buffer(int64_t size) {
  static thread_local at::Tensor buffer;
  return static_cast<char*>(at_least(size, buffer));
}

float* wide_copy_buffer(int64_t size) {
  static thread_local at::Tensor buffer;
  return static_cast<float*>(at_least(size * static_cast<int64_t>(sizeof(float)), buffer));
}

int64_t max_slice_tiles(int64_t tile_bytes) {
  return std::max(kSliceBytes / std::max<int64_t>(tile_bytes, 1), kMinSliceTiles);
}

int64_t slice_bytes(int64_t num_rows, int64_t tile_rows, int64_t tile_bytes) {
  const int64_t num_tiles = (num_rows + tile_rows - 1) / tile_rows;
  return std::min(num_tiles, max_slice_tiles(tile_bytes)) * tile_bytes;
}

}  // namespace prepack
