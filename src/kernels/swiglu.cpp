#include "kernels/swiglu.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/swiglu.cpp"
#include <hwy/foreach_target.h>
//
#include "kernels/swiglu-inl.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {
namespace {

void swiglu(DType dtype, const void* gate_up, void* out, int64_t num_rows, int64_t size) {
  const auto activate = [](FloatVec gate, FloatVec up) HWY_ATTR { return gated(gate, up); };
  with_type(
      dtype,
      [&](const auto* gates, auto* results) HWY_ATTR {
        for (int64_t row = 0; row < num_rows; ++row) {
          const auto* gate = gates + row * 2 * size;
          transform(size, activate, results + row * size, gate, gate + size);
        }
      },
      gate_up, out);
}

}  // namespace
}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace prepack {

HWY_EXPORT(swiglu);

void swiglu(DType dtype, const void* gate_up, void* out, int64_t num_rows, int64_t size) {
  HWY_DYNAMIC_DISPATCH(swiglu)(dtype, gate_up, out, num_rows, size);
}

}  // namespace prepack
#endif
