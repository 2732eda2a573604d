// Weights of 4 bits, multiplied with a few rows rounded to 8 bits in vectors of 512 bits. Included
// once for each instruction set.
#if defined(PREPACK_KERNELS_ROUNDED_INT4_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_ROUNDED_INT4_INL_H_
#undef PREPACK_KERNELS_ROUNDED_INT4_INL_H_
#else
#define PREPACK_KERNELS_ROUNDED_INT4_INL_H_
#endif

#include <hwy/cache_control.h>

#include <algorithm>
#include <variant>

#include "kernels/groups-inl.h"
#include "kernels/integer_sums-inl.h"
#include "kernels/lane_sums-inl.h"
#include "kernels/rounded_product.h"
#include "kernels/rounded_sums-inl.h"
#include "kernels/rounded_weights-inl.h"
#include "kernels/scratch.h"
#include "kernels/unrolled-inl.h"
#include "kernels/vector-inl.h"

#if HWY_TARGET <= HWY_AVX3

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

using RoundedVec = hn::Vec<RoundedLanes>;
static_assert(kRoundedLanes == 16);

/// Four groups of the smallest size, whose values fill a vector, and of x two vectors.
constexpr int64_t kStreamedInt4Block = 4 * kMinInt4Group;
constexpr int64_t kStreamedInt4Bytes = kStreamedInt4Block / 2;

/// Blocks whose smallest groups are as many as a vector of float32 has lanes.
constexpr int kStreamedInt4Blocks = 4;
constexpr int64_t kStreamedInt4Groups = 16;

/// Rows that are multiplied together.
constexpr int kStreamedInt4Rows = 4;

/// Features whose lanes are added together.
constexpr int kStreamedInt4Features = 4;

/// Values are fetched so many bytes before they are needed, as features that follow each other are
/// read one by one, as a single stream; and their scales and minimums as early: without that, their
/// masked loads took a product from memory 1.4 to 1.9 times as long (Zen 5).
constexpr int64_t kStreamedInt4Ahead = 8192;

/// A few rows of x, in the order that they are multiplied in.
struct StreamedInt4Input {
  const int8_t* values;  // [num_blocks, rows, 2, 64]: what the lower, then what the upper halves of
                         // bytes are multiplied with; zeros past the last unit
  const float* scales;   // [num_units / kStreamedInt4Groups, rows, kStreamedInt4Groups], likewise
  const float* sums;     // [num_groups / kStreamedInt4Groups, rows, kStreamedInt4Groups], likewise
  int64_t num_units;     // of kMinInt4Group
  int64_t num_groups;
  int group_shift;  // of units to a group, as a power of two
};

using GroupsMask = hn::Mask<RoundedLanes>;

HWY_INLINE GroupsMask first_groups(int64_t count) {
  return hn::FirstN(RoundedLanes(), static_cast<size_t>(count));
}

/// Numbers of some groups; the others are 0, and not read.
HWY_INLINE RoundedVec load_groups(GroupsMask mask, const float* from) {
  return hn::MaskedLoad(mask, RoundedLanes(), from);
}

HWY_INLINE RoundedVec load_groups(GroupsMask mask, const hwy::float16_t* from) {
  const hn::Rebind<uint16_t, RoundedLanes> bits;
  const hn::Rebind<hwy::float16_t, RoundedLanes> halves;
  const hn::Mask<decltype(bits)> of_bits{mask.raw};
  const auto loaded = hn::MaskedLoad(of_bits, bits, reinterpret_cast<const uint16_t*>(from));
  return hn::PromoteTo(RoundedLanes(), hn::BitCast(halves, loaded));
}

/// The products of a feature with the rows, in lanes that are yet to be summed.
/// @tparam T        of scales and minimums
/// @param minimums  null for none
template <int kRows, typename T>
HWY_FLATTEN void multiply_streamed_int4_feature(const StreamedInt4Input& input,
                                                const uint8_t* HWY_RESTRICT values,
                                                const T* HWY_RESTRICT scales,
                                                const T* HWY_RESTRICT minimums,
                                                float* HWY_RESTRICT to) {
  const RoundedLanes d;
  const hn::Rebind<int32_t, RoundedLanes> ints;
  const hn::Repartition<uint8_t, RoundedLanes> bytes;
  const hn::Repartition<int8_t, RoundedLanes> signed_bytes;
  const hn::Repartition<uint16_t, RoundedLanes> words;
  RoundedVec sums[kRows];
  inlined<kRows>([&]<int r>() PREPACK_INLINED { sums[r] = hn::Zero(d); });
  const int64_t groups_ahead = kStreamedInt4Ahead * 2 / kMinInt4Group >> input.group_shift;
  if (minimums != nullptr) {
    const float* HWY_RESTRICT x_sums = input.sums;
    for (int64_t g = 0; g < input.num_groups; g += kStreamedInt4Groups) {
      hwy::Prefetch(minimums + g + groups_ahead);
      const auto of_groups = load_groups(
          first_groups(std::min(input.num_groups - g, kStreamedInt4Groups)), minimums + g);
      inlined<kRows>([&]<int r>() PREPACK_INLINED {
        sums[r] = hn::MulAdd(of_groups, hn::LoadU(d, x_sums + r * kStreamedInt4Groups), sums[r]);
      });
      x_sums += kRows * kStreamedInt4Groups;
    }
  }
  const auto nibbles = hn::Set(bytes, 0x0F);
  const auto lanes = hn::Iota(ints, 0);
  const auto group_of_unit =
      hn::IndicesFromVec(d, hn::ShiftRightSame(lanes, std::min(input.group_shift, 4)));
  const auto first_units = hn::ShiftRight<2>(lanes);  // each in the four lanes of its values
  const int64_t num_bytes = input.num_units * (kMinInt4Group / 2);
  const int8_t* HWY_RESTRICT x = input.values;
  const float* HWY_RESTRICT x_scales = input.scales;
  // kStreamedInt4Groups units from `unit` on, or up to the last.
  const auto add_units = [&]<bool kAreAll>(int64_t unit, GroupsMask groups) PREPACK_INLINED {
    const T* of_group = scales + (unit >> input.group_shift);
    hwy::Prefetch(of_group + groups_ahead);
    auto of_units = load_groups(groups, of_group);
    if (input.group_shift > 0) of_units = hn::TableLookupLanes(of_units, group_of_unit);
    RoundedVec of_rows[kRows];
    inlined<kRows>([&]<int r>() PREPACK_INLINED {
      of_rows[r] = hn::Mul(of_units, hn::LoadU(d, x_scales + r * kStreamedInt4Groups));
    });
    x_scales += kRows * kStreamedInt4Groups;
    inlined<kStreamedInt4Blocks>([&]<int b>() PREPACK_INLINED {
      const int64_t begin = unit * (kMinInt4Group / 2) + b * kStreamedInt4Bytes;
      if (!kAreAll && begin >= num_bytes) return;
      hwy::Prefetch(values + begin + kStreamedInt4Ahead);
      const auto packed =
          kAreAll ? hn::LoadU(bytes, values + begin)
                  : hn::MaskedLoad(hn::FirstN(bytes, static_cast<size_t>(std::min(
                                                         num_bytes - begin, kStreamedInt4Bytes))),
                                   bytes, values + begin);
      const auto shifted = hn::BitCast(bytes, hn::ShiftRight<4>(hn::BitCast(words, packed)));
      const auto lower = hn::BitCast(signed_bytes, hn::And(packed, nibbles));
      const auto upper = hn::BitCast(signed_bytes, hn::And(shifted, nibbles));
      const auto units = hn::IndicesFromVec(d, hn::Add(first_units, hn::Set(ints, 4 * b)));
      inlined<kRows>([&]<int r>() PREPACK_INLINED {
        const int8_t* of_row = x + r * kStreamedInt4Block;
        IntegerSums<RoundedLanes, int8_t> products;
        products.clear();
        products.add_products(lower, hn::LoadU(signed_bytes, of_row));
        products.add_products(upper, hn::LoadU(signed_bytes, of_row + kStreamedInt4Bytes));
        sums[r] = hn::MulAdd(products.total(), hn::TableLookupLanes(of_rows[r], units), sums[r]);
      });
      x += kRows * kStreamedInt4Block;
    });
  };
  const auto all = first_groups(std::max<int64_t>(kStreamedInt4Groups >> input.group_shift, 1));
  int64_t unit = 0;
  for (; unit + kStreamedInt4Groups <= input.num_units; unit += kStreamedInt4Groups) {
    add_units.template operator()<true>(unit, all);
  }
  if (unit < input.num_units) {
    const auto rest = first_groups(input.num_groups - (unit >> input.group_shift));
    add_units.template operator()<false>(unit, rest);
  }
  inlined<kRows>([&]<int r>() PREPACK_INLINED {
    hn::Store(sums[r], d, to + r * kStreamedInt4Features * kStreamedInt4Groups);
  });
}

/// One product, whose x is put into the order of the tiles first.
/// @tparam T  of scales and minimums
template <typename T>
class StreamedInt4Product {
 public:
  explicit StreamedInt4Product(const RoundedProduct<int8_t>& product)
      : product_(product),
        weight_(std::get<Int4Rows>(product.weight)),
        num_parts_((product.num_rows + kStreamedInt4Rows - 1) / kStreamedInt4Rows),
        part_rows_((product.num_rows + num_parts_ - 1) / num_parts_),
        num_units_(product.in_features / kMinInt4Group),
        num_groups_(product.in_features / weight_.groups.group_size),
        group_shift_(group_shift(weight_.groups.group_size, kMinInt4Group)),
        scratch_(num_parts_ * (x_size() / 4 + x_scales_size() + x_sums_size() + sums_size()), 4),
        x_(reinterpret_cast<int8_t*>(scratch_.take(num_parts_ * x_size() / 4))),
        x_scales_(scratch_.take(num_parts_ * x_scales_size())),
        x_sums_(scratch_.take(num_parts_ * x_sums_size())),
        sums_(scratch_.take(num_parts_ * sums_size())) {
    order_x();
  }

  void multiply(int64_t first, int64_t last) {
    for (int64_t n = first; n < last; n += kStretch) {
      const int64_t count = std::min(kStretch, last - n);
      for (int64_t part = 0; part < num_parts_; ++part) {
        unrolled<kStreamedInt4Rows>([&]<int r>() HWY_ATTR {
          if (part_rows_ == r + 1) multiply_part<r + 1>(n, count, part);
        });
      }
      store_rounded_sums(product_, sums_, kStretch, 0, product_.num_rows, n, count);
    }
  }

 private:
  // Features that are multiplied with all rows before the next ones.
  static constexpr int64_t kStretch = 32;

  // Of a part.
  int64_t x_size() const {
    return (product_.in_features + kStreamedInt4Block - 1) / kStreamedInt4Block *
           kStreamedInt4Block * part_rows_;
  }
  int64_t x_scales_size() const {
    return (num_units_ + kStreamedInt4Groups - 1) / kStreamedInt4Groups * kStreamedInt4Groups *
           part_rows_;
  }
  int64_t x_sums_size() const {
    return (num_groups_ + kStreamedInt4Groups - 1) / kStreamedInt4Groups * kStreamedInt4Groups *
           part_rows_;
  }
  int64_t sums_size() const { return part_rows_ * kStretch; }

  void order_x() {
    const hn::CappedTag<int8_t, 16> d;
    std::fill_n(x_, num_parts_ * x_size(), int8_t{0});
    std::fill_n(x_scales_, num_parts_ * x_scales_size(), 0.0F);
    std::fill_n(x_sums_, num_parts_ * x_sums_size(), 0.0F);
    const int64_t blocks_of_row = RoundedRows<int8_t>::num_blocks(product_.in_features);
    constexpr int64_t kUnitsOfBlock = RoundedRows<int8_t>::kBlock / kMinInt4Group;
    static_assert(RoundedRows<int8_t>::kGroup == kMinInt4Group);
    for (int64_t i = 0; i < product_.num_rows; ++i) {
      const int64_t part = i / part_rows_;
      const int64_t r = i % part_rows_;
      const int8_t* from = product_.x.values + i * blocks_of_row * RoundedRows<int8_t>::kBlock;
      const float* scales = product_.x.scales + i * blocks_of_row * kUnitsOfBlock;
      const float* sums = product_.x.sums + i * blocks_of_row * kUnitsOfBlock;
      int8_t* x = x_ + part * x_size();
      float* x_scales = x_scales_ + part * x_scales_size();
      float* x_sums = x_sums_ + part * x_sums_size();
      for (int64_t u = 0; u < num_units_; ++u) {
        int8_t* to = x + (u / 4 * part_rows_ + r) * kStreamedInt4Block + u % 4 * 16;
        const auto first = hn::LoadU(d, from + u * kMinInt4Group);
        const auto second = hn::LoadU(d, from + u * kMinInt4Group + 16);
        hn::StoreU(hn::InterleaveLower(d, first, second), d, to);
        hn::StoreU(hn::InterleaveUpper(d, first, second), d, to + kStreamedInt4Bytes);
        x_scales[place(u, r)] = scales[u];
        x_sums[place(u >> group_shift_, r)] += sums[u];
      }
    }
  }

  int64_t place(int64_t unit, int64_t r) const {
    return (unit / kStreamedInt4Groups * part_rows_ + r) * kStreamedInt4Groups +
           unit % kStreamedInt4Groups;
  }

  template <int kRows>
  void multiply_part(int64_t first, int64_t count, int64_t part) {
    const RoundedLanes d;
    const StreamedInt4Input input = {.values = x_ + part * x_size(),
                                     .scales = x_scales_ + part * x_scales_size(),
                                     .sums = x_sums_ + part * x_sums_size(),
                                     .num_units = num_units_,
                                     .num_groups = num_groups_,
                                     .group_shift = group_shift_};
    const int64_t row_bytes = int4_row_bytes(product_.in_features);
    const auto* scales = static_cast<const T*>(weight_.groups.scales);
    const auto* minimums = static_cast<const T*>(weight_.groups.minimums);
    HWY_ALIGN float lanes[kRows * kStreamedInt4Features * kStreamedInt4Groups] = {};
    for (int64_t i = 0; i < count; i += kStreamedInt4Features) {
      const int64_t num_features = std::min<int64_t>(count - i, kStreamedInt4Features);
      for (int64_t f = 0; f < num_features; ++f) {
        const int64_t feature = first + i + f;
        multiply_streamed_int4_feature<kRows>(
            input, weight_.values + feature * row_bytes, scales + feature * num_groups_,
            minimums != nullptr ? minimums + feature * num_groups_ : nullptr,
            lanes + f * kStreamedInt4Groups);
      }
      for (int64_t r = 0; r < kRows; ++r) {
        const float* of_row = lanes + r * kStreamedInt4Features * kStreamedInt4Groups;
        store_lane_sums(d,
                        {hn::Load(d, of_row), hn::Load(d, of_row + kStreamedInt4Groups),
                         hn::Load(d, of_row + 2 * kStreamedInt4Groups),
                         hn::Load(d, of_row + 3 * kStreamedInt4Groups)},
                        sums_ + (part * kRows + r) * kStretch + i);
      }
    }
  }

  const RoundedProduct<int8_t>& product_;
  const Int4Rows& weight_;
  const int64_t num_parts_;  // of the rows, as even as they can be
  const int64_t part_rows_;  // of the largest part
  const int64_t num_units_;
  const int64_t num_groups_;
  const int group_shift_;  // of units to a group, as a power of two
  Scratch scratch_;
  int8_t* x_;        // [num_parts, num_blocks, part_rows, 2, 64]
  float* x_scales_;  // [num_parts, num_units / 16, part_rows, 16]
  float* x_sums_;    // [num_parts, num_groups / 16, part_rows, 16]
  float* sums_;      // [num_parts, part_rows, kStretch]
};

inline void multiply_streamed_int4(const RoundedProduct<int8_t>& product, int64_t first,
                                   int64_t last) {
  if (std::get<Int4Rows>(product.weight).groups.dtype == DType::kFloat32) {
    StreamedInt4Product<float>(product).multiply(first, last);
  } else {
    StreamedInt4Product<hwy::float16_t>(product).multiply(first, last);
  }
}

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif

#endif
