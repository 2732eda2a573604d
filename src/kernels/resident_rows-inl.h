// Products of several groups of rows, which stay in the first cache together, with weights as they
// are stored; for 32 registers of 512 bits. Included once for each instruction set.
#if defined(PREPACK_KERNELS_RESIDENT_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_RESIDENT_ROWS_INL_H_
#undef PREPACK_KERNELS_RESIDENT_ROWS_INL_H_
#else
#define PREPACK_KERNELS_RESIDENT_ROWS_INL_H_
#endif

#include <hwy/cache_control.h>

#include <algorithm>

#include "kernels/lane_sums-inl.h"
#include "kernels/streamed_rows-inl.h"
#include "kernels/unrolled-inl.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX3

// A tile's sums, up to 24, stay in registers with a vector of each feature's weights and one of x.
constexpr int kResidentFeatures = 4;
constexpr int kMaxResidentRows = 6;

// All rows stay in a first cache of 48 KB for as much of k as is done before the rest, beside the
// weights of the present tile and of what comes next.
constexpr int64_t kResidentNumbers = 9216;
constexpr int64_t kMaxResidentSize = 384;  // along k

// Weights come from memory so far ahead: what is nearer comes late, what is farther displaces x.
constexpr int64_t kResidentBytesAhead = 8 * 1024;

/// What one tile reads along k, and what it fetches meanwhile.
struct ResidentTile {
  const float* w[kResidentFeatures];
  const float* fetched[kResidentFeatures];  // what is done next, of some features
  const float* x;                           // rows, interleaved
  int64_t size;
};

/// sums[r * stride + f] = or += sum over k of x[r][k] * w[f][k].
/// @tparam kFetched  of how many features weights are fetched
template <int kRows, int kFetched, typename Products>
HWY_INLINE void multiply_resident_tile(const ResidentTile& tile, bool adds, float* sums,
                                       int64_t stride) {
  constexpr int kFeatures = kResidentFeatures;
  constexpr int64_t kLanes = hn::MaxLanes(Floats());
  const float* HWY_RESTRICT w[kFeatures];
  inlined<kFeatures>([&]<int f>() PREPACK_INLINED { w[f] = tile.w[f]; });
  const float* fetched[kFeatures];
  inlined<kFetched>([&]<int f>() PREPACK_INLINED { fetched[f] = tile.fetched[f]; });
  const float* HWY_RESTRICT x = tile.x;
  FloatVec s[kRows * kFeatures];
  inlined<kRows * kFeatures>([&]<int i>() PREPACK_INLINED { s[i] = hn::Zero(Floats()); });
  const auto add_products = [&](int64_t k, const auto& load) PREPACK_INLINED {
    add_tile_products<kRows, kFeatures, Products>(w, x, k, load, s);
  };
  int64_t k = 0;
  for (; k + kLanes <= tile.size; k += kLanes) {
    inlined<kFetched>([&]<int f>() PREPACK_INLINED { hwy::Prefetch(fetched[f] + k); });
    add_products(k, [](const float* from) PREPACK_INLINED { return load_floats(from); });
  }
  if (k < tile.size) {
    const int64_t count = tile.size - k;
    add_products(k, [&](const float* from) PREPACK_INLINED { return load_first(from, count); });
  }
  const hn::FixedTag<float, kFeatures> d;
  inlined<kRows>([&]<int r>() PREPACK_INLINED {
    float of_row[kFeatures];
    constexpr int i = r * kFeatures;
    store_lane_sums(Floats(), {s[i], s[i + 1], s[i + 2], s[i + 3]}, of_row);
    float* to = sums + r * stride;
    const auto sum = hn::LoadU(d, of_row);
    hn::StoreU(adds ? hn::Add(hn::LoadU(d, to), sum) : sum, d, to);
  });
}

/// Sums over blocks of k, of which all rows stay in the first cache. Every feature's weights are
/// multiplied with all rows, a group of them after the other, before those of the next features,
/// which the groups fetch in equal parts: memory is never idle.
/// @tparam Products  of numbers of 32 bits
template <typename Products>
class ResidentRows {
 public:
  static constexpr int kMinRows = 2 * kMaxResidentRows + 1;
  // Of more rows so little of k fits that adding lanes takes longer than the memory saved.
  static constexpr int kMaxRows = 8 * kMaxResidentRows;

  /// @param num_rows  from kMinRows to kMaxRows
  ResidentRows(int64_t num_rows, int64_t in_features)
      : num_rows_(num_rows), in_features_(in_features), num_groups_(num_groups(num_rows)) {
    constexpr int64_t kLanes = hn::MaxLanes(Floats());
    const int64_t max_block =
        std::clamp(kResidentNumbers / num_rows / kLanes * kLanes, kLanes, kMaxResidentSize);
    const int64_t num_blocks = (in_features + max_block - 1) / max_block;
    block_ = padded((in_features + num_blocks - 1) / num_blocks);
  }

  /// Floats, of a copy of all rows.
  int64_t scratch_size() const { return num_rows_ * padded(in_features_); }

  /// @param scratch  stays in use
  void lay_out(const float* x, float* scratch) {
    x_ = scratch;
    for (int64_t k = 0; k < in_features_; k += block_) {
      const int64_t size = size_of_block(k);
      for_even_groups(num_rows_, num_groups_,
                      [&](int64_t /*group*/, int64_t row, int64_t num_rows) HWY_ATTR {
                        interleave_whole(x + row * in_features_ + k, in_features_, num_rows, size,
                                         scratch + k * num_rows_ + row * padded(size));
                      });
    }
  }

  /// sums[row * stride + f] = the sum over k of x[row] * weight[f]; up to three of what is behind
  /// them in a row is overwritten.
  /// @param weight  [count, in_features]
  void multiply(const float* weight, int64_t count, float* sums, int64_t stride) const {
    for (int64_t k = 0; k < in_features_; k += block_) {
      const bool is_last = k + block_ >= in_features_;
      const float* next = is_last ? weight + count * in_features_ : weight + k + block_;
      multiply_block(k, weight + k, count, next, sums, stride);
    }
  }

 private:
  static constexpr int64_t num_groups(int64_t num_rows) {
    return (num_rows + kMaxResidentRows - 1) / kMaxResidentRows;
  }

  static constexpr int kMinGroups = static_cast<int>(num_groups(kMinRows));
  static constexpr int kMinGroupRows = kMinRows / kMinGroups;  // more rows never have smaller ones
  // Of a tile's features, those that a group fetches.
  static constexpr int kMaxFetched = (kResidentFeatures + kMinGroups - 1) / kMinGroups;

  static int64_t padded(int64_t size) {
    constexpr int64_t kLanes = hn::MaxLanes(Floats());
    return (size + kLanes - 1) / kLanes * kLanes;
  }

  int64_t size_of_block(int64_t k) const { return std::min(block_, in_features_ - k); }

  /// @param weight  from k on
  /// @param next    the weights that come after these
  void multiply_block(int64_t k, const float* weight, int64_t count, const float* next, float* sums,
                      int64_t stride) const {
    ResidentTile tile;
    tile.size = size_of_block(k);
    const int64_t tile_bytes = kResidentFeatures * tile.size * static_cast<int64_t>(sizeof(float));
    const int64_t ahead = (kResidentBytesAhead + tile_bytes - 1) / tile_bytes * kResidentFeatures;
    for (int64_t n = 0; n < count; n += kResidentFeatures) {
      const int64_t last = std::min<int64_t>(count - n, kResidentFeatures) - 1;
      for (int64_t f = 0; f < kResidentFeatures; ++f) {
        // Past the last feature it is computed again.
        tile.w[f] = weight + (n + std::min(f, last)) * in_features_;
      }
      const float* fetched = n + ahead < count ? weight + (n + ahead) * in_features_
                                               : next + (n + ahead - count) * in_features_;
      for_even_groups(
          num_rows_, num_groups_, [&](int64_t group, int64_t row, int64_t num_rows) HWY_ATTR {
            const int64_t first = share(group);
            const int64_t num_fetched = share(group + 1) - first;
            for (int64_t f = 0; f < num_fetched; ++f) {
              tile.fetched[f] = fetched + (first + f) * in_features_;
            }
            tile.x = x_ + k * num_rows_ + row * padded(tile.size);
            multiply_rows(tile, num_rows, num_fetched, k > 0, sums + row * stride + n, stride);
          });
    }
  }

  /// The first of the features that a group of rows fetches.
  int64_t share(int64_t group) const { return group * kResidentFeatures / num_groups_; }

  static void multiply_rows(const ResidentTile& tile, int64_t num_rows, int64_t num_fetched,
                            bool adds, float* sums, int64_t stride) {
    unrolled<kMaxResidentRows - kMinGroupRows + 1>([&]<int r>() HWY_ATTR {
      unrolled<kMaxFetched + 1>([&]<int kFetched>() HWY_ATTR {
        constexpr int kRows = kMinGroupRows + r;
        if (num_rows == kRows && num_fetched == kFetched) {
          multiply_tile<kRows, kFetched>(tile, adds, sums, stride);
        }
      });
    });
  }

  template <int kRows, int kFetched>
  HWY_NOINLINE static void multiply_tile(const ResidentTile& tile, bool adds, float* sums,
                                         int64_t stride) {
    multiply_resident_tile<kRows, kFetched, Products>(tile, adds, sums, stride);
  }

  int64_t num_rows_;
  int64_t in_features_;
  int64_t num_groups_;
  int64_t block_;             // along k, in whole vectors
  const float* x_ = nullptr;  // blocks of [num_rows, size], the rows of a group interleaved
};

#endif

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
