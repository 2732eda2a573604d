#include "model/wide_product.h"

#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <variant>

#include "base/parallel_rows.h"
#include "base/scalar_type.h"
#include "kernels/byte_tiles.h"
#include "kernels/linear.h"
#include "kernels/many_rows.h"
#include "kernels/rounded_product.h"
#include "model/libtorch_product.h"
#include "model/packed_product.h"
#include "model/product_buffer.h"
#include "model/product_panels.h"
#include "model/rounded_tiles_product.h"

namespace prepack {
namespace {

bool is_wide(const Weight& weight) {
  const auto* tensor = std::get_if<at::Tensor>(&weight);
  return tensor != nullptr && tensor->scalar_type() == at::kFloat;
}

bool has_4_bits(const Weight& weight) {
  const auto* quantized = std::get_if<QuantizedWeight>(&weight);
  return quantized != nullptr && quantized->format.bits == 4;
}

/// Rows up to which the kernel of few rows beats our kernel of many rows, as prepack_linear_bench
/// finds it with vectors of 512 bits on Zen 5 and of 256 on Zen 3. With narrower ones LibTorch's
/// product comes in its place, which needs weights widened before; not measured.
int64_t max_few_rows(const Weight& weight) {
  if (has_wide_vectors()) return is_wide(weight) ? max_stored_rows() : 96;
  if (has_fast_many_rows()) return has_4_bits(weight) ? 88 : max_stored_rows();
  return is_wide(weight) ? max_stored_rows() : 192;
}

/// Copies in float32 are made of slices of so many rows, or of several times as many.
constexpr int64_t kSliceRows = PackedRows::kTileRows;

/// Of an input and its output in float32.
int64_t wide_row_bytes(int64_t in_features, int64_t out_features) {
  return (in_features + out_features) * element_size(DType::kFloat32);
}

/// Features are shared among threads by so many, which the kernels compute together.
constexpr int64_t kFewRowsFeatures = 4;
constexpr int64_t kRoundedFeatures = 32;

/// Rows of T up to which the kernel of few rows beats that of many, on Zen 5 with VNNI.
template <typename T>
int64_t max_few_rounded_rows(const WeightRows& weight) {
  if (!has_wide_vectors()) return 48;
  if (sizeof(T) == 1) return 8;
  if (std::holds_alternative<Int4Rows>(weight)) return 24;
  return std::holds_alternative<Int8Rows>(weight) ? 12 : 48;
}

void product_of_few_rows(const at::Tensor& x, const WeightRows& weight, const Bias& bias,
                         at::Tensor& out, Finish finish) {
  const auto rows = x.contiguous();
  FewRowsProduct product{};
  product.x = rows.const_data_ptr<float>();
  product.weight = weight;
  multiply_in_panels(product, kFewRowsFeatures, rows, bias, out, finish, multiply_few_rows);
}

/// Bytes of x rounded to T.
/// @param size  numbers, with those that fill up blocks and tiles
template <typename T>
int64_t rounded_bytes(int64_t size, int64_t sum_group) {
  const int64_t num_scales = size / RoundedRows<T>::kGroup;
  // Corrections are as many as scales, and not always needed.
  return size * static_cast<int64_t>(sizeof(T)) +
         (2 * num_scales + size / sum_group) * static_cast<int64_t>(sizeof(float));
}

static_assert(ByteTiles::kGroup <= RoundedRows<int8_t>::kMaxScaleGroup);

/// x rounded to T, in memory that is kept for the next products.
template <typename T>
RoundedRows<T> round_to_buffer(const at::Tensor& x, const WeightRows& weight, int64_t tile_rows) {
  using Rows = RoundedRows<T>;
  Rows to{};
  to.tile_rows = tile_rows;
  to.sum_group = rounded_sum_group(weight, Rows::kGroup);
  if (sizeof(T) == 1 && has_rounded_tiles_product(weight)) to.scale_group = ByteTiles::kGroup;
  const int64_t num_rows = x.size(0);
  const int64_t in_features = x.size(1);
  const int64_t num_tiles = to.num_tiles(num_rows);
  const int64_t size = num_tiles * Rows::num_blocks(in_features) * Rows::kBlock * tile_rows;
  const int64_t num_scales = size / Rows::kGroup;
  const bool has_corrections =
      sizeof(T) == 1 && tile_rows > 1 && !std::holds_alternative<Int4Rows>(weight);
  char* const buffer = product_buffer(rounded_bytes<T>(size, to.sum_group));
  to.values = reinterpret_cast<T*>(buffer);
  to.scales = reinterpret_cast<float*>(to.values + size);
  to.sums = to.scales + num_scales;
  if (has_corrections) {
    to.corrections = reinterpret_cast<int32_t*>(to.sums + size / to.sum_group);
  }
  const auto dtype = from_scalar_type(x.scalar_type());
  parallel_rows(num_tiles, tile_rows * in_features, [&](int64_t first, int64_t last) {
    round_rows(dtype, x.const_data_ptr(), num_rows, in_features, first, last, to);
  });
  return to;
}

/// Of a quantized weight, with x rounded to T.
template <typename T>
void product_of_rounded_rows(const at::Tensor& x, const WeightRows& weight, const Bias& bias,
                             at::Tensor& out, Finish finish) {
  const bool are_few = x.size(0) <= max_few_rounded_rows<T>(weight);
  const int64_t tile_rows = are_few ? 1 : kRoundedTileRows;
  const int64_t tile_size =
      tile_rows * RoundedRows<T>::num_blocks(x.size(1)) * RoundedRows<T>::kBlock;
  const int64_t tile_bytes =
      rounded_bytes<T>(tile_size, rounded_sum_group(weight, RoundedRows<T>::kGroup));
  for_slices(
      x.contiguous(), out, tile_rows, tile_bytes, [&](const at::Tensor& rows, at::Tensor& part) {
        RoundedProduct<T> product{};
        product.x = round_to_buffer<T>(rows, weight, tile_rows);
        product.weight = weight;
        product.out_dtype = from_scalar_type(out.scalar_type());
        multiply_in_panels(product, are_few ? kFewRowsFeatures : kRoundedFeatures, rows, bias, part,
                           finish,
                           [&](const RoundedProduct<T>& panels, int64_t first, int64_t last) {
                             are_few ? multiply_few_rounded_rows(panels, first, last)
                                     : multiply_rounded_rows(panels, first, last);
                           });
      });
}

/// In float32, with x and out in float32.
void multiply_wide(const at::Tensor& x, const Weight& weight, const Bias& bias, at::Tensor& out,
                   Finish finish) {
  if (x.size(0) <= max_few_rows(weight)) {
    product_of_few_rows(x, weight_rows(weight), bias, out, finish);
  } else if (has_fast_many_rows()) {
    packed_product(x, weight_rows(weight), bias, out, finish);
  } else {
    libtorch_product(x, weight, bias, out, finish == Finish::kAdd);
  }
}

/// Likewise, with x and out of any dtype, by way of copies.
void multiply_copies(const at::Tensor& x, const Weight& weight, const Bias& bias, at::Tensor& out,
                     Finish finish) {
  const int64_t slice_bytes = kSliceRows * wide_row_bytes(x.size(1), out.size(1));
  for_slices(x, out, kSliceRows, slice_bytes, [&](const at::Tensor& rows, at::Tensor& part) {
    float* const buffer = wide_copy_buffer(rows.numel() + part.numel());
    const auto wide = [](const at::Tensor& tensor, float* copy) {
      return tensor.scalar_type() == at::kFloat ? tensor
                                                : at::from_blob(copy, tensor.sizes(), at::kFloat);
    };
    const auto wide_rows = wide(rows, buffer);
    auto wide_part = wide(part, buffer + rows.numel());
    if (!wide_rows.is_same(rows)) wide_rows.copy_(rows);
    // Added in float32, to be rounded once.
    const bool is_copy = !wide_part.is_same(part);
    if (is_copy && finish == Finish::kAdd) wide_part.copy_(part);
    multiply_wide(wide_rows, weight, bias, wide_part, finish);
    if (is_copy) part.copy_(wide_part);
  });
}

void multiply(const at::Tensor& x, const Weight& weight, const Bias& bias, at::Tensor& out,
              Finish finish) {
  if (out.numel() == 0) return;
  if (out.stride(1) != 1) {
    auto compact = out.clone(at::MemoryFormat::Contiguous);
    multiply(x, weight, bias, compact, finish);
    out.copy_(compact);
    return;
  }
  const auto* tensor = std::get_if<at::Tensor>(&weight);
  if (tensor != nullptr && !tensor->is_contiguous()) {
    return multiply(x, tensor->contiguous(), bias, out, finish);
  }
  switch (activations_of(weight)) {
    case Activations::kInt16:
      return product_of_rounded_rows<int16_t>(x, weight_rows(weight), bias, out, finish);
    case Activations::kInt8:
      if (is_rounded_tiles_product_best(weight, x.size(0))) {
        return rounded_tiles_product(x, weight, bias, out, finish);
      }
      return product_of_rounded_rows<int8_t>(x, weight_rows(weight), bias, out, finish);
    case Activations::kAsComputed:
      break;
  }
  const bool is_wide = x.scalar_type() == at::kFloat && out.scalar_type() == at::kFloat;
  is_wide ? multiply_wide(x, weight, bias, out, finish)
          : multiply_copies(x, weight, bias, out, finish);
}

}  // namespace

int64_t max_stored_rows() {
  if (has_wide_vectors()) return 24;
  return has_fast_many_rows() ? 40 : 128;
}

int64_t wide_copy_bytes(int64_t num_rows, int64_t in_features, int64_t out_features) {
  return slice_bytes(num_rows, kSliceRows, kSliceRows * wide_row_bytes(in_features, out_features));
}

int64_t rounded_rows_bytes(int64_t num_rows, int64_t in_features) {
  using Rows = RoundedRows<int16_t>;
  const int64_t of_row =
      rounded_bytes<int16_t>(Rows::num_blocks(in_features) * Rows::kBlock, kMinSumGroup);
  return std::max(slice_bytes(num_rows, kRoundedTileRows, kRoundedTileRows * of_row),
                  rounded_tiles_bytes(num_rows, in_features));
}

void wide_product(const at::Tensor& x, const Weight& weight, const Bias& bias, at::Tensor& out) {
  multiply(x, weight, bias, out, Finish::kWrite);
}

bool can_gate_wide_product(const Weight& weight, c10::ScalarType dtype, int64_t num_rows) {
  switch (activations_of(weight)) {
    case Activations::kInt16:
      return num_rows > max_few_rounded_rows<int16_t>(weight_rows(weight));
    case Activations::kInt8:
      return num_rows > max_few_rounded_rows<int8_t>(weight_rows(weight)) ||
             is_rounded_tiles_product_best(weight, num_rows);
    case Activations::kAsComputed:
      break;
  }
  return dtype == at::kFloat && has_fast_many_rows() && num_rows > max_few_rows(weight);
}

void gated_wide_product(const at::Tensor& x, const Weight& weight, const Bias& bias,
                        at::Tensor& out) {
  multiply(x, weight, bias, out, Finish::kGate);
}

void add_wide_product(const at::Tensor& x, const Weight& weight, const Bias& bias,
                      at::Tensor& out) {
  multiply(x, weight, bias, out, Finish::kAdd);
}

}  // namespace prepack
