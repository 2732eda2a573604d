#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>

namespace prepack {

/// Bytes on the CPU for what a product makes of its input, with arbitrary content. Kept by each
/// thread that multiplies: fresh memory for every product costs its first touch.
char* product_buffer(int64_t size);

/// Likewise floats for what a product copies before its input becomes ready, and after its output
/// has: that is, beside product_buffer().
float* wide_copy_buffer(int64_t size);

/// How many tiles of rows are made ready and multiplied at a time, so that they take little memory;
/// but so many at least that making the weights ready for them is little beside.
int64_t max_slice_tiles(int64_t tile_bytes);

/// Bytes of the largest slice of so many rows.
int64_t slice_bytes(int64_t num_rows, int64_t tile_rows, int64_t tile_bytes);

/// Calls multiply(rows of x, rows of out) for slices of at most max_slice_tiles.
/// @param x, out  [num_rows, ...]
template <typename F>
void for_slices(const at::Tensor& x, const at::Tensor& out, int64_t tile_rows, int64_t tile_bytes,
                const F& multiply) {
  const int64_t num_rows = x.size(0);
  const int64_t num_tiles = (num_rows + tile_rows - 1) / tile_rows;
  const int64_t max_tiles = max_slice_tiles(tile_bytes);
  const int64_t num_slices = (num_tiles + max_tiles - 1) / max_tiles;
  if (num_slices == 1) {
    auto all = out;
    return multiply(x, all);
  }
  for (int64_t slice = 0; slice < num_slices; ++slice) {
    const int64_t first = num_tiles * slice / num_slices * tile_rows;
    const int64_t last = std::min(num_tiles * (slice + 1) / num_slices * tile_rows, num_rows);
    auto part = out.narrow(0, first, last - first);
    multiply(x.narrow(0, first, last - first), part);
  }
}

}  // namespace prepack
