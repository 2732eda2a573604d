// The numbers that panels of attention multiply, as they fill the lanes of vectors: what type they
// are stored as, how they are multiplied, and how keys, values, queries and the softmax's weights
// are laid out for that. MatrixNumbers, in panel_matrix-inl.h, has products of its own. Included
// once for each instruction set.
#if defined(PREPACK_KERNELS_PANEL_NUMBERS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_PANEL_NUMBERS_INL_H_
#undef PREPACK_KERNELS_PANEL_NUMBERS_INL_H_
#else
#define PREPACK_KERNELS_PANEL_NUMBERS_INL_H_
#endif

#include <algorithm>
#include <cstring>

#include "kernels/attention.h"
#include "kernels/attention_rows-inl.h"
#include "kernels/pair_products-inl.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

/// Rows of a tile: as many sums of two vectors each as the registers hold, next to the operands.
constexpr int kTileRows = HWY_TARGET <= HWY_AVX3 ? 12 : 6;
constexpr int kPanelVectors = 2;

/// Numbers of T in float32, one in a lane.
template <typename T>
struct WidenedNumbers {
  using Stored = T;
  using Products = SingleProducts;
  static constexpr bool kUsesMatrixUnit = false;
  static constexpr bool kScalesScores = false;     // because queries are scaled as they are loaded
  static constexpr int64_t kTogether = 1;          // numbers in a lane
  static constexpr int64_t kTileKeys = kTileRows;  // keys that are scored together

  static int64_t num_lanes_of(int64_t num_numbers) { return num_numbers; }
  /// Lanes from row to row of so many numbers.
  static int64_t stride_of(int64_t num_numbers) { return round_up(num_numbers, num_lanes()); }

  /// @param to  [stride_of(head_dim)]
  static HWY_INLINE void load_query(const AttentionBlock& block, int64_t row, float* to) {
    prepack::HWY_NAMESPACE::load_query<T>(block, row, to);
  }
  static HWY_INLINE void load_key(const T* from, int64_t head_dim, float* to) {
    widen(from, head_dim, 1.0F, to);
  }
  /// @param place   of the key in its block, from 0 on
  /// @param values  of the block, [num_keys / kTogether, stride]
  static HWY_INLINE void load_value(const T* from, int64_t head_dim, int64_t place, int64_t stride,
                                    float* values) {
    widen(from, head_dim, 1.0F, values + place * stride);
  }

  /// weight_of(key) of the keys [begin, end) to their places.
  /// @param begin   a multiple of kTogether
  /// @param column  [end / kTogether], `width` from lane to lane
  /// @return their sum
  template <typename F>
  static HWY_INLINE FloatVec store_weights(int64_t begin, int64_t end, const F& weight_of,
                                           int64_t width, float* column) {
    const Floats d;
    auto total = hn::Zero(d);
    for (int64_t key = begin; key < end; ++key) {
      const auto weight = weight_of(key);
      hn::StoreU(weight, d, column + key * width);
      total = hn::Add(total, weight);
    }
    return total;
  }
};

#if HWY_TARGET <= HWY_AVX3

/// Numbers of bfloat16, two in a lane. Weights are rounded to it; their sum is of the rounded ones.
struct PairNumbers {
  using Stored = hwy::bfloat16_t;
  using Products = NativePairProducts;
  static constexpr bool kUsesMatrixUnit = false;
  static constexpr bool kScalesScores = true;
  static constexpr int64_t kTogether = 2;
  static constexpr int64_t kTileKeys = kTileRows;

  static int64_t num_lanes_of(int64_t num_numbers) { return (num_numbers + 1) / 2; }
  static int64_t stride_of(int64_t num_numbers) {
    return round_up(num_lanes_of(num_numbers), num_lanes());
  }

  static HWY_INLINE void load_query(const AttentionBlock& block, int64_t row, float* to) {
    load_key(query_of<Stored>(block, row), block.head_dim, to);
  }

  /// As they are, and zeros up to a whole vector.
  static HWY_INLINE void load_key(const Stored* from, int64_t head_dim, float* to) {
    const hn::Repartition<uint16_t, Floats> d;
    const int64_t lanes = 2 * num_lanes();
    const auto* numbers = reinterpret_cast<const uint16_t*>(from);
    auto* out = reinterpret_cast<uint16_t*>(to);
    int64_t i = 0;
    for (; i + lanes <= head_dim; i += lanes) hn::StoreU(hn::LoadU(d, numbers + i), d, out + i);
    if (i < head_dim) {
      const auto is_there = hn::FirstN(d, static_cast<size_t>(head_dim - i));
      hn::StoreU(hn::MaskedLoad(is_there, d, numbers + i), d, out + i);
    }
  }

  /// The lower half of each lane, or, behind another key's, the upper half.
  static HWY_INLINE void load_value(const Stored* from, int64_t head_dim, int64_t place,
                                    int64_t stride, float* values) {
    const hn::Rebind<uint16_t, Floats> halves;
    const hn::Rebind<uint32_t, Floats> words;
    const auto* numbers = reinterpret_cast<const uint16_t*>(from);
    auto* out = reinterpret_cast<uint32_t*>(values + place / 2 * stride);
    const bool is_upper = place % 2 != 0;
    for (int64_t i = 0; i < head_dim; i += num_lanes()) {
      const auto is_there = hn::FirstN(halves, static_cast<size_t>(head_dim - i));
      const auto word = hn::PromoteTo(words, hn::MaskedLoad(is_there, halves, numbers + i));
      hn::StoreU(is_upper ? hn::Or(hn::LoadU(words, out + i), hn::ShiftLeft<16>(word)) : word,
                 words, out + i);
    }
  }

  template <typename F>
  static HWY_INLINE FloatVec store_weights(int64_t begin, int64_t end, const F& weight_of,
                                           int64_t width, float* column) {
    const Floats d;
    auto total = hn::Zero(d);
    for (int64_t key = begin; key < end; key += 2) {
      const auto pair =
          Products::pair(weight_of(key), key + 1 < end ? weight_of(key + 1) : hn::Zero(d));
      hn::StoreU(pair, d, column + key / 2 * width);
      total = hn::Add(total, hn::Add(lower_halves(pair), upper_halves(pair)));
    }
    return total;
  }
};

#else

// Never chosen.
using PairNumbers = WidenedNumbers<hwy::bfloat16_t>;

#endif

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
