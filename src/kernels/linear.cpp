#include "kernels/linear.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/linear.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/cache_control.h>

#include "kernels/lane_sums-inl.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {
namespace {

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
  FeatureTile(const FewRowsProduct& product, int64_t k, int64_t size)
      : product_(product), k_(k), adds_(product.adds_to_out || k > 0) {
    tile_.size = size;
  }

  void multiply(int64_t first, int64_t last) {
    first_ = first;
    num_features_ = std::min(last - first, kTileFeatures);
    // Past the last feature it is computed again; and prefetched, which cannot fail.
    for (int64_t i = 0; i < kTileFeatures; ++i) tile_.w[i] = weight(std::min(first + i, last - 1));
    const int64_t num_groups = (product_.num_rows + kTileRows - 1) / kTileRows;
    int64_t row = 0;
    for (int64_t group = 0; group < num_groups; ++group) {
      // Evenly: two groups of two rows do better than three rows and one.
      const int64_t num_rows = (product_.num_rows - row) / (num_groups - group);
      choose_next(group, num_groups, last);
      multiply_rows(row, num_rows);
      row += num_rows;
    }
  }

 private:
  const T* weight(int64_t feature) const {
    return static_cast<const T*>(product_.weight) + feature * product_.in_features + k_;
  }

  /// While a tile's weights are multiplied with one group of rows after the other, memory would be
  /// idle. So the groups share the fetching of the next tile's.
  void choose_next(int64_t group, int64_t num_groups, int64_t last) {
    const int64_t parts = std::min(num_groups, kTileFeatures);
    const int64_t begin = std::min(group, parts) * kTileFeatures / parts;
    const int64_t end = std::min(group + 1, parts) * kTileFeatures / parts;
    const auto clamp = [&](int64_t feature)
                           HWY_ATTR { return std::min(first_ + feature, last - 1); };
    const bool fetches = begin < end && num_groups > 1;
    tile_.next[0] = fetches ? weight(clamp(kTileFeatures + begin)) : tile_.w[0];
    tile_.next[1] = fetches ? weight(clamp(kTileFeatures + end - 1)) : tile_.w[0];
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
    for (int64_t i = 0; i < num_rows; ++i) store(sums[i], row + i);
  }

  void store(const float* sums, int64_t row) const {
    auto* out = product_.out + row * product_.out_stride + first_;
    const float* bias = product_.bias != nullptr && k_ == 0 ? product_.bias + first_ : nullptr;
    for (int64_t i = 0; i < num_features_; ++i) {
      const float sum = bias != nullptr ? sums[i] + bias[i] : sums[i];
      out[i] = adds_ ? out[i] + sum : sum;
    }
  }

  const FewRowsProduct& product_;
  int64_t k_;
  bool adds_;
  int64_t first_ = 0;
  int64_t num_features_ = 0;
  Tile<T> tile_;
};

template <typename T>
void multiply_with(const FewRowsProduct& product, int64_t first, int64_t last) {
  // With one group of rows every weight is used once, and x can be of any length.
  const int64_t in_features = product.in_features;
  const int64_t max_block = std::max(kMinBlock, kBlockNumbers / product.num_rows);
  const int64_t num_blocks =
      product.num_rows <= kTileRows ? 1 : (in_features + max_block - 1) / max_block;
  const int64_t alignment = 64;  // elements; whole vectors and cache lines
  const int64_t block = (in_features / num_blocks + alignment - 1) / alignment * alignment;
  for (int64_t k = 0; k < in_features; k += block) {
    FeatureTile<T> tile(product, k, std::min(block, in_features - k));
    for (int64_t n = first; n < last; n += kTileFeatures) tile.multiply(n, last);
  }
}

void multiply_few_rows(const FewRowsProduct& product, int64_t first, int64_t last) {
  with_type(
      product.weight_dtype,
      [&]<typename T>(const T*) HWY_ATTR { multiply_with<T>(product, first, last); },
      product.weight);
}

void widen(DType dtype, const void* from, float* to, int64_t count) {
  const auto same = [](FloatVec values) HWY_ATTR { return values; };
  with_type(
      dtype, [&](const auto* numbers) HWY_ATTR { transform(count, same, to, numbers); }, from);
}

void narrow(const float* from, DType dtype, void* to, int64_t count) {
  const auto same = [](FloatVec values) HWY_ATTR { return values; };
  with_type(
      dtype, [&](auto* numbers) HWY_ATTR { transform(count, same, numbers, from); }, to);
}

}  // namespace
}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace prepack {

HWY_EXPORT(multiply_few_rows);
HWY_EXPORT(widen);
HWY_EXPORT(narrow);

void multiply_few_rows(const FewRowsProduct& product, int64_t first, int64_t last) {
  HWY_DYNAMIC_DISPATCH(multiply_few_rows)(product, first, last);
}

void widen(DType dtype, const void* from, float* to, int64_t count) {
  HWY_DYNAMIC_DISPATCH(widen)(dtype, from, to, count);
}

void narrow(const float* from, DType dtype, void* to, int64_t count) {
  HWY_DYNAMIC_DISPATCH(narrow)(from, dtype, to, count);
}

}  // namespace prepack
#endif
