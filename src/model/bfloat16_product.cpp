#include "model/bfloat16_product.h"

#include "kernels/bfloat16_few_rows.h"
#include "kernels/many_rows.h"
#include "model/native_products.h"
#include "model/packed_product.h"

namespace prepack {
namespace {

/// Rows up to which the kernel of few rows beats that of many, as prepack_linear_bench finds it on
/// Zen 5. Where there is a matrix unit, so few that memory alone limits them: no more was measured.
int64_t max_few_rows() { return has_amx() ? 4 : 64; }

/// Features are shared among threads by so many, which the kernel computes together.
constexpr int64_t kFewRowsFeatures = 4;

}  // namespace

bool is_bfloat16_product_best(int64_t num_rows) {
  return has_bfloat16_dot_products() && (!has_amx() || num_rows <= max_few_rows());
}

void bfloat16_product(const at::Tensor& x, const at::Tensor& weight, const Bias& bias,
                      at::Tensor& out, bool adds) {
  const bool has_pairs = x.size(1) % 2 == 0;
  if (x.size(0) > max_few_rows() || !has_pairs) {
    return packed_product(x, PlainRows{DType::kBFloat16, weight.const_data_ptr()}, bias, out, adds);
  }
  const auto rows = x.contiguous();
  FewBFloat16RowsProduct product{};
  product.x = rows.const_data_ptr();
  product.weight = weight.const_data_ptr();
  multiply_in_panels(product, kFewRowsFeatures, rows, bias, out, adds, multiply_few_bfloat16_rows);
}

}  // namespace prepack
