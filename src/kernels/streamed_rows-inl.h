// Products of few rows with weights as they are stored, for 32 registers of 512 bits. Included once
// for each instruction set.
#if defined(PREPACK_KERNELS_STREAMED_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_STREAMED_ROWS_INL_H_
#undef PREPACK_KERNELS_STREAMED_ROWS_INL_H_
#else
#define PREPACK_KERNELS_STREAMED_ROWS_INL_H_
#endif

#include <hwy/cache_control.h>

#include <algorithm>

#include "kernels/few_rows-inl.h"
#include "kernels/int4-inl.h"
#include "kernels/int8-inl.h"
#include "kernels/lane_sums-inl.h"
#include "kernels/scratch.h"
#include "kernels/unrolled-inl.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX3

// The sums of a tile, 24, stay in registers with the vectors of weights and one of x: of four
// features and up to six rows; or of two features and up to twelve rows, so that memory is read
// once, where multiplying is fast enough for that.
template <int kRows>
constexpr int kStreamedFeatures = kRows <= 6 ? 4 : 2;
constexpr int64_t kMaxStreamedFeatures = 4;
constexpr int64_t kMaxStreamedRows = 6;

// The rows of a tile stay in a first cache of 48 KB for as much of k as is done before the rest;
// and with up to so many rows all of them, so that every tile's weights are done with at once.
// Tiles of two features, which go through x twice as often, leave it less room beside the weights.
constexpr int64_t kStreamedNumbers = 8192;
constexpr int64_t kTallTileNumbers = 5120;
constexpr int64_t kRowsOfOneBlock = 8;

// The weights that several groups of rows read, one after the other, stay in the second cache with
// all of x.
constexpr int64_t kStretchBytes = 128 * 1024;
constexpr int64_t kMinStretch = 12;  // features

// The weights of a tile are read from memory so far ahead.
constexpr int64_t kBytesAhead = 12 * 1024;
constexpr int64_t kLineBytes = 64;

/// What one tile reads along k, and what it fetches meanwhile. All but x in numbers.
template <typename T>
struct StreamedTile {
  const T* w[kMaxStreamedFeatures];
  const float* x;  // rows, interleaved
  int64_t size;
  int64_t ahead;       // from what is read to what is fetched
  int64_t last_size;   // of the end of the rows
  int64_t last_ahead;  // from there
};

/// Calls f(group, first row, number of rows) for groups of rows, which are as even as they can be.
template <typename F>
HWY_INLINE void for_even_groups(int64_t num_rows, int64_t num_groups, const F& f) {
  int64_t row = 0;
  for (int64_t group = 0; group < num_groups; ++group) {
    const int64_t size = (num_rows - row) / (num_groups - group);
    f(group, row, size);
    row += size;
  }
}

/// Rows of x, interleaved: vectors of the same place in k follow each other. The last vectors are
/// filled up with zeros.
HWY_INLINE void interleave_whole(const float* x, int64_t stride, int64_t num_rows, int64_t size,
                                 float* to) {
  const int64_t lanes = num_lanes();
  for (int64_t i = 0; i < size; i += lanes) {
    for (int64_t row = 0; row < num_rows; ++row, to += lanes) {
      const float* from = x + row * stride + i;
      store_floats(i + lanes <= size ? load_floats(from) : load_first(from, size - i), to);
    }
  }
}

/// sums[r * kFeatures + f] += x[r] * w[f], of a vector of each from k on.
/// @param w     of each feature
/// @param x     rows, interleaved
/// @param load  reads a vector of weights
template <int kRows, int kFeatures, typename Products, typename T, typename Load>
HWY_INLINE void add_tile_products(const T* HWY_RESTRICT (&w)[kFeatures], const float* x, int64_t k,
                                  const Load& load, FloatVec (&sums)[kRows * kFeatures]) {
  constexpr int64_t kLanes = hn::MaxLanes(Floats());
  FloatVec wide[kFeatures];
  inlined<kFeatures>([&]<int f>() PREPACK_INLINED { wide[f] = load(w[f] + k); });
  inlined<kRows>([&]<int r>() PREPACK_INLINED {
    const auto row = load_floats(x + k * kRows + r * kLanes);
    inlined<kFeatures>([&]<int f>() PREPACK_INLINED {
      sums[r * kFeatures + f] = Products::add(wide[f], row, sums[r * kFeatures + f]);
    });
  });
}

/// sums[r][f] = sum over k of x[r][k] * w[f][k].
/// @param sums  [kRows, kStreamedFeatures]
template <int kRows, typename Products, typename T>
HWY_INLINE void multiply_streamed_tile(const StreamedTile<T>& tile, float* sums) {
  constexpr int kFeatures = kStreamedFeatures<kRows>;
  constexpr int64_t kLanes = hn::MaxLanes(Floats());
  constexpr int64_t kLine = kLineBytes / static_cast<int64_t>(sizeof(T));
  const T* HWY_RESTRICT w[kFeatures];
  inlined<kFeatures>([&]<int f>() PREPACK_INLINED { w[f] = tile.w[f]; });
  const float* HWY_RESTRICT x = tile.x;
  FloatVec s[kRows * kFeatures];
  inlined<kRows * kFeatures>([&]<int i>() PREPACK_INLINED { s[i] = hn::Zero(Floats()); });
  const auto add_products = [&](int64_t k, const auto& load) PREPACK_INLINED {
    add_tile_products<kRows, kFeatures, Products>(w, x, k, load, s);
  };
  int64_t k = 0;
  int64_t ahead = tile.ahead;
  for (const int64_t end : {tile.size - tile.last_size, tile.size}) {
    for (; k + kLine <= end; k += kLine) {
      inlined<kFeatures>([&]<int f>() PREPACK_INLINED { hwy::Prefetch(w[f] + k + ahead); });
      inlined<static_cast<int>(kLine / kLanes)>([&]<int p>() PREPACK_INLINED {
        add_products(k + p * kLanes,
                     [](const T* from) PREPACK_INLINED { return load_floats(from); });
      });
    }
    ahead = tile.last_ahead;
  }
  for (; k < tile.size; k += kLanes) {
    const int64_t count = tile.size - k;
    add_products(k, [&](const T* from) PREPACK_INLINED {
      return count < kLanes ? load_first(from, count) : load_floats(from);
    });
  }
  store_row_sums(Floats(), s, sums);
}

/// One block of k of all rows.
/// @tparam Product   a FewRowsProduct, or the like with another type of out
/// @tparam kMaxRows  of a tile
template <typename Product = FewRowsProduct, typename Products = SingleProducts,
          int64_t kMaxRows = kMaxStreamedRows>
class StreamedBlock {
 public:
  /// Along k at most, and rounded up to kBlockAlignment.
  static int64_t max_size(int64_t num_rows) {
    const bool is_tall = std::min(num_rows, kMaxRows) > kMaxStreamedRows;
    return (is_tall ? kTallTileNumbers : kStreamedNumbers) /
           (num_rows <= kRowsOfOneBlock ? num_rows : std::min(num_rows, kMaxRows));
  }

  /// Floats.
  /// @param size  of a block, the rounding left out
  static int64_t scratch_size(int64_t num_rows, int64_t size) {
    return num_rows * (size + kBlockAlignment);
  }

  StreamedBlock(const Product& product, int64_t k, int64_t size, float* scratch)
      : product_(product),
        x_(scratch),
        num_groups_((product.num_rows + kMaxRows - 1) / kMaxRows),
        size_(size),
        row_size_((size + num_lanes() - 1) / num_lanes() * num_lanes()),
        adds_bias_(k == 0 && product.bias != nullptr),
        adds_to_out_(product.adds_to_out || k > 0) {
    for_even_groups(product_.num_rows, num_groups_,
                    [&](int64_t /*group*/, int64_t row, int64_t num_rows) HWY_ATTR {
                      interleave_whole(product.x + row * product.in_features + k,
                                       product.in_features, num_rows, size,
                                       scratch + row * row_size_);
                    });
  }

  /// Features that are multiplied with one group of rows before the next one.
  /// @param row_bytes  of a weight
  int64_t stretch(int64_t row_bytes, int64_t num_features) const {
    if (num_groups_ == 1) return num_features;
    if (product_.num_rows <= kRowsOfOneBlock) return kMaxStreamedFeatures;
    return std::max(kStretchBytes / row_bytes / kMinStretch, int64_t{1}) * kMinStretch;
  }

  /// Multiplies with features [first, last) as they are stored.
  /// @param weights  from k on
  /// @param scales   of all features, or null
  template <typename T>
  void multiply_stored(const T* weights, const float* scales, int64_t first, int64_t last) const {
    const int64_t in_features = product_.in_features;
    const int64_t count = stretch(size_ * static_cast<int64_t>(sizeof(T)), last - first);
    for (int64_t n = first; n < last; n += count) {
      multiply(weights + n * in_features, in_features, count * in_features, scales, n,
               std::min(n + count, last));
    }
  }

  /// Multiplies with features [first, last).
  /// @param weights  that of `first`, from k on
  /// @param stride   from one to the next
  /// @param next     from these features to those that come next, if there are several groups
  /// @param scales   of all features, or null
  template <typename T>
  void multiply(const T* weights, int64_t stride, int64_t next, const float* scales, int64_t first,
                int64_t last) const {
    for_even_groups(
        product_.num_rows, num_groups_, [&](int64_t group, int64_t row, int64_t num_rows) HWY_ATTR {
          unrolled<static_cast<int>(kMaxRows)>([&]<int r>() HWY_ATTR {
            if (num_rows == r + 1) {
              multiply_group<r + 1>(weights, stride, next, scales, first, last, group, row);
            }
          });
        });
  }

 private:
  template <int kRows, typename T>
  HWY_NOINLINE void multiply_group(const T* weights, int64_t stride, int64_t next,
                                   const float* scales, int64_t first, int64_t last, int64_t group,
                                   int64_t row) const {
    constexpr int kFeatures = kStreamedFeatures<kRows>;
    StreamedTile<T> tile;
    tile.x = x_ + row * row_size_;
    tile.size = size_;
    constexpr int64_t kAhead = kBytesAhead / kFeatures / static_cast<int64_t>(sizeof(T));
    tile.last_size = std::min(kAhead, size_);
    const int64_t tiles_ahead = (kAhead + size_ - 1) / size_;
    int64_t turn = group;
    for (int64_t n = first; n < last; n += kFeatures, weights += kFeatures * stride) {
      const int64_t count = std::min<int64_t>(last - n, kFeatures);
      for (int64_t f = 0; f < kFeatures; ++f) {
        // Past the last feature it is computed again.
        tile.w[f] = weights + std::min(f, count - 1) * stride;
      }
      tile.ahead = tile.last_size;
      tile.last_ahead = tile.ahead - size_ + tiles_ahead * kFeatures * stride;
      // The groups take turns in fetching what comes next from memory, which would be idle while
      // all but the first multiply.
      if (num_groups_ > 1 && turn-- == 0) {
        turn = num_groups_ - 1;
        tile.ahead = tile.last_ahead = next;
      }
      HWY_ALIGN float sums[kRows * kFeatures];
      multiply_streamed_tile<kRows, Products>(tile, sums);
      for (int64_t r = 0; r < kRows; ++r) {
        store<kFeatures>(sums + r * kFeatures, scales, row + r, n, count);
      }
    }
  }

  template <int kFeatures>
  HWY_INLINE void store(float* sums, const float* scales, int64_t row, int64_t first,
                        int64_t count) const {
    if (count < kFeatures) {
      for (int64_t i = 0; scales != nullptr && i < count; ++i) sums[i] *= scales[first + i];
      return store_sums(product_, sums, row, first, count, adds_bias_, adds_to_out_);
    }
    const hn::FixedTag<float, kFeatures> d;
    auto* out = product_.out + row * product_.out_stride + first;
    auto sum = hn::LoadU(d, sums);
    if (scales != nullptr) sum = hn::Mul(sum, hn::LoadU(d, scales + first));
    if (adds_bias_) sum = hn::Add(sum, hn::LoadU(d, product_.bias + first));
    store_floats(d, adds_to_out_ ? hn::Add(load_floats(d, out), sum) : sum, out);
  }

  const Product& product_;
  const float* x_;  // [num_rows, row_size_], of which the rows of a group are interleaved
  int64_t num_groups_;
  int64_t size_;
  int64_t row_size_;
  bool adds_bias_;
  bool adds_to_out_;
};

/// @param scales  of all features, or null
template <typename T>
void multiply_streamed(const FewRowsProduct& product, const T* weight, const float* scales,
                       int64_t first, int64_t last) {
  const int64_t in_features = product.in_features;
  const int64_t max_size = StreamedBlock<>::max_size(product.num_rows);
  const int64_t scratch_size =
      StreamedBlock<>::scratch_size(product.num_rows, std::min(max_size, in_features));
  Scratch scratch(scratch_size, 1);
  float* x = scratch.take(scratch_size);
  for_blocks(in_features, max_size, [&](int64_t k, int64_t size) HWY_ATTR {
    const StreamedBlock<> block(product, k, size, x);
    block.multiply_stored(weight + k, scales, first, last);
  });
}

/// Weights in groups, of which a stretch is widened at a time, for several groups of rows.
template <typename Rows>
void multiply_streamed_wide(const FewRowsProduct& product, const Rows& weight, int64_t first,
                            int64_t last) {
  const int64_t in_features = product.in_features;
  const int64_t max_size = StreamedBlock<>::max_size(product.num_rows);
  const int64_t max_stride = std::min(max_size, in_features) + 2 * kBlockAlignment;
  const int64_t stretch =
      std::max(kStretchBytes / 4 / max_stride / kMinStretch, int64_t{1}) * kMinStretch;
  const int64_t x_size =
      StreamedBlock<>::scratch_size(product.num_rows, std::min(max_size, in_features));
  Scratch scratch(x_size + stretch * max_stride, 2);
  float* x = scratch.take(x_size);
  float* wide = scratch.take(stretch * max_stride);
  for_blocks(in_features, max_size, [&](int64_t k, int64_t size) HWY_ATTR {
    const StreamedBlock<> block(product, k, size, x);
    // Not whole pages apart, which would take turns in the same places of the first cache.
    const int64_t stride = (size + kBlockAlignment - 1) / kBlockAlignment * kBlockAlignment + 16;
    for (int64_t n = first; n < last; n += stretch) {
      const int64_t end = std::min(n + stretch, last);
      for (int64_t i = n; i < end; ++i) {
        widen_groups(weight, in_features, i, k, size, wide + (i - n) * stride);
      }
      block.multiply(wide, stride, 0, nullptr, n, end);
    }
  });
}

#endif

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
