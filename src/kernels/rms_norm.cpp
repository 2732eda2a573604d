#include "kernels/rms_norm.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rms_norm.cpp"
#include <hwy/foreach_target.h>
//
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {
namespace {

template <typename T>
float sum_of_squares(const T* x, int64_t size) {
  const Floats d;
  const int64_t lanes = num_lanes();
  // Two sums, because each addition waits for the one before.
  auto even = hn::Zero(d);
  auto odd = hn::Zero(d);
  int64_t i = 0;
  for (; i + 2 * lanes <= size; i += 2 * lanes) {
    const auto x0 = load_floats(x + i);
    const auto x1 = load_floats(x + i + lanes);
    even = hn::MulAdd(x0, x0, even);
    odd = hn::MulAdd(x1, x1, odd);
  }
  for (; i < size; i += lanes) {
    const auto rest = size - i < lanes ? load_first(x + i, size - i) : load_floats(x + i);
    even = hn::MulAdd(rest, rest, even);
  }
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(even, odd)));
}

void rms_norm(DType dtype, const void* x, const void* weight, double eps, void* out,
              int64_t num_rows, int64_t size) {
  const Floats d;
  const auto normalise = [&](const auto* row, const auto* weights, auto* result) HWY_ATTR {
    for (int64_t i = 0; i < num_rows; ++i, row += size, result += size) {
      const double mean = sum_of_squares(row, size) / static_cast<double>(size);
      const auto scale = hn::Set(d, static_cast<float>(1.0 / std::sqrt(mean + eps)));
      const auto apply = [&](FloatVec value, FloatVec factor)
                             HWY_ATTR { return hn::Mul(hn::Mul(value, scale), factor); };
      transform(size, apply, result, row, weights);
    }
  };
  with_type(dtype, normalise, x, weight, out);
}

}  // namespace
}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace prepack {

HWY_EXPORT(rms_norm);

void rms_norm(DType dtype, const void* x, const void* weight, double eps, void* out,
              int64_t num_rows, int64_t size) {
  HWY_DYNAMIC_DISPATCH(rms_norm)(dtype, x, weight, eps, out, num_rows, size);
}

}  // namespace prepack
#endif
