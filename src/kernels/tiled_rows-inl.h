// Products of few rows with weights as they are stored, for the 16 registers of AVX2 and the like.
// Included once for each instruction set.
#if defined(PREPACK_KERNELS_TILED_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_TILED_ROWS_INL_H_
#undef PREPACK_KERNELS_TILED_ROWS_INL_H_
#else
#define PREPACK_KERNELS_TILED_ROWS_INL_H_
#endif

#include <hwy/cache_control.h>

#include <algorithm>

#include "kernels/few_rows-inl.h"
#include "kernels/lane_sums-inl.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

#if HWY_TARGET > HWY_AVX3

// A tile's sums stay in registers: with three vectors of x and one of a weight, these fill the 16
// of AVX2. Along k every vector of weights then serves three rows, and every one of x four
// features.
constexpr int64_t kTileFeatures = 4;
constexpr int64_t kTileRows = 3;

// So much of k is done for all rows before the rest, that a tile's weights, which every group of
// rows reads again, stay in the caches of one core; and longer stretches, while there are so few
// rows that they and x fit together. Memory gives long stretches faster.
constexpr int64_t kMinBlock = 2048;
constexpr int64_t kBlockNumbers = 32768;  // of x

/// What one tile reads: rows of x, rows of the weight, and two rows that a later tile will read.
template <typename T>
struct Tile {
  const float* x[kTileRows];
  const T* w[kTileFeatures];
  const T* next[2];
  int64_t size;  // along k
};

/// sums[i][j] = sum over k of x[i][k] * w[j][k].
template <int kRows, typename T>
HWY_INLINE void multiply_tile(const Tile<T>& tile, float (*sums)[kTileFeatures]) {
  // Each by name, because compilers keep arrays of vectors in memory.
  const float* HWY_RESTRICT x0 = tile.x[0];
  const float* HWY_RESTRICT x1 = tile.x[1];
  const float* HWY_RESTRICT x2 = tile.x[2];
  const T* HWY_RESTRICT w0 = tile.w[0];
  const T* HWY_RESTRICT w1 = tile.w[1];
  const T* HWY_RESTRICT w2 = tile.w[2];
  const T* HWY_RESTRICT w3 = tile.w[3];
  const T* next0 = tile.next[0];
  const T* next1 = tile.next[1];
  const auto zero = hn::Zero(Floats());
  auto s00 = zero, s01 = zero, s02 = zero, s03 = zero;
  auto s10 = zero, s11 = zero, s12 = zero, s13 = zero;
  auto s20 = zero, s21 = zero, s22 = zero, s23 = zero;
  const auto step = [&](const auto& load) HWY_ATTR {
    const auto a0 = load(x0);
    const auto a1 = kRows > 1 ? load(x1) : zero;
    const auto a2 = kRows > 2 ? load(x2) : zero;
    const auto add_products = [&](const T* w, FloatVec& s0, FloatVec& s1, FloatVec& s2) HWY_ATTR {
      const auto b = load(w);
      s0 = hn::MulAdd(a0, b, s0);
      if (kRows > 1) s1 = hn::MulAdd(a1, b, s1);
      if (kRows > 2) s2 = hn::MulAdd(a2, b, s2);
    };
    add_products(w0, s00, s10, s20);
    add_products(w1, s01, s11, s21);
    add_products(w2, s02, s12, s22);
    add_products(w3, s03, s13, s23);
  };
  const int64_t lanes = num_lanes();
  int64_t i = 0;
  for (; i + lanes <= tile.size; i += lanes) {
    if (kRows > 1) {
      hwy::Prefetch(next0 + i);
      hwy::Prefetch(next1 + i);
    }
    step([&](const auto* from) HWY_ATTR { return load_floats(from + i); });
  }
  if (i < tile.size) {
    step([&](const auto* from) HWY_ATTR { return load_first(from + i, tile.size - i); });
  }
  store_lane_sums({s00, s01, s02, s03}, sums[0]);
  if (kRows > 1) store_lane_sums({s10, s11, s12, s13}, sums[1]);
  if (kRows > 2) store_lane_sums({s20, s21, s22, s23}, sums[2]);
}

/// One block of k of the products of a few features with all rows.
template <typename T>
class FeatureTile {
 public:
  /// @param scales  of all features, or null
  FeatureTile(const FewRowsProduct& product, int64_t k, int64_t size, const float* scales)
      : product_(product), scales_(scales), k_(k), adds_(product.adds_to_out || k > 0) {
    tile_.size = size;
  }

  /// @param weights      feature `first`'s from k on, with those of the following ones `stride`
  ///                     apart
  /// @param num_weights  features that are there, of which at most four are multiplied
  void multiply(int64_t first, const T* weights, int64_t stride, int64_t num_weights) {
    first_ = first;
    num_features_ = std::min(num_weights, kTileFeatures);
    // Past the last feature it is computed again; and prefetched, which cannot fail.
    const auto weight = [&](int64_t i)
                            HWY_ATTR { return weights + std::min(i, num_weights - 1) * stride; };
    for (int64_t i = 0; i < kTileFeatures; ++i) tile_.w[i] = weight(i);
    const int64_t num_groups = (product_.num_rows + kTileRows - 1) / kTileRows;
    int64_t row = 0;
    for (int64_t group = 0; group < num_groups; ++group) {
      // Evenly: two groups of two rows do better than three rows and one.
      const int64_t num_rows = (product_.num_rows - row) / (num_groups - group);
      choose_next(group, num_groups, weight);
      multiply_rows(row, num_rows);
      row += num_rows;
    }
  }

 private:
  /// While a tile's weights are multiplied with one group of rows after the other, memory would be
  /// idle. So the groups share the fetching of the next tile's.
  template <typename Weight>
  void choose_next(int64_t group, int64_t num_groups, const Weight& weight) {
    const int64_t parts = std::min(num_groups, kTileFeatures);
    const int64_t begin = std::min(group, parts) * kTileFeatures / parts;
    const int64_t end = std::min(group + 1, parts) * kTileFeatures / parts;
    const bool fetches = begin < end && num_groups > 1;
    tile_.next[0] = fetches ? weight(kTileFeatures + begin) : tile_.w[0];
    tile_.next[1] = fetches ? weight(kTileFeatures + end - 1) : tile_.w[0];
  }

  void multiply_rows(int64_t row, int64_t num_rows) {
    const auto* x = product_.x + row * product_.in_features + k_;
    for (int64_t i = 0; i < kTileRows; ++i) {
      tile_.x[i] = x + std::min(i, num_rows - 1) * product_.in_features;
    }
    HWY_ALIGN float sums[kTileRows][kTileFeatures];
    if (num_rows == 3) {
      multiply_tile<3>(tile_, sums);
    } else if (num_rows == 2) {
      multiply_tile<2>(tile_, sums);
    } else {
      multiply_tile<1>(tile_, sums);
    }
    for (int64_t i = 0; i < num_rows; ++i) {
      if (scales_ != nullptr) scale(sums[i]);
      store_sums(product_, sums[i], row + i, first_, num_features_, /*adds_bias=*/k_ == 0, adds_);
    }
  }

  void scale(float* sums) const {
    for (int64_t i = 0; i < num_features_; ++i) sums[i] *= scales_[first_ + i];
  }

  const FewRowsProduct& product_;
  const float* scales_;
  int64_t k_;
  bool adds_;
  int64_t first_ = 0;
  int64_t num_features_ = 0;
  Tile<T> tile_;
};

HWY_INLINE int64_t max_block(const FewRowsProduct& product) {
  // With one group of rows every weight is used once, and x can be of any length.
  if (product.num_rows <= kTileRows) return product.in_features;
  return std::max(kMinBlock, kBlockNumbers / product.num_rows);
}

/// @param scales  of all features, or null
template <typename T>
void multiply_tiled(const FewRowsProduct& product, const T* weight, const float* scales,
                    int64_t first, int64_t last) {
  const int64_t in_features = product.in_features;
  for_blocks(in_features, max_block(product), [&](int64_t k, int64_t size) HWY_ATTR {
    FeatureTile<T> tile(product, k, size, scales);
    for (int64_t n = first; n < last; n += kTileFeatures) {
      tile.multiply(n, weight + n * in_features + k, in_features, last - n);
    }
  });
}

#endif

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
