// Transposes float32 matrices a vector at a time. Included once for each instruction set.
#if defined(PREPACK_KERNELS_TRANSPOSE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_TRANSPOSE_INL_H_
#undef PREPACK_KERNELS_TRANSPOSE_INL_H_
#else
#define PREPACK_KERNELS_TRANSPOSE_INL_H_
#endif

#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

/// Four numbers of every fourth row, row after row: those at from, from + 4 * stride, ...
template <typename D>
HWY_INLINE hn::Vec<D> load_fours(D d, const float* from, int64_t stride) {
  if constexpr (hn::MaxLanes(D()) == 4) {
    return hn::LoadU(d, from);
  } else {
    const hn::Half<D> half;
    const int64_t num_rows = hn::MaxLanes(D()) / 2;
    return hn::Combine(d, load_fours(half, from + num_rows * stride, stride),
                       load_fours(half, from, stride));
  }
}

/// to[column][row] = from[row][column].
/// @param num_rows     a multiple of num_lanes()
/// @param num_columns  a multiple of four
HWY_INLINE void transpose(const float* from, int64_t num_rows, int64_t num_columns, float* to) {
  const Floats d;
  const hn::Repartition<double, Floats> pairs;
  const int64_t lanes = num_lanes();
  for (int64_t row = 0; row < num_rows; row += lanes) {
    for (int64_t column = 0; column < num_columns; column += 4) {
      const float* corner = from + row * num_columns + column;
      const auto a = load_fours(d, corner, num_columns);
      const auto b = load_fours(d, corner + num_columns, num_columns);
      const auto c = load_fours(d, corner + 2 * num_columns, num_columns);
      const auto e = load_fours(d, corner + 3 * num_columns, num_columns);
      // Each block of four lanes is a 4 x 4 matrix of its own.
      const auto ab_01 = hn::BitCast(pairs, hn::InterleaveLower(d, a, b));
      const auto ab_23 = hn::BitCast(pairs, hn::InterleaveUpper(d, a, b));
      const auto ce_01 = hn::BitCast(pairs, hn::InterleaveLower(d, c, e));
      const auto ce_23 = hn::BitCast(pairs, hn::InterleaveUpper(d, c, e));
      float* out = to + column * num_rows + row;
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, ab_01, ce_01)), d, out);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, ab_01, ce_01)), d, out + num_rows);
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, ab_23, ce_23)), d, out + 2 * num_rows);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, ab_23, ce_23)), d, out + 3 * num_rows);
    }
  }
}

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
