// The products of panels of attention by a matrix unit, in tiles of 16 by 16 sums. Included once
// for each instruction set.
#if defined(PREPACK_KERNELS_PANEL_MATRIX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_PANEL_MATRIX_INL_H_
#undef PREPACK_KERNELS_PANEL_MATRIX_INL_H_
#else
#define PREPACK_KERNELS_PANEL_MATRIX_INL_H_
#endif

#include <algorithm>

#include "kernels/matrix_unit-inl.h"
#include "kernels/panel_numbers-inl.h"
#include "kernels/panel_products-inl.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

// A vector is a row of a tile.
#undef PREPACK_HAS_PANEL_MATRIX
#define PREPACK_HAS_PANEL_MATRIX (PREPACK_HAS_MATRIX_UNIT && HWY_TARGET <= HWY_AVX3)

#if PREPACK_HAS_PANEL_MATRIX

/// Two tiles of rows of a times kVectors tiles of b, `num_steps` tiles of 16 lanes each: sums in
/// tiles 0 to 3, operands in 4 to 7.
template <int kVectors>
struct MatrixTile {
  using Tiles = MatrixTiles;

  static HWY_INLINE void clear() {
    Tiles::clear<0>();
    Tiles::clear<2>();
    if constexpr (kVectors == 2) {
      Tiles::clear<1>();
      Tiles::clear<3>();
    }
  }
  /// @param from  [2 * 16, kVectors vectors]
  static HWY_INLINE void load(const float* from) {
    constexpr int64_t kWidth = kVectors * kMatrixRows;
    Tiles::load<0>(from, kWidth);
    Tiles::load<2>(from + kMatrixRows * kWidth, kWidth);
    if constexpr (kVectors == 2) {
      Tiles::load<1>(from + kMatrixRows, kWidth);
      Tiles::load<3>(from + kMatrixRows * kWidth + kMatrixRows, kWidth);
    }
  }
  static HWY_INLINE void store(float* to) {
    constexpr int64_t kWidth = kVectors * kMatrixRows;
    Tiles::store<0>(to, kWidth);
    Tiles::store<2>(to + kMatrixRows * kWidth, kWidth);
    if constexpr (kVectors == 2) {
      Tiles::store<1>(to + kMatrixRows, kWidth);
      Tiles::store<3>(to + kMatrixRows * kWidth + kMatrixRows, kWidth);
    }
  }
  /// @param a  [2 * 16, num_steps * 16], with rows `stride` lanes apart
  /// @param b  [num_steps * 16, kVectors vectors]
  static HWY_INLINE void add_product(const float* a, int64_t stride, const float* b,
                                     int64_t num_steps) {
    constexpr int64_t kWidth = kVectors * kMatrixRows;
    for (int64_t step = 0; step < num_steps; ++step) {
      Tiles::load<4>(a, stride);
      Tiles::load<6>(b, kWidth);
      Tiles::add_product<0, 4, 6>();
      Tiles::load<5>(a + kMatrixRows * stride, stride);
      Tiles::add_product<2, 5, 6>();
      if constexpr (kVectors == 2) {
        Tiles::load<7>(b + kMatrixRows, kWidth);
        Tiles::add_product<1, 4, 7>();
        Tiles::add_product<3, 5, 7>();
      }
      a += kMatrixRows;
      b += kMatrixRows * kWidth;
    }
  }
};

/// Pairs of bfloat16 for heads of whole tiles. Values are transposed: the pairs of a dimension
/// stand side by side.
struct MatrixNumbers : PairNumbers {
  static constexpr bool kUsesMatrixUnit = true;
  static constexpr int64_t kTileKeys = 2 * kMatrixRows;
  static_assert(hn::MaxLanes(Floats()) == kMatrixRows);

  static bool fits(int64_t head_dim) { return head_dim % kTileKeys == 0; }

  template <int kVectors>
  static void compute_scores(const KeyBlock& block, const Panel& panel, KeyRange range,
                             Fetch<Stored>& fetch, float* scores) {
    constexpr int64_t kWidth = kVectors * kMatrixRows;
    for (int64_t key = range.begin; key < range.end; key += kTileKeys) {
      fetch.step();
      MatrixTile<kVectors>::clear();
      MatrixTile<kVectors>::add_product(block.keys + key * block.key_stride, block.key_stride,
                                        panel.queries, block.head_dim / kTileKeys);
      MatrixTile<kVectors>::store(scores + key * kWidth);
    }
  }

  /// @param weights  of pairs of keys; those behind the range, up to a whole tile, are overwritten
  template <int kVectors>
  static void add_outputs(const KeyBlock& block, const Panel& panel, KeyRange range, float* weights,
                          const FloatVec (&shrink)[kVectors]) {
    constexpr int64_t kWidth = kVectors * kMatrixRows;
    const int64_t end = round_up(range.end, kTileKeys);
    std::fill(weights + num_lanes_of(range.end) * kWidth, weights + num_lanes_of(end) * kWidth,
              0.0F);
    const bool is_first = is_first_block(block, panel);
    const int64_t first = num_lanes_of(range.begin);
    for (int64_t dim = 0; dim < block.head_dim; dim += kTileKeys) {
      float* outputs = panel.outputs + dim * kWidth;
      if (is_first) {
        MatrixTile<kVectors>::clear();
      } else {
        multiply_rows(kTileKeys, shrink, outputs);
        MatrixTile<kVectors>::load(outputs);
      }
      MatrixTile<kVectors>::add_product(block.values + dim * block.value_stride + first,
                                        block.value_stride, weights + first * kWidth,
                                        (end - range.begin) / kTileKeys);
      MatrixTile<kVectors>::store(outputs);
    }
  }

 private:
  template <int kVectors>
  static HWY_INLINE void multiply_rows(int64_t num_rows, const FloatVec (&factors)[kVectors],
                                       float* rows) {
    const Floats d;
    for (int64_t row = 0; row < num_rows; ++row) {
      HWY_UNROLL(2) for (int v = 0; v < kVectors; ++v, rows += num_lanes()) {
        hn::StoreU(hn::Mul(factors[v], hn::LoadU(d, rows)), d, rows);
      }
    }
  }
};

#endif

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
