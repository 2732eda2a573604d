#include "model/packed_product.h"

#include "base/mapped_tensor.h"
#include "base/parallel_rows.h"
#include "base/scalar_type.h"
#include "kernels/many_rows.h"

namespace prepack {
namespace {

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

}  // namespace

int64_t packed_bytes_per_row(int64_t in_features, at::ScalarType dtype) {
  return PackedRows::padded(in_features) * element_size(from_scalar_type(dtype));
}

void packed_product(const at::Tensor& x, const WeightRows& weight, const Bias& bias,
                    at::Tensor& out, bool adds) {
  const auto rows = x.contiguous();
  const int64_t num_rows = x.size(0);
  const int64_t in_features = x.size(1);
  const int64_t num_tiles = PackedRows::num_tiles(num_rows);
  const int64_t tile_bytes =
      PackedRows::kTileRows * packed_bytes_per_row(in_features, x.scalar_type());
  const PackedRows packed{from_scalar_type(x.scalar_type()), packed_buffer(num_tiles * tile_bytes)};
  parallel_rows(num_tiles, PackedRows::kTileRows * in_features, [&](int64_t first, int64_t last) {
    pack_rows(rows.const_data_ptr(), num_rows, in_features, first, last, packed);
  });
  ManyRowsProduct product{};
  product.x = packed;
  product.weight = weight;
  multiply_in_panels(product, many_rows_features(), rows, bias, out, adds, multiply_many_rows);
}

}  // namespace prepack
