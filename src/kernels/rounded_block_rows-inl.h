// Weights of 4 and 8 bits, multiplied block by block with a few rows rounded to 8 bits, in vectors
// of 512 bits. Included once for each instruction set.
#if defined(PREPACK_KERNELS_ROUNDED_BLOCK_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_ROUNDED_BLOCK_ROWS_INL_H_
#undef PREPACK_KERNELS_ROUNDED_BLOCK_ROWS_INL_H_
#else
#define PREPACK_KERNELS_ROUNDED_BLOCK_ROWS_INL_H_
#endif

#include <hwy/cache_control.h>

#include <algorithm>
#include <type_traits>

#include "kernels/rounded_blocks-inl.h"
#include "kernels/unrolled-inl.h"
#include "kernels/vector-inl.h"

#if HWY_TARGET <= HWY_AVX3

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

/// Rows that are multiplied together: their sums stay in registers.
constexpr int kBlockRows = 4;

/// Features whose lanes are added together.
constexpr int kBlockFeatures = 4;

/// Weights are fetched so many bytes before they are needed, as features that follow each other are
/// read one by one, as a single stream; and their scales and minimums as early: without that, their
/// masked loads took a product from memory 1.4 to 1.9 times as long (Zen 5).
constexpr int64_t kBlockBytesAhead = 8192;

/// Of weights that have one scale for a row.
struct NoScales {};

/// A slice of a few rows of x, in the order that they are multiplied in: block after block. Where
/// there is no x any more are zeros.
struct BlockInput {
  const int8_t* values;        // of a block [rows, vectors, kVectorParts, 64]
  const float* scales;         // [num_blocks, rows, kBlockLanes]
  const int32_t* corrections;  // [num_blocks, rows, kBlockLanes]; where the weights are biased
  const float* sums;           // [num_groups / kBlockLanes, rows, kBlockLanes], of the whole rows
  int64_t begin;               // of the slice, in bytes of a row of the weight
  int64_t end;
  int64_t ahead;  // bytes from weights to those that are fetched
  int64_t num_groups;
  int group_shift;  // of units to a group, as a power of two
  bool is_first;    // slice, or else it is added to the others
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

/// The unit of a block whose numbers come to lie in each lane.
template <typename Blocks, int kVectors>
HWY_INLINE auto unit_of_lane() {
  return hn::ShiftRight<Blocks::kUnitSixteens - 1>(sixteen_of_lane<kVectors>());
}

/// What was loaded for several products stays in a register. Compilers would load it once more for
/// each, as an operand of its instruction, and loads are the limit here.
template <int kProducts, typename V>
HWY_INLINE void keep_for(V& loaded) {
  if constexpr (kProducts > 1) asm("" : "+v"(loaded));
}

/// Some features' weights.
template <typename Value, typename T, int kFeatures>
struct BlockWeights {
  const Value* values[kFeatures];
  const T* scales[kFeatures];
  const T* minimums[kFeatures];  // null for none
};

/// The products of some features with the rows, in lanes that are yet to be summed.
/// @tparam T  of scales and minimums; or NoScales
/// @param to  [rows, kBlockFeatures, kBlockLanes]
template <int kRows, typename Blocks, typename T, int kFeatures>
HWY_FLATTEN void multiply_block_features(
    const BlockInput& input, const BlockWeights<typename Blocks::Value, T, kFeatures>& weights,
    float* HWY_RESTRICT to) {
  constexpr bool kHasScales = !std::is_same_v<T, NoScales>;
  constexpr int64_t kUnits = Blocks::kNumbers / kUnitNumbers;  // of a vector
  const RoundedLanes d;
  const hn::Repartition<uint8_t, Words> bytes;
  const auto of_all = [](const auto& f) PREPACK_INLINED {
    inlined<kFeatures>([&]<int i>() PREPACK_INLINED {
      inlined<kRows>([&]<int r>() PREPACK_INLINED { f.template operator()<i, r>(); });
    });
  };
  RoundedVec sums[kFeatures][kRows];
  of_all([&]<int f, int r>() PREPACK_INLINED {
    sums[f][r] =
        input.is_first ? hn::Zero(d) : hn::Load(d, to + (r * kBlockFeatures + f) * kBlockLanes);
  });
  const int64_t groups_ahead = kBlockBytesAhead / kVectorBytes * kUnits >> input.group_shift;
  if constexpr (kHasScales) {
    if (input.is_first && weights.minimums[0] != nullptr) {
      const float* HWY_RESTRICT x_sums = input.sums;
      for (int64_t g = 0; g < input.num_groups; g += kBlockLanes) {
        const auto mask = first_groups(std::min(input.num_groups - g, kBlockLanes));
        inlined<kFeatures>([&]<int f>() PREPACK_INLINED {
          hwy::Prefetch(weights.minimums[f] + g + groups_ahead);
          const auto of_groups = load_groups(mask, weights.minimums[f] + g);
          inlined<kRows>([&]<int r>() PREPACK_INLINED {
            sums[f][r] = hn::MulAdd(of_groups, hn::LoadU(d, x_sums + r * kBlockLanes), sums[f][r]);
          });
        });
        x_sums += kRows * kBlockLanes;
      }
    }
  }
  const auto group_of_lane = [&]<int kVectors>() PREPACK_INLINED {
    const auto units = unit_of_lane<Blocks, kVectors>();
    return hn::IndicesFromVec(d, hn::ShiftRightSame(units, input.group_shift));
  };
  const auto group_of_turned = group_of_lane.template operator()<kBlockVectors>();
  const auto group_of_single = group_of_lane.template operator()<1>();
  const int8_t* HWY_RESTRICT x = input.values;
  const float* HWY_RESTRICT x_scales = input.scales;
  const int32_t* HWY_RESTRICT corrections = input.corrections;
  const auto add_block = [&]<int kVectors, bool kIsWhole>(int64_t begin) PREPACK_INLINED {
    RoundedVec of_lanes[kFeatures];
    WordVec words[kFeatures][kVectors];
    inlined<kFeatures>([&]<int f>() PREPACK_INLINED {
      if constexpr (kHasScales) {
        const int64_t first = begin / kVectorBytes * kUnits >> input.group_shift;
        const T* of_groups = weights.scales[f] + first;
        hwy::Prefetch(of_groups + groups_ahead);
        const auto num_groups = std::max<int64_t>(kVectors * kUnits >> input.group_shift, 1);
        const auto mask = first_groups(std::min(num_groups, input.num_groups - first));
        of_lanes[f] = hn::TableLookupLanes(load_groups(mask, of_groups),
                                           kVectors == 1 ? group_of_single : group_of_turned);
      }
      inlined<kVectors>([&]<int i>() PREPACK_INLINED {
        const int64_t place = begin + i * kVectorBytes;
        const auto* row = reinterpret_cast<const uint8_t*>(weights.values[f]);
        hwy::Prefetch(row + place + input.ahead);
        words[f][i] = kIsWhole ? hn::BitCast(Words(), hn::LoadU(bytes, row + place))
                               : load_bytes(row, place, input.end);
      });
      turn(words[f]);
    });
    typename Blocks::Sums products[kFeatures][kRows];
    inlined<kRows>([&]<int r>() PREPACK_INLINED {
      typename Blocks::Sums first;
      Blocks::start(corrections + r * kBlockLanes, first);
      if constexpr (Blocks::kIsBiased) keep_for<kFeatures>(first.sums);
      inlined<kFeatures>([&]<int f>() PREPACK_INLINED { products[f][r] = first; });
    });
    inlined<kVectors>([&]<int i>() PREPACK_INLINED {
      inlined<Blocks::kVectorParts>([&]<int p>() PREPACK_INLINED {
        ByteVec of_part[kFeatures];
        inlined<kFeatures>(
            [&]<int f>() PREPACK_INLINED { of_part[f] = Blocks::template unpack<p>(words[f][i]); });
        inlined<kRows>([&]<int r>() PREPACK_INLINED {
          constexpr int kPlace = (r * kVectors + i) * Blocks::kVectorParts + p;
          auto of_row = hn::LoadU(ByteLanes(), x + kPlace * kVectorBytes);
          keep_for<kFeatures>(of_row.raw);
          inlined<kFeatures>(
              [&]<int f>() PREPACK_INLINED { products[f][r].add_products(of_part[f], of_row); });
        });
      });
    });
    inlined<kRows>([&]<int r>() PREPACK_INLINED {
      auto scale = hn::LoadU(d, x_scales + r * kBlockLanes);
      keep_for<kFeatures>(scale.raw);
      inlined<kFeatures>([&]<int f>() PREPACK_INLINED {
        auto of_both = scale;
        if constexpr (kHasScales) of_both = hn::Mul(of_lanes[f], scale);
        sums[f][r] = hn::MulAdd(products[f][r].total(), of_both, sums[f][r]);
      });
    });
    x += kRows * kVectors * Blocks::kVectorParts * kVectorBytes;
    x_scales += kRows * kBlockLanes;
    corrections += kRows * kBlockLanes;
  };
  int64_t begin = input.begin;
  for (; begin + kBlockVectors * kVectorBytes <= input.end; begin += kBlockVectors * kVectorBytes) {
    add_block.template operator()<kBlockVectors, true>(begin);
  }
  for (; begin + kVectorBytes <= input.end; begin += kVectorBytes) {
    add_block.template operator()<1, true>(begin);
  }
  if (begin < input.end) add_block.template operator()<1, false>(begin);
  of_all([&]<int f, int r>() PREPACK_INLINED {
    hn::Store(sums[f][r], d, to + (r * kBlockFeatures + f) * kBlockLanes);
  });
}

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif

#endif
