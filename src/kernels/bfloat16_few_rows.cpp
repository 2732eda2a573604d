#include "kernels/bfloat16_few_rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/bfloat16_few_rows.cpp"
#include <hwy/foreach_target.h>
//
#include "kernels/pair_products-inl.h"
#include "kernels/resident_rows-inl.h"
#include "kernels/scratch.h"
#include "kernels/streamed_rows-inl.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {
namespace {

/// The product with two neighbours along k taken for one number of 32 bits.
template <typename Out>
struct PairProduct {
  const float* x;
  const float* weight;
  const float* bias;
  Out* out;
  int64_t num_rows;
  int64_t in_features;  // pairs
  int64_t out_stride;
  bool adds_to_out;
};

/// Adds the bias, and puts sums where they belong.
template <typename Out>
HWY_INLINE void store_sums(const PairProduct<Out>& product, const float* sums, int64_t row,
                           int64_t first, int64_t count, bool adds_bias, bool adds_to_out) {
  const float* bias = product.bias != nullptr && adds_bias ? product.bias + first : nullptr;
  store_biased(count, sums, bias, adds_to_out, product.out + row * product.out_stride + first);
}

#if HWY_TARGET <= HWY_AVX3

template <typename Products, typename Out>
using PairBlock = StreamedBlock<PairProduct<Out>, Products, /*kMaxRows=*/12>;

template <typename Products, typename Out>
void multiply_block(const PairProduct<Out>& product, int64_t k, int64_t size, float* scratch,
                    int64_t first, int64_t last) {
  const PairBlock<Products, Out> block(product, k, size, scratch);
  block.multiply_stored(product.weight + k, nullptr, first, last);
}

/// Of features whose sums, of several blocks of k, stay in a second cache.
constexpr int64_t kSummedFeatures = 512;

/// Of one group of rows, or of many.
template <typename Products>
void multiply_streamed_pairs(const PairProduct<hwy::bfloat16_t>& product, int64_t first,
                             int64_t last) {
  using Block = PairBlock<Products, float>;
  const int64_t num_rows = product.num_rows;
  const int64_t in_features = product.in_features;
  const int64_t max_size = Block::max_size(num_rows);
  const int64_t scratch_size = Block::scratch_size(num_rows, std::min(max_size, in_features));
  if (in_features <= max_size) {
    Scratch scratch(scratch_size, 1);
    float* x = scratch.take(scratch_size);
    return multiply_block<Products>(product, 0, in_features, x, first, last);
  }
  const int64_t sums_size = num_rows * kSummedFeatures;
  Scratch scratch(scratch_size + sums_size, 2);
  float* x = scratch.take(scratch_size);
  float* sums = scratch.take(sums_size);
  for (int64_t n = first; n < last; n += kSummedFeatures) {
    const int64_t count = std::min(last - n, kSummedFeatures);
    // Rounded once, when all blocks are summed.
    const PairProduct<float> wide{product.x,       product.weight + n * in_features,
                                  nullptr,         sums,
                                  num_rows,        in_features,
                                  kSummedFeatures, false};
    for_blocks(in_features, max_size, [&](int64_t k, int64_t size) HWY_ATTR {
      multiply_block<Products>(wide, k, size, x, 0, count);
    });
    for (int64_t row = 0; row < num_rows; ++row) {
      store_sums(product, sums + row * kSummedFeatures, row, n, count, /*adds_bias=*/true,
                 product.adds_to_out);
    }
  }
}

/// Of several groups of rows.
template <typename Products>
void multiply_resident_pairs(const PairProduct<hwy::bfloat16_t>& product, int64_t first,
                             int64_t last) {
  ResidentRows<Products> rows(product.num_rows, product.in_features);
  // Not whole pages apart, which would take turns in the same places of the first cache.
  constexpr int64_t kStride = kSummedFeatures + 16;
  Scratch scratch(rows.scratch_size() + product.num_rows * kStride, 2);
  rows.lay_out(product.x, scratch.take(rows.scratch_size()));
  float* sums = scratch.take(product.num_rows * kStride);
  for (int64_t n = first; n < last; n += kSummedFeatures) {
    const int64_t count = std::min(last - n, kSummedFeatures);
    rows.multiply(product.weight + n * product.in_features, count, sums, kStride);
    for (int64_t row = 0; row < product.num_rows; ++row) {
      store_sums(product, sums + row * kStride, row, n, count, /*adds_bias=*/true,
                 product.adds_to_out);
    }
  }
}

template <typename Products>
void multiply_pairs(const PairProduct<hwy::bfloat16_t>& product, int64_t first, int64_t last) {
  using Resident = ResidentRows<Products>;
  if (product.num_rows >= Resident::kMinRows && product.num_rows <= Resident::kMaxRows) {
    multiply_resident_pairs<Products>(product, first, last);
  } else {
    multiply_streamed_pairs<Products>(product, first, last);
  }
}

#else

template <typename Products>
void multiply_pairs(const PairProduct<hwy::bfloat16_t>& product, int64_t first, int64_t last) {
  const int64_t in_features = product.in_features;
  const int64_t lanes = num_lanes();
  for (int64_t n = first; n < last; ++n) {
    const float* w = product.weight + n * in_features;
    for (int64_t row = 0; row < product.num_rows; ++row) {
      const float* x = product.x + row * in_features;
      auto sum = hn::Zero(Floats());
      int64_t k = 0;
      for (; k + lanes <= in_features; k += lanes) {
        sum = Products::add(load_floats(x + k), load_floats(w + k), sum);
      }
      if (k < in_features) {
        const int64_t rest = in_features - k;
        sum = Products::add(load_first(x + k, rest), load_first(w + k, rest), sum);
      }
      const float total = hn::GetLane(hn::SumOfLanes(Floats(), sum));
      store_sums(product, &total, row, n, 1, /*adds_bias=*/true, product.adds_to_out);
    }
  }
}

#endif

void multiply_few_bfloat16_rows(const FewBFloat16RowsProduct& product, int64_t first,
                                int64_t last) {
  const PairProduct<hwy::bfloat16_t> pairs{static_cast<const float*>(product.x),
                                           static_cast<const float*>(product.weight),
                                           product.bias,
                                           static_cast<hwy::bfloat16_t*>(product.out),
                                           product.num_rows,
                                           product.in_features / 2,
                                           product.out_stride,
                                           product.adds_to_out};
  with_pair_products([&]<typename Products>(Products)
                         HWY_ATTR { multiply_pairs<Products>(pairs, first, last); });
}

}  // namespace
}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace prepack {

HWY_EXPORT(multiply_few_bfloat16_rows);

void multiply_few_bfloat16_rows(const FewBFloat16RowsProduct& product, int64_t first,
                                int64_t last) {
  HWY_DYNAMIC_DISPATCH(multiply_few_bfloat16_rows)(product, first, last);
}

}  // namespace prepack
#endif
