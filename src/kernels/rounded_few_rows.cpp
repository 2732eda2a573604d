#include "kernels/rounded_product.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rounded_few_rows.cpp"
#include <hwy/foreach_target.h>
//
#include <variant>

#include "kernels/rounded_block_product-inl.h"
#include "kernels/rounded_few_product-inl.h"
#include "kernels/rounded_weights-inl.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {
namespace {

template <typename Weights>
void multiply_features(const RoundedProduct<typename Weights::X>& product, int64_t first,
                       int64_t last) {
  FewRowsProduct<Weights>(product).multiply(first, last);
}

/// 0 for one scale for each row.
int64_t group_size_of(const WeightRows& weight) {
  const auto* groups = group_scales(weight);
  return groups == nullptr ? 0 : groups->group_size;
}

template <typename T>
void multiply_int4(const RoundedProduct<T>& product, int64_t first, int64_t last) {
  if (group_size_of(product.weight) == kMinInt4Group) {
    multiply_features<Int4Weights<T, 32>>(product, first, last);
  } else {
    multiply_features<Int4Weights<T, 64>>(product, first, last);
  }
}

template <typename T>
void multiply_int8(const RoundedProduct<T>& product, int64_t first, int64_t last) {
  const int64_t group_size = group_size_of(product.weight);
  if constexpr (sizeof(T) == 2) {
    if (group_size == 16) {
      return multiply_features<Int8Weights<T, 16>>(product, first, last);
    }
  }
  if (group_size == 0) {
    multiply_features<Int8Weights<T, 0>>(product, first, last);
  } else if (group_size == 32) {
    multiply_features<Int8Weights<T, 32>>(product, first, last);
  } else {
    multiply_features<Int8Weights<T, 64>>(product, first, last);
  }
}

// Where there are products of blocks, they come before the templates.

#if HWY_TARGET <= HWY_AVX3
void multiply_int4(const RoundedProduct<int8_t>& product, int64_t first, int64_t last) {
  const auto* values = std::get<Int4Rows>(product.weight).values;
  multiply_block_rows<Int4Blocks>(product, values, group_scales(product.weight), first, last);
}
#endif

#if PREPACK_HAS_VNNI
void multiply_int8(const RoundedProduct<int8_t>& product, int64_t first, int64_t last) {
  const auto* values = values_of(product.weight, product.in_features).first;
  multiply_block_rows<Int8Blocks>(product, values, group_scales(product.weight), first, last);
}
#endif

template <typename T>
void multiply_few(const RoundedProduct<T>& product, int64_t first, int64_t last) {
  if (std::holds_alternative<Int4Rows>(product.weight)) {
    multiply_int4(product, first, last);
  } else {
    multiply_int8(product, first, last);
  }
}

void multiply_few_int16(const RoundedProduct<int16_t>& product, int64_t first, int64_t last) {
  multiply_few(product, first, last);
}

void multiply_few_int8(const RoundedProduct<int8_t>& product, int64_t first, int64_t last) {
  multiply_few(product, first, last);
}

}  // namespace
}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace prepack {

HWY_EXPORT(multiply_few_int16);
HWY_EXPORT(multiply_few_int8);

void multiply_few_rounded_rows(const RoundedProduct<int16_t>& product, int64_t first,
                               int64_t last) {
  HWY_DYNAMIC_DISPATCH(multiply_few_int16)(product, first, last);
}

void multiply_few_rounded_rows(const RoundedProduct<int8_t>& product, int64_t first, int64_t last) {
  HWY_DYNAMIC_DISPATCH(multiply_few_int8)(product, first, last);
}

}  // namespace prepack
#endif
