#include "model/packed_product.h"

#include <algorithm>

#include "base/mapped_tensor.h"
#include "base/parallel_rows.h"
#include "base/scalar_type.h"
#include "kernels/many_rows.h"

namespace prepack {
namespace {

constexpr int64_t kTileRows = PackedRows::kTileRows;

/// Rows are packed and multiplied by slices that take so much memory; but of so many tiles at least
/// that laying out the weights for each slice is little beside.
constexpr int64_t kSliceBytes = int64_t{24} << 20;
constexpr int64_t kMinSliceTiles = 32;

int64_t tile_bytes(int64_t in_features, DType dtype) {
  return kTileRows * PackedRows::padded(in_features) * element_size(dtype);
}

int64_t max_slice_tiles(int64_t in_features, DType dtype) {
  return std::max(kSliceBytes / tile_bytes(in_features, dtype), kMinSliceTiles);
}

/// Kept by each thread that multiplies: fresh memory for every product costs its first touch. One
/// that is too small is given back first, and leaves no hole in the heap.
char* packed_buffer(int64_t size) {
  static thread_local at::Tensor buffer;
  if (!buffer.defined() || buffer.numel() < size) {
    buffer.reset();
    buffer = scratch({size}, at::kByte);
  }
  return static_cast<char*>(buffer.data_ptr());
}

void product_of_slice(const at::Tensor& rows, const WeightRows& weight, const Bias& bias,
                      at::Tensor& out, bool adds) {
  const int64_t num_rows = rows.size(0);
  const int64_t in_features = rows.size(1);
  const int64_t num_tiles = PackedRows::num_tiles(num_rows);
  const auto dtype = from_scalar_type(rows.scalar_type());
  const PackedRows packed{dtype, packed_buffer(num_tiles * tile_bytes(in_features, dtype))};
  parallel_rows(num_tiles, kTileRows * in_features, [&](int64_t first, int64_t last) {
    pack_rows(rows.const_data_ptr(), num_rows, in_features, first, last, packed);
  });
  ManyRowsProduct product{};
  product.x = packed;
  product.weight = weight;
  multiply_in_panels(product, many_rows_features(), rows, bias, out, adds, multiply_many_rows);
}

}  // namespace

void packed_product(const at::Tensor& x, const WeightRows& weight, const Bias& bias,
                    at::Tensor& out, bool adds) {
  const auto rows = x.contiguous();
  const int64_t num_rows = x.size(0);
  const int64_t num_tiles = PackedRows::num_tiles(num_rows);
  const int64_t max_tiles = max_slice_tiles(x.size(1), from_scalar_type(x.scalar_type()));
  const int64_t num_slices = (num_tiles + max_tiles - 1) / max_tiles;
  for (int64_t slice = 0; slice < num_slices; ++slice) {
    const int64_t first = num_tiles * slice / num_slices * kTileRows;
    const int64_t last = std::min(num_tiles * (slice + 1) / num_slices * kTileRows, num_rows);
    auto part = out.narrow(0, first, last - first);
    product_of_slice(rows.narrow(0, first, last - first), weight, bias, part, adds);
  }
}

int64_t packed_rows_bytes(int64_t num_rows, int64_t in_features, DType dtype) {
  const int64_t num_tiles =
      std::min(PackedRows::num_tiles(num_rows), max_slice_tiles(in_features, dtype));
  return num_tiles * tile_bytes(in_features, dtype);
}

}  // namespace prepack
