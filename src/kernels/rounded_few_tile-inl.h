// Tiles of few rounded rows and of features of a quantized weight, whose values are widened in
// registers. Included once for each instruction set.
#if defined(PREPACK_KERNELS_ROUNDED_FEW_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_ROUNDED_FEW_TILE_INL_H_
#undef PREPACK_KERNELS_ROUNDED_FEW_TILE_INL_H_
#else
#define PREPACK_KERNELS_ROUNDED_FEW_TILE_INL_H_
#endif

#include <hwy/cache_control.h>

#include "kernels/lane_sums-inl.h"
#include "kernels/rounded_weights-inl.h"
#include "kernels/unrolled-inl.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {
// Of the one file that includes this: with external linkage GCC 12 makes slower loops of some
// tiles, by up to a sixth (four rows, Zen 5).
namespace {

/// Rows that are multiplied together.
constexpr int kFewRows = 4;

/// So many features ahead are fetched from memory: of 4 bits, whose bytes vectors of 512 bits are
/// soon done with, more.
template <typename Weights>
constexpr int kFewFeaturesAhead = kRoundedLanes == 16 && Weights::kBytes < kRoundedBlock ? 12 : 6;

/// So many features at a time that their sums stay in registers.
template <int kRows>
constexpr int kFewFeatures = kRows <= 2 ? 4 : 2;

/// A slice of k of a few features and rows.
template <typename Weights, int kFeatures>
struct FewRowsTile {
  const int8_t* values[kFeatures];
  const float* scales[kFeatures];    // [num_groups]; of weights with a scale for each row unused
  const float* minimums[kFeatures];  // [num_groups], up to whole vectors; null for none
  const typename Weights::X* x;      // [num_blocks, rows, kRoundedBlock], in the weights' order
  const float* x_scales;             // [num_blocks, rows, Weights::kXScales]
  const float* x_sums;               // [rows, num_groups] and zeros, with rows `sums_stride` apart
  int64_t sums_stride;               // whole vectors
  int64_t num_blocks;
  int64_t num_groups;
  int group_shift;  // of units to a group, as a power of two
  int64_t ahead;    // bytes from a feature to one that comes later
};

/// to[f][r] = the product of feature f with row r over the slice.
template <int kRows, typename Weights, int kFeatures>
HWY_FLATTEN void multiply_few_tile(const FewRowsTile<Weights, kFeatures>& tile,
                                   float (*to)[kRows]) {
  using Lanes = typename Weights::Lanes;
  constexpr int64_t kLanes = hn::MaxLanes(Lanes());
  const Lanes d;
  hn::Vec<Lanes> sums[kFeatures][kRows];
  unrolled<kFeatures>([&]<int f>() HWY_ATTR {
    unrolled<kRows>([&]<int r>() HWY_ATTR { sums[f][r] = hn::Zero(d); });
  });
  if (tile.minimums[0] != nullptr) {
    for (int64_t g = 0; g < tile.num_groups; g += kLanes) {
      unrolled<kFeatures>([&]<int f>() HWY_ATTR {
        const auto minimums = hn::LoadU(d, tile.minimums[f] + g);
        unrolled<kRows>([&]<int r>() HWY_ATTR {
          sums[f][r] = hn::MulAdd(minimums, hn::LoadU(d, tile.x_sums + r * tile.sums_stride + g),
                                  sums[f][r]);
        });
      });
    }
  }
  const auto* HWY_RESTRICT x = tile.x;
  const float* HWY_RESTRICT x_scales = tile.x_scales;
  for (int64_t b = 0; b < tile.num_blocks; ++b) {
    const int64_t group = b * Weights::kUnits >> tile.group_shift;
    unrolled<kFeatures>([&]<int f>() HWY_ATTR {
      const int8_t* values = tile.values[f] + b * Weights::kBytes;
      hwy::Prefetch(values + tile.ahead);
      typename Weights::Block block;
      Weights::load(values, tile.scales[f] + group, block);
      unrolled<kRows>([&]<int r>() HWY_ATTR {
        sums[f][r] = Weights::add_products(block, x + r * kRoundedBlock,
                                           x_scales + r * Weights::kXScales, sums[f][r]);
      });
    });
    x += kRows * kRoundedBlock;
    x_scales += kRows * Weights::kXScales;
  }
  unrolled<kFeatures>([&]<int f>() HWY_ATTR { store_row_sums<kRows>(d, sums[f], to[f]); });
}

}  // namespace
}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
