// Products of weights of 4 and 8 bits with a few rows rounded to 8 bits, in vectors of 512 bits.
// Included once for each instruction set.
#if defined(PREPACK_KERNELS_ROUNDED_BLOCK_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_ROUNDED_BLOCK_PRODUCT_INL_H_
#undef PREPACK_KERNELS_ROUNDED_BLOCK_PRODUCT_INL_H_
#else
#define PREPACK_KERNELS_ROUNDED_BLOCK_PRODUCT_INL_H_
#endif

#include <algorithm>

#include "kernels/groups-inl.h"
#include "kernels/lane_sums-inl.h"
#include "kernels/rounded_block_rows-inl.h"
#include "kernels/rounded_product.h"
#include "kernels/rounded_sums-inl.h"
#include "kernels/scratch.h"

#if HWY_TARGET <= HWY_AVX3

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

/// One product, whose x is put into the order of the blocks first.
/// @tparam T  of scales and minimums; or NoScales
template <typename Blocks, typename T>
class BlockProduct {
 public:
  using Value = typename Blocks::Value;

  explicit BlockProduct(const RoundedProduct<int8_t>& product, const Value* values,
                        const GroupScales* scales)
      : product_(product),
        values_(values),
        weight_scales_(scales == nullptr ? nullptr : static_cast<const T*>(scales->scales)),
        weight_minimums_(scales == nullptr ? nullptr : static_cast<const T*>(scales->minimums)),
        num_parts_((product.num_rows + kBlockRows - 1) / kBlockRows),
        part_rows_((product.num_rows + num_parts_ - 1) / num_parts_),
        row_bytes_(Blocks::row_bytes(product.in_features)),
        num_turned_(row_bytes_ / kTurnedBytes),
        num_blocks_(num_turned_ + (row_bytes_ % kTurnedBytes + kVectorBytes - 1) / kVectorBytes),
        num_groups_(scales == nullptr ? 0 : product.in_features / scales->group_size),
        group_shift_(scales == nullptr ? 0 : group_shift(scales->group_size, kUnitNumbers)),
        slice_blocks_(slice_numbers(part_rows_) / (kBlockVectors * Blocks::kNumbers)),
        scratch_(num_parts_ * (x_size() / 4 + x_scales_size() + corrections_size() + x_sums_size() +
                               sums_size()) +
                     part_rows_ * kStretch * kBlockLanes,
                 6),
        x_(reinterpret_cast<int8_t*>(scratch_.take(num_parts_ * x_size() / 4))),
        x_scales_(scratch_.take(num_parts_ * x_scales_size())),
        corrections_(reinterpret_cast<int32_t*>(scratch_.take(num_parts_ * corrections_size()))),
        x_sums_(scratch_.take(num_parts_ * x_sums_size())),
        sums_(scratch_.take(num_parts_ * sums_size())),
        lanes_(scratch_.take(part_rows_ * kStretch * kBlockLanes)) {
    order_x();
  }

  void multiply(int64_t first, int64_t last) {
    for (int64_t n = first; n < last; n += kStretch) {
      const int64_t count = std::min(kStretch, last - n);
      for (int64_t part = 0; part < num_parts_; ++part) {
        unrolled<kBlockRows>([&]<int r>() HWY_ATTR {
          if (part_rows_ == r + 1) multiply_part<r + 1>(n, count, part);
        });
      }
      store_rounded_sums(product_, sums_, kStretch, 0, product_.num_rows, n, count);
    }
  }

 private:
  // Features that are multiplied with all rows before the next ones.
  static constexpr int64_t kStretch = 32;

  // With so few rows memory is the limit, which is read fastest as one stream, feature by feature;
  // but not features shorter than this, whose beginnings and ends would take too long.
  static constexpr int kStreamedRows = 2;
  static constexpr int64_t kStreamedBytes = 512;

  /// So much of k is multiplied for a stretch of features before the rest that x stays in a first
  /// cache of 48 KB beside the weights. Of one feature at a time, x may be longer.
  static int64_t slice_numbers(int64_t rows) { return rows <= kStreamedRows ? 16384 : 2048; }

  static constexpr int64_t kTurnedBytes = kBlockVectors * kVectorBytes;

  /// Of x, before a block.
  int64_t num_vectors(int64_t block) const {
    return block + std::min(block, num_turned_) * (kBlockVectors - 1);
  }

  // Of a part.
  int64_t x_size() const {
    return num_vectors(num_blocks_) * Blocks::kVectorParts * kVectorBytes * part_rows_;
  }
  int64_t x_scales_size() const { return num_blocks_ * kBlockLanes * part_rows_; }
  int64_t corrections_size() const { return Blocks::kIsBiased ? x_scales_size() : 0; }
  int64_t x_sums_size() const {
    return (num_groups_ + kBlockLanes - 1) / kBlockLanes * kBlockLanes * part_rows_;
  }
  int64_t sums_size() const { return part_rows_ * kStretch; }

  HWY_FLATTEN void order_x() {
    // Rows that are not there, so that nothing is read that was never written.
    if (num_parts_ * part_rows_ > product_.num_rows) {
      std::fill_n(x_, num_parts_ * x_size(), int8_t{0});
      std::fill_n(x_scales_, num_parts_ * x_scales_size(), 0.0F);
      std::fill_n(corrections_, num_parts_ * corrections_size(), 0);
    }
    if (weight_minimums_ != nullptr) std::fill_n(x_sums_, num_parts_ * x_sums_size(), 0.0F);
    for (int64_t i = 0; i < product_.num_rows; ++i) order_row(i);
  }

  void order_row(int64_t row) {
    for (int64_t block = 0; block < num_turned_; ++block) order_block<kBlockVectors>(row, block);
    for (int64_t block = num_turned_; block < num_blocks_; ++block) order_block<1>(row, block);
    if (weight_minimums_ != nullptr) sum_row(row);
  }

  template <int kVectors>
  void order_block(int64_t row, int64_t block) {
    using Rows = RoundedRows<int8_t>;
    const RoundedLanes d;
    const int64_t part = row / part_rows_;
    const int64_t r = row % part_rows_;
    const int64_t size = Rows::num_blocks(product_.in_features) * Rows::kBlock;
    const int64_t first = num_vectors(block) * Blocks::kNumbers;
    int8_t* x =
        x_ + part * x_size() +
        (num_vectors(block) * part_rows_ + r * kVectors) * Blocks::kVectorParts * kVectorBytes;
    const int64_t lanes = ((part * num_blocks_ + block) * part_rows_ + r) * kBlockLanes;
    Blocks::template order_x<kVectors>(product_.x.values + row * size + first, size - first, x,
                                       corrections_ + lanes);
    const auto units = std::min(size - first, kVectors * Blocks::kNumbers) / kUnitNumbers;
    const float* scales = product_.x.scales + (row * size + first) / kUnitNumbers;
    const auto unit_of_lanes = hn::IndicesFromVec(d, unit_of_lane<Blocks, kVectors>());
    hn::StoreU(hn::TableLookupLanes(load_groups(first_groups(units), scales), unit_of_lanes), d,
               x_scales_ + lanes);
  }

  void sum_row(int64_t row) {
    using Rows = RoundedRows<int8_t>;
    const int64_t part = row / part_rows_;
    const int64_t r = row % part_rows_;
    const int64_t row_units =
        Rows::num_blocks(product_.in_features) * (Rows::kBlock / kUnitNumbers);
    const float* sums = product_.x.sums + row * row_units;
    float* x_sums = x_sums_ + part * x_sums_size();
    for (int64_t unit = 0; unit < product_.in_features / kUnitNumbers; ++unit) {
      const int64_t group = unit >> group_shift_;
      x_sums[(group / kBlockLanes * part_rows_ + r) * kBlockLanes + group % kBlockLanes] +=
          sums[unit];
    }
  }

  template <int kRows>
  void multiply_part(int64_t first, int64_t count, int64_t part) {
    const int64_t slice_bytes = slice_blocks_ * kTurnedBytes;
    BlockInput input{};
    input.sums = x_sums_ + part * x_sums_size();
    input.num_groups = num_groups_;
    input.group_shift = group_shift_;
    // Up to as many features later as hold what is to be fetched.
    input.ahead = slice_blocks_ >= num_turned_
                      ? kBlockBytesAhead
                      : std::max<int64_t>(kBlockBytesAhead / slice_bytes, 1) * row_bytes_;
    const int64_t together = slice_blocks_ >= num_turned_ ? kBlockFeatures : count;
    for (int64_t f = 0; f < count; f += together) {
      const int64_t end = std::min(f + together, count);
      int64_t block = 0;
      do {
        const bool has_streams = kRows <= kStreamedRows && row_bytes_ >= kStreamedBytes;
        has_streams ? multiply_slice<kRows, 1>(input, first + f, first + end, part, block)
                    : multiply_slice<kRows, 2>(input, first + f, first + end, part, block);
        block += slice_blocks_;
      } while (block < num_turned_);
      store_lanes<kRows>(end - f, sums_ + part * kRows * kStretch + f);
    }
  }

  /// @tparam kFeatures  that are multiplied together
  template <int kRows, int kFeatures>
  void multiply_slice(BlockInput& input, int64_t first, int64_t last, int64_t part, int64_t block) {
    const int64_t lanes_before = (part * num_blocks_ + block) * kRows * kBlockLanes;
    const int64_t end_block = block + slice_blocks_;
    input.values =
        x_ + part * x_size() + num_vectors(block) * kRows * Blocks::kVectorParts * kVectorBytes;
    input.scales = x_scales_ + lanes_before;
    input.corrections = corrections_ + lanes_before;
    input.begin = block * kTurnedBytes;
    input.end = end_block >= num_turned_ ? row_bytes_ : end_block * kTurnedBytes;
    input.is_first = block == 0;
    for (int64_t n = first; n < last; n += kFeatures) {
      BlockWeights<Value, T, kFeatures> weights;
      for (int64_t i = 0; i < kFeatures; ++i) {
        // Past the last feature it is computed again.
        const int64_t feature = std::min(n + i, last - 1);
        weights.values[i] = values_ + feature * row_bytes_;
        weights.scales[i] = weight_scales_ + feature * num_groups_;
        weights.minimums[i] =
            weight_minimums_ != nullptr ? weight_minimums_ + feature * num_groups_ : nullptr;
      }
      multiply_block_features<kRows, Blocks, T, kFeatures>(input, weights, lanes<kRows>(n - first));
    }
  }

  /// Sums of features' lanes.
  template <int kRows>
  void store_lanes(int64_t num_features, float* to) {
    const RoundedLanes d;
    for (int64_t f = 0; f < num_features; f += kBlockFeatures) {
      for (int64_t r = 0; r < kRows; ++r) {
        const float* of_row = lanes<kRows>(f) + r * kBlockFeatures * kBlockLanes;
        store_lane_sums(
            d,
            {hn::Load(d, of_row), hn::Load(d, of_row + kBlockLanes),
             hn::Load(d, of_row + 2 * kBlockLanes), hn::Load(d, of_row + 3 * kBlockLanes)},
            to + r * kStretch + f);
      }
    }
  }

  /// From a feature of those that are computed together on.
  template <int kRows>
  float* lanes(int64_t f) const {
    return lanes_ +
           (f / kBlockFeatures * kRows * kBlockFeatures + f % kBlockFeatures) * kBlockLanes;
  }

  const RoundedProduct<int8_t>& product_;
  const Value* values_;
  const T* weight_scales_;
  const T* weight_minimums_;  // null for none
  const int64_t num_parts_;   // of the rows, as even as they can be
  const int64_t part_rows_;   // of the largest part
  const int64_t row_bytes_;   // of the weight
  const int64_t num_turned_;  // blocks of several vectors, which come first
  const int64_t num_blocks_;
  const int64_t num_groups_;
  const int group_shift_;       // of units to a group, as a power of two
  const int64_t slice_blocks_;  // of several vectors; the last slice has the others too
  Scratch scratch_;
  int8_t* x_;             // of each part's blocks [part_rows, vectors, kVectorParts, 64]
  float* x_scales_;       // [num_parts, num_blocks, part_rows, kBlockLanes]
  int32_t* corrections_;  // likewise; where the weights are biased
  float* x_sums_;         // [num_parts, num_groups / kBlockLanes, part_rows, kBlockLanes]
  float* sums_;           // [num_parts, part_rows, kStretch]
  float* lanes_;          // [kStretch / kBlockFeatures, part_rows, kBlockFeatures, kBlockLanes]
};

template <typename Blocks>
HWY_INLINE void multiply_block_rows(const RoundedProduct<int8_t>& product,
                                    const typename Blocks::Value* values, const GroupScales* scales,
                                    int64_t first, int64_t last) {
  if (scales == nullptr) {
    BlockProduct<Blocks, NoScales>(product, values, nullptr).multiply(first, last);
  } else if (scales->dtype == DType::kFloat32) {
    BlockProduct<Blocks, float>(product, values, scales).multiply(first, last);
  } else {
    BlockProduct<Blocks, hwy::float16_t>(product, values, scales).multiply(first, last);
  }
}

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif

#endif
