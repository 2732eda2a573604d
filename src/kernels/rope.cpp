#include "kernels/rope.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rope.cpp"
#include <hwy/foreach_target.h>
//
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {
namespace {

void turn_heads(DType dtype, const void* heads, const float* cos, const float* sin, void* out,
                int64_t num_heads, int64_t head_dim, int64_t rotary_dim) {
  const int64_t half = rotary_dim / 2;
  const int64_t lanes = num_lanes();
  const auto turn = [&](const auto* head, auto* result) HWY_ATTR {
    for (int64_t h = 0; h < num_heads; ++h, head += head_dim, result += head_dim) {
      for (int64_t i = 0; i < half; i += lanes) {
        const int64_t count = half - i;
        const bool is_whole = count >= lanes;
        const auto load = [&](const auto* from) HWY_ATTR {
          return is_whole ? load_floats(from) : load_first(from, count);
        };
        const auto store = [&](FloatVec values, auto* to) HWY_ATTR {
          is_whole ? store_floats(values, to) : store_first(values, count, to);
        };
        const auto first = load(head + i);
        const auto second = load(head + half + i);
        const auto c = load(cos + i);
        const auto s = load(sin + i);
        store(hn::NegMulAdd(second, s, hn::Mul(first, c)), result + i);
        store(hn::MulAdd(first, s, hn::Mul(second, c)), result + half + i);
      }
    }
  };
  with_type(dtype, turn, heads, out);
}

}  // namespace
}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace prepack {

HWY_EXPORT(turn_heads);

void turn_heads(DType dtype, const void* heads, const float* cos, const float* sin, void* out,
                int64_t num_heads, int64_t head_dim, int64_t rotary_dim) {
  HWY_DYNAMIC_DISPATCH(turn_heads)(dtype, heads, cos, sin, out, num_heads, head_dim, rotary_dim);
}

}  // namespace prepack
#endif
