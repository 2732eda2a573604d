// The rows of a block of queries: one for each query in each head of its group, the heads of a
// query next to each other; and where their keys lie. Included once for each instruction set.
#if defined(PREPACK_KERNELS_ATTENTION_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_ATTENTION_ROWS_INL_H_
#undef PREPACK_KERNELS_ATTENTION_ROWS_INL_H_
#else
#define PREPACK_KERNELS_ATTENTION_ROWS_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <type_traits>

#include "kernels/attention.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

inline int64_t round_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

/// Calls f(std::integral_constant<int, count>()) for a count in [1, kMost].
template <int kMost, typename F>
HWY_INLINE void with_count(int64_t count, const F& f) {
  if constexpr (kMost == 1) {
    f(std::integral_constant<int, 1>());
  } else if (count == kMost) {
    f(std::integral_constant<int, kMost>());
  } else {
    with_count<kMost - 1>(count, f);
  }
}

/// Calls f(slot, place, size) for each run of the keys [first, first + num_keys): `size` keys, of
/// which the first is number first + place and lies in `slot`.
template <typename F>
HWY_INLINE void for_each_run(const AttentionBlock& block, int64_t first, int64_t num_keys,
                             const F& f) {
  int64_t run_begin = 0;
  for (const auto& run : block.runs) {
    const int64_t run_end = run_begin + run.num_slots;
    const int64_t begin = std::max(first, run_begin);
    const int64_t end = std::min(first + num_keys, run_end);
    if (begin < end) f(run.first_slot + begin - run_begin, begin - first, end - begin);
    run_begin = run_end;
  }
}

/// Of a row's scores before it has seen any. Finite, so that a block of keys of which a row may see
/// none, all minus infinity, leaves the row as it was.
constexpr float kLeastMaximum = std::numeric_limits<float>::lowest();

/// to[i] = from[i] * factor, and zeros up to a whole vector.
template <typename T>
HWY_INLINE void widen(const T* from, int64_t size, float factor, float* to) {
  const int64_t lanes = num_lanes();
  const auto factors = hn::Set(Floats(), factor);
  int64_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    store_floats(hn::Mul(load_floats(from + i), factors), to + i);
  }
  if (i < size) store_floats(hn::Mul(load_first(from + i, size - i), factors), to + i);
}

/// Of scores, in units of log 2, because the weights are computed as powers of two.
inline float score_scale(int64_t head_dim) {
  return static_cast<float>(std::numbers::log2e / std::sqrt(static_cast<double>(head_dim)));
}

template <typename T>
HWY_INLINE const T* query_of(const AttentionBlock& block, int64_t row) {
  return static_cast<const T*>(block.queries) + row / block.group * block.query_stride +
         row % block.group * block.head_dim;
}

/// A row's query, times the scale of the scores, and zeros up to a whole vector.
template <typename T>
HWY_INLINE void load_query(const AttentionBlock& block, int64_t row, float* to) {
  widen(query_of<T>(block, row), block.head_dim, score_scale(block.head_dim), to);
}

/// A row's output, times `factor`, to where the block says.
template <typename T>
HWY_INLINE void store_output(const AttentionBlock& block, int64_t row, const float* from,
                             float factor) {
  auto* out = static_cast<T*>(block.out) + row / block.group * block.out_stride +
              row % block.group * block.head_dim;
  const auto factors = hn::Set(Floats(), factor);
  transform(
      block.head_dim, [&](FloatVec x) HWY_ATTR { return hn::Mul(x, factors); }, out, from);
}

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
