#include "model/bfloat16_product.h"

#include <variant>

#include "kernels/bfloat16_few_rows.h"
#include "kernels/many_rows.h"
#include "model/libtorch_product.h"
#include "model/native_products.h"
#include "model/packed_product.h"
#include "model/rounded_tiles_product.h"

namespace prepack {
namespace {

/// Rows up to which the kernel of few rows beats that of many, as prepack_linear_bench finds it on
/// Zen 5. Where there is a matrix unit, so few that memory alone limits them: no more was measured.
int64_t max_few_rows() { return has_amx() ? 4 : 48; }

/// Rows up to which quantized weights are better widened to float32 in registers than rounded to
/// bfloat16 in the caches: 8 and 4 bits on Zen 5. Not measured with a matrix unit.
constexpr int64_t kMaxWidenedRows = 32;

/// Features are shared among threads by so many, which the kernel computes together.
constexpr int64_t kFewRowsFeatures = 4;

void product_of_few_rows(const at::Tensor& x, const at::Tensor& weight, const Bias& bias,
                         at::Tensor& out, Finish finish) {
  const auto rows = x.contiguous();
  FewBFloat16RowsProduct product{};
  product.x = rows.const_data_ptr();
  product.weight = weight.const_data_ptr();
  multiply_in_panels(product, kFewRowsFeatures, rows, bias, out, finish,
                     multiply_few_bfloat16_rows);
}

enum class Kernel { kFewRows, kLibTorch, kManyRows };

Kernel kernel_for(const Weight& weight, int64_t num_rows) {
  const auto* tensor = std::get_if<at::Tensor>(&weight);
  if (tensor == nullptr) return has_amx() ? Kernel::kLibTorch : Kernel::kManyRows;
  const bool has_pairs = tensor->size(1) % 2 == 0;
  return num_rows <= max_few_rows() && has_pairs ? Kernel::kFewRows : Kernel::kManyRows;
}

}  // namespace

bool is_bfloat16_product_best(const Weight& weight, int64_t num_rows) {
  if (!has_bfloat16_dot_products()) return false;
  if (std::holds_alternative<at::Tensor>(weight)) return !has_amx() || num_rows <= max_few_rows();
  if (num_rows <= kMaxWidenedRows) return false;
  // A matrix unit multiplies four times as many numbers of bfloat16 a cycle as VNNI does integers
  // of 8 bits, and itself of these twice as many. Not measured.
  if (is_rounded_tiles_product_best(weight, num_rows)) return false;
  return has_amx() || activations_of(weight) == Activations::kAsComputed;
}

bool can_gate_bfloat16_product(const Weight& weight, int64_t num_rows) {
  return kernel_for(weight, num_rows) == Kernel::kManyRows;
}

void bfloat16_product(const at::Tensor& x, const Weight& weight, const Bias& bias, at::Tensor& out,
                      Finish finish) {
  switch (kernel_for(weight, x.size(0))) {
    case Kernel::kFewRows:
      return product_of_few_rows(x, std::get<at::Tensor>(weight), bias, out, finish);
    case Kernel::kLibTorch:
      return libtorch_product(x, weight, bias, out, finish == Finish::kAdd);
    case Kernel::kManyRows:
      return packed_product(x, weight_rows(weight), bias, out, finish);
  }
}

}  // namespace prepack
