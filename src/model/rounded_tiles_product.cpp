#include "model/rounded_tiles_product.h"

#include <variant>

#include "base/parallel_rows.h"
#include "base/scalar_type.h"
#include "kernels/byte_tiles_product.h"
#include "model/product_buffer.h"

namespace prepack {
namespace {

/// Rows up to which other kernels read each weight once. Not measured.
constexpr int64_t kMaxFewRows = 8;

constexpr int64_t kPairRows = ByteTiles::kPairRows;

/// Of two tiles, without their scales.
int64_t pair_size(int64_t in_features) {
  return kPairRows * ByteTiles::num_blocks(in_features) * ByteTiles::kBlock;
}

int64_t pair_bytes(int64_t in_features) {
  const int64_t num_scales = kPairRows * ByteTiles::num_groups(in_features);
  return pair_size(in_features) + num_scales * static_cast<int64_t>(sizeof(float));
}

/// x rounded to 8 bits, in memory that is kept for the next products.
ByteTiles round_to_buffer(const at::Tensor& x) {
  const int64_t num_rows = x.size(0);
  const int64_t in_features = x.size(1);
  const int64_t num_tiles = ByteTiles::num_tiles(num_rows);
  char* const buffer = product_buffer(num_tiles / 2 * pair_bytes(in_features));
  const ByteTiles to = {reinterpret_cast<int8_t*>(buffer),
                        reinterpret_cast<float*>(buffer + num_tiles / 2 * pair_size(in_features))};
  const auto dtype = from_scalar_type(x.scalar_type());
  parallel_rows(num_tiles, ByteTiles::kRows * in_features, [&](int64_t first, int64_t last) {
    round_to_tiles(dtype, x.const_data_ptr(), num_rows, in_features, first, last, to);
  });
  return to;
}

}  // namespace

bool has_rounded_tiles_product(const WeightRows& weight) {
  return std::holds_alternative<Int8Rows>(weight) && can_multiply_byte_tiles();
}

bool is_rounded_tiles_product_best(const Weight& weight, int64_t num_rows) {
  return num_rows > kMaxFewRows && activations_of(weight) == Activations::kInt8 &&
         has_rounded_tiles_product(weight_rows(weight));
}

void rounded_tiles_product(const at::Tensor& x, const Weight& weight, const Bias& bias,
                           at::Tensor& out, Finish finish) {
  for_slices(x.contiguous(), out, kPairRows, pair_bytes(x.size(1)),
             [&](const at::Tensor& rows, at::Tensor& part) {
               ByteTilesProduct product{};
               product.x = round_to_buffer(rows);
               product.weight = std::get<Int8Rows>(weight_rows(weight));
               product.out_dtype = from_scalar_type(out.scalar_type());
               multiply_in_panels(product, kByteTilesFeatures, rows, bias, part, finish,
                                  multiply_byte_tiles);
             });
}

int64_t rounded_tiles_bytes(int64_t num_rows, int64_t in_features) {
  return slice_bytes(num_rows, kPairRows, pair_bytes(in_features));
}

}  // namespace prepack
