#include "kernels/byte_tiles_product.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/byte_tiles_product.cpp"
#include <hwy/foreach_target.h>
//
#include <algorithm>
#include <cstring>

#include "kernels/gated_panels.h"
#include "kernels/matrix_unit-inl.h"
#include "kernels/rounded_sums-inl.h"
#include "kernels/scratch.h"
#include "kernels/transpose-inl.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {
namespace {

#if PREPACK_HAS_MATRIX_UNIT

constexpr int64_t kRows = ByteTiles::kRows;
constexpr int64_t kBlock = ByteTiles::kBlock;
constexpr int64_t kGroup = ByteTiles::kGroup;
constexpr int64_t kTileBytes = kRows * kBlock;

// Two tiles of the weight's rows times two tiles of x are four of sums, [features, rows], which
// with the operands are all tiles that there are. A panel of two tiles of the weight stays in the
// first cache for a slice of k (16 KB) while the x of many rows comes from the second (256 KB for
// 512 rows), where the sums of a few panels stay, too (512 KB). Read from the caches' sizes, not
// measured.
constexpr int64_t kPanel = kByteTilesFeatures;
constexpr int64_t kPairRows = ByteTiles::kPairRows;
constexpr int64_t kSlicePairs = 16;
constexpr int64_t kSliceBlocks = 8;
constexpr int64_t kStretchPanels = 8;
constexpr int64_t kGroupBlocks = kGroup / kBlock;
constexpr int64_t kPairSums = kPanel * kPairRows;
static_assert(kPanel == 2 * kRows && kRows == kMatrixRows && kPanel <= kMaxGated);
static_assert(kSliceBlocks % kGroupBlocks == 0);

/// Weights of a panel for a slice of k. Copied, because rows may lie at any address, and a multiple
/// of 4096 bytes apart. Behind the last row and its end is left what was there: x is zero past a
/// row's end, and no more features are stored than there are.
/// @param rows  of the weight
/// @param to    [2, kSliceBlocks, kRows, kBlock]
void copy_weights(const int8_t* weight, int64_t in_features, const WeightPanel& rows, int64_t begin,
                  int8_t* to) {
  const int64_t end = std::min(begin + kSliceBlocks * kBlock, in_features);
  for (int64_t i = 0; i < rows.count; ++i) {
    const int8_t* from = weight + (rows.row + i) * in_features;
    int8_t* block = to + i / kRows * kSliceBlocks * kTileBytes + i % kRows * kBlock;
    int64_t k = begin;
    // Of a size that compilers know: four times as fast.
    for (; k + kBlock <= end; k += kBlock, block += kTileBytes)
      std::memcpy(block, from + k, kBlock);
    if (k < end) std::memcpy(block, from + k, end - k);
  }
}

/// @param weights     in what copy_weights leaves
/// @param x           the first of two tiles
/// @param tile_bytes  from one tile of x to the next
/// @param to          [kPanel, kPairRows]
HWY_INLINE void multiply_pair(const int8_t* weights, const int8_t* x, int64_t tile_bytes,
                              int64_t num_blocks, int32_t* to) {
  using Tiles = MatrixTiles;
  constexpr int64_t kLanes = kBlock / 4;
  Tiles::clear<0>();
  Tiles::clear<1>();
  Tiles::clear<2>();
  Tiles::clear<3>();
  for (int64_t block = 0; block < num_blocks; ++block) {
    Tiles::load<4>(weights, kLanes);
    Tiles::load<5>(weights + kSliceBlocks * kTileBytes, kLanes);
    Tiles::load<6>(x, kLanes);
    Tiles::load<7>(x + tile_bytes, kLanes);
    Tiles::add_byte_product<0, 4, 6>();
    Tiles::add_byte_product<1, 4, 7>();
    Tiles::add_byte_product<2, 5, 6>();
    Tiles::add_byte_product<3, 5, 7>();
    weights += kTileBytes;
    x += kTileBytes;
  }
  Tiles::store<0>(to, kPairRows);
  Tiles::store<1>(to + kRows, kPairRows);
  Tiles::store<2>(to + kRows * kPairRows, kPairRows);
  Tiles::store<3>(to + kRows * kPairRows + kRows, kPairRows);
}

/// sums = products * scales, or += that.
/// @param products  [kPanel, kPairRows], as sums
/// @param scales    of the first tile's rows, and `stride` from it of the second's
HWY_INLINE void scale_products(const int32_t* products, const float* scales, int64_t stride,
                               bool is_first, float* sums) {
  const Floats d;
  const hn::Rebind<int32_t, Floats> integers;
  constexpr int64_t kVectorLanes = hn::MaxLanes(Floats());
  constexpr int64_t kVectors = kPairRows / kVectorLanes;
  FloatVec of_rows[kVectors];
  for (int64_t v = 0; v < kVectors; ++v) {
    const int64_t row = v * kVectorLanes;
    of_rows[v] = hn::LoadU(d, scales + row / kRows * stride + row % kRows);
  }
  for (int64_t i = 0; i < kPanel; ++i, products += kPairRows, sums += kPairRows) {
    for (int64_t v = 0; v < kVectors; ++v) {
      const auto product = hn::ConvertTo(d, hn::Load(integers, products + v * kVectorLanes));
      float* const sum = sums + v * kVectorLanes;
      const auto before = is_first ? hn::Zero(d) : hn::Load(d, sum);
      hn::Store(hn::MulAdd(product, of_rows[v], before), d, sum);
    }
  }
}

/// Some output features of a product.
class StretchOfPanels {
 public:
  /// @param panels  not more than kStretchPanels
  StretchOfPanels(const ByteTilesProduct& product, const WeightPanels& panels)
      : product_(product),
        panels_(panels),
        num_pairs_(ByteTiles::num_tiles(product.num_rows) / 2),
        num_blocks_(ByteTiles::num_blocks(product.in_features)),
        num_groups_(ByteTiles::num_groups(product.in_features)),
        slice_pairs_(std::min(kSlicePairs, num_pairs_)),
        scratch_(kWeightFloats + (panels.num_panels() * slice_pairs_ + 4) * kPairSums, 5),
        weights_(reinterpret_cast<int8_t*>(scratch_.take(kWeightFloats))),
        products_(reinterpret_cast<int32_t*>(scratch_.take(2 * kPairSums))),
        rows_(scratch_.take(kPairSums)),
        gates_(scratch_.take(kPairSums)),
        sums_(scratch_.take(panels.num_panels() * slice_pairs_ * kPairSums)) {}

  void multiply() {
    for (int64_t pair = 0; pair < num_pairs_; pair += slice_pairs_) {
      const int64_t last = std::min(pair + slice_pairs_, num_pairs_);
      for (int64_t block = 0; block < num_blocks_; block += kSliceBlocks) {
        for (int64_t n = 0; n < panels_.num_panels(); ++n) add_slice(pair, last, block, n);
      }
      for (int64_t n = 0; n < panels_.num_panels(); ++n) store(pair, last, n);
    }
  }

 private:
  static constexpr int64_t kWeightFloats =
      kPanel * kSliceBlocks * kBlock / static_cast<int64_t>(sizeof(float));

  /// What is multiplied at a time, and its sums before they are scaled.
  struct GroupOfPair {
    int64_t group;
    int64_t pair;
    int32_t* products;
  };

  float* sums(int64_t panel, int64_t pair) const {
    return sums_ + (panel * slice_pairs_ + pair % slice_pairs_) * kPairSums;
  }

  void add_slice(int64_t first_pair, int64_t last_pair, int64_t first_block, int64_t panel) {
    copy_weights(product_.weight.values, product_.in_features, panels_[panel], first_block * kBlock,
                 weights_);
    const int64_t last_block = std::min(first_block + kSliceBlocks, num_blocks_);
    GroupOfPair previous{};
    for (int64_t pair = first_pair; pair < last_pair; ++pair) {
      for (int64_t block = first_block; block < last_block; block += kGroupBlocks) {
        int32_t* const other = previous.products == products_ ? products_ + kPairSums : products_;
        const GroupOfPair group = {block / kGroupBlocks, pair, other};
        multiply_group(group, weights_ + (block - first_block) * kTileBytes);
        // While the matrix unit multiplies.
        if (previous.products != nullptr) scale(previous, panel);
        previous = group;
      }
    }
    scale(previous, panel);
  }

  void multiply_group(const GroupOfPair& group, const int8_t* weights) {
    const int64_t tile_bytes = num_blocks_ * kTileBytes;
    const int64_t block = group.group * kGroupBlocks;
    const int8_t* x = product_.x.values + 2 * group.pair * tile_bytes + block * kTileBytes;
    multiply_pair(weights, x, tile_bytes, std::min(kGroupBlocks, num_blocks_ - block),
                  group.products);
  }

  void scale(const GroupOfPair& group, int64_t panel) {
    const int64_t place = 2 * group.pair * num_groups_ + group.group;
    scale_products(group.products, product_.x.scales + place * kRows, num_groups_ * kRows,
                   group.group == 0, sums(panel, group.pair));
  }

  void store(int64_t first_pair, int64_t last_pair, int64_t panel) {
    if (panels_.is_gate(panel)) return;
    for (int64_t pair = first_pair; pair < last_pair; ++pair) {
      const int64_t row = pair * kPairRows;
      const int64_t num_rows = std::min(kPairRows, product_.num_rows - row);
      transpose(sums(panel, pair), kPanel, kPairRows, rows_);
      if (panels_.are_gated()) {
        transpose(sums(panel - 1, pair), kPanel, kPairRows, gates_);
        store_gated_sums(product_, gates_, rows_, kPanel, row, num_rows, panels_[panel]);
      } else {
        store_rounded_sums(product_, rows_, kPanel, row, num_rows, panels_[panel].feature,
                           panels_[panel].count);
      }
    }
  }

  const ByteTilesProduct& product_;
  const WeightPanels panels_;
  const int64_t num_pairs_;  // of tiles of x
  const int64_t num_blocks_;
  const int64_t num_groups_;
  const int64_t slice_pairs_;
  Scratch scratch_;
  int8_t* const weights_;
  int32_t* const products_;  // [2, kPanel, kPairRows], of groups in turn
  float* const rows_;        // [kPairRows, kPanel], on their way out
  float* const gates_;       // likewise
  float* const sums_;        // [num_panels, slice_pairs, kPanel, kPairRows]
};

void multiply_byte_tiles(const ByteTilesProduct& product, int64_t first, int64_t last) {
  const MatrixTiles tiles;
  WeightPanels panels = {first, 0, kPanel, product.num_gates};
  const int64_t stretch = kStretchPanels / (panels.are_gated() ? 2 : 1) * kPanel;
  for (; panels.first < last; panels.first += stretch) {
    panels.count = std::min(stretch, last - panels.first);
    StretchOfPanels(product, panels).multiply();
  }
}

bool has_tiles() { return true; }

#else

void multiply_byte_tiles(const ByteTilesProduct& /*product*/, int64_t /*first*/, int64_t /*last*/) {
}

bool has_tiles() { return false; }

#endif

}  // namespace
}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

#include <stdexcept>

#include "kernels/matrix_unit.h"

namespace prepack {

HWY_EXPORT(has_tiles);
HWY_EXPORT(multiply_byte_tiles);

bool can_multiply_byte_tiles() { return HWY_DYNAMIC_DISPATCH(has_tiles)() && has_matrix_unit(); }

void multiply_byte_tiles(const ByteTilesProduct& product, int64_t first, int64_t last) {
  if (!can_multiply_byte_tiles()) throw std::logic_error("products of tiles need a matrix unit");
  HWY_DYNAMIC_DISPATCH(multiply_byte_tiles)(product, first, last);
}

}  // namespace prepack
#endif
