// What the stretches of a sequence's keys leave of each row, and their sum. Included once for each
// instruction set.
#if defined(PREPACK_KERNELS_ATTENTION_STRETCHES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_ATTENTION_STRETCHES_INL_H_
#undef PREPACK_KERNELS_ATTENTION_STRETCHES_INL_H_
#else
#define PREPACK_KERNELS_ATTENTION_STRETCHES_INL_H_
#endif

#include <algorithm>

#include "kernels/attention.h"
#include "kernels/attention_rows-inl.h"
#include "kernels/exp2-inl.h"
#include "kernels/scratch.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

/// Where one stretch's partial result has what; T is float, or const float.
template <typename T>
struct Partial {
  T* outputs;  // [num_rows, head_dim], not yet divided by the totals
  T* maxima;   // [num_rows]
  T* totals;   // [num_rows]: of the weights, relative to the maxima; 0 of a row without keys here

  Partial(const AttentionBlock& block, T* memory)
      : outputs(memory),
        maxima(outputs + block.num_queries * block.group * block.head_dim),
        totals(maxima + block.num_queries * block.group) {}
};

/// Stores what a row has of a stretch.
/// @param output   [head_dim], not yet divided by the total
/// @param maximum  of the row's scores
/// @param total    of its weights, relative to the maximum
/// @param partial  null: the stretch is the only one, and the result goes to where the block says
template <typename T>
HWY_INLINE void finish_row(const AttentionBlock& block, int64_t row, const float* output,
                           float maximum, float total, float* partial) {
  if (partial == nullptr) {
    store_output<T>(block, row, output, 1.0F / total);
    return;
  }
  const Partial<float> to(block, partial);
  std::copy_n(output, block.head_dim, to.outputs + row * block.head_dim);
  to.maxima[row] = maximum;
  to.totals[row] = total;
}

/// A row's output, of all stretches.
template <typename T>
void combine_row(const AttentionBlock& block, const float* partials, int64_t row, float* output) {
  const int64_t count = num_stretches(block);
  const int64_t size = partial_size(block);
  const auto partial = [&](int64_t i) { return Partial<const float>(block, partials + i * size); };
  float maximum = kLeastMaximum;
  for (int64_t i = 0; i < count; ++i) maximum = std::max(maximum, partial(i).maxima[row]);
  // Where no stretch has a score above -inf, it is divided by zero, as for a single stretch.
  std::fill_n(output, block.head_dim, 0.0F);
  float total = 0;
  for (int64_t i = 0; i < count; ++i) {
    const auto of_stretch = partial(i);
    if (of_stretch.totals[row] == 0) continue;
    const auto weight = exp2_of_negative(hn::Set(Floats(), of_stretch.maxima[row] - maximum));
    const float* addend = of_stretch.outputs + row * block.head_dim;
    if (total == 0) {  // so that one stretch alone gives what it does where there is no other
      transform(
          block.head_dim, [&](FloatVec x) HWY_ATTR { return hn::Mul(weight, x); }, output, addend);
    } else {
      transform(
          block.head_dim,
          [&](FloatVec sum, FloatVec x) HWY_ATTR { return hn::MulAdd(weight, x, sum); }, output,
          output, addend);
    }
    total += hn::GetLane(weight) * of_stretch.totals[row];
  }
  store_output<T>(block, row, output, 1.0F / total);
}

template <typename T>
void combine_rows(const AttentionBlock& block, const float* partials) {
  Scratch scratch(block.head_dim, 1);
  float* output = scratch.take(block.head_dim);
  for (int64_t row = 0; row < block.num_queries * block.group; ++row) {
    combine_row<T>(block, partials, row, output);
  }
}

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
