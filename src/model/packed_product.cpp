#include "model/packed_product.h"

#include "base/parallel_rows.h"
#include "base/scalar_type.h"
#include "kernels/many_rows.h"
#include "model/product_buffer.h"

namespace prepack {
namespace {

constexpr int64_t kTileRows = PackedRows::kTileRows;

int64_t tile_bytes(int64_t in_features, DType dtype) {
  return kTileRows * PackedRows::padded(in_features) * element_size(dtype);
}

void product_of_slice(const at::Tensor& rows, const WeightRows& weight, const Bias& bias,
                      at::Tensor& out, Finish finish) {
  const int64_t num_rows = rows.size(0);
  const int64_t in_features = rows.size(1);
  const int64_t num_tiles = PackedRows::num_tiles(num_rows);
  const auto dtype = from_scalar_type(rows.scalar_type());
  const PackedRows packed{dtype, product_buffer(num_tiles * tile_bytes(in_features, dtype))};
  parallel_rows(num_tiles, kTileRows * in_features, [&](int64_t first, int64_t last) {
    pack_rows(rows.const_data_ptr(), num_rows, in_features, first, last, packed);
  });
  ManyRowsProduct product{};
  product.x = packed;
  product.weight = weight;
  multiply_in_panels(product, many_rows_features(), rows, bias, out, finish, multiply_many_rows);
}

}  // namespace

void packed_product(const at::Tensor& x, const WeightRows& weight, const Bias& bias,
                    at::Tensor& out, Finish finish) {
  const auto rows = x.contiguous();
  const int64_t of_tile = tile_bytes(x.size(1), from_scalar_type(x.scalar_type()));
  for_slices(rows, out, kTileRows, of_tile, [&](const at::Tensor& slice, at::Tensor& out_slice) {
    product_of_slice(slice, weight, bias, out_slice, finish);
  });
}

int64_t packed_rows_bytes(int64_t num_rows, int64_t in_features, DType dtype) {
  return slice_bytes(num_rows, kTileRows, tile_bytes(in_features, dtype));
}

}  // namespace prepack
