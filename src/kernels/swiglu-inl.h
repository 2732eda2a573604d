// SwiGLU of vectors. Included once for each instruction set.
#if defined(PREPACK_KERNELS_SWIGLU_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_SWIGLU_INL_H_
#undef PREPACK_KERNELS_SWIGLU_INL_H_
#else
#define PREPACK_KERNELS_SWIGLU_INL_H_
#endif

#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

/// e^-x of numbers >= 0, to 2e-7 of the result, and 0 where that is less than 2^-126. What it makes
/// of NaN means nothing.
HWY_INLINE FloatVec exp_of_negated(FloatVec x) {
  const Floats d;
  const hn::Rebind<int32_t, Floats> integers;
  // Numbers around this one lie 1 apart: adding it rounds x / -ln 2, and leaves the integer in the
  // low bits.
  const auto rounder = hn::Set(d, 0x1.8p23F);
  const auto rounded = hn::MulAdd(x, hn::Set(d, -0x1.715476p+0F), rounder);
  const auto n = hn::Sub(rounded, rounder);
  // x + n ln 2, in [-0.35, 0.35], keeps its digits where ln 2 is the sum of two numbers, the first
  // of so few digits that its products with n are exact.
  auto f = hn::MulAdd(n, hn::Set(d, 0x1.62e4p-1F), x);
  f = hn::MulAdd(n, hn::Set(d, 0x1.7f7d1cp-20F), f);
  // The polynomial of degree 5 with the least relative error, 9e-8, of those that are 1 at 0, with
  // its terms in pairs: they are computed at the same time.
  const auto square = hn::Mul(f, f);
  const auto upper =
      hn::MulAdd(f, hn::Set(d, -0.008290314787820163F), hn::Set(d, 0.04189793081968829F));
  const auto middle =
      hn::MulAdd(f, hn::Set(d, -0.16667635708151302F), hn::Set(d, 0.4999915024148878F));
  const auto lower = hn::MulAdd(f, hn::Set(d, -0.999999744773859F), hn::Set(d, 1.0F));
  const auto fraction = hn::MulAdd(hn::MulAdd(upper, square, middle), square, lower);
  const auto exponent = hn::ShiftLeft<23>(hn::BitCast(integers, rounded));
  const auto power = hn::BitCast(d, hn::Add(hn::BitCast(integers, fraction), exponent));
  const auto largest = hn::Set(d, 0x1.5d589ep+6F);  // 126 ln 2
  return hn::IfThenZeroElse(hn::Gt(x, largest), power);
}

/// silu(gate) * up.
HWY_INLINE FloatVec gated(FloatVec gate, FloatVec up) {
  const Floats d;
  // e^-|gate| cannot overflow: silu is gate / (1 + e^-gate), and of negative gates
  // gate e^gate / (1 + e^gate). A gate that is NaN remains the numerator.
  const auto power = exp_of_negated(hn::Abs(gate));
  const auto numerator = hn::IfThenElse(hn::Lt(gate, hn::Zero(d)), hn::Mul(gate, power), gate);
  return hn::Mul(hn::Div(numerator, hn::Add(hn::Set(d, 1.0F), power)), up);
}

/// The most features of a panel of any product.
constexpr int64_t kMaxGated = 32;

/// out = silu(gates) * ups of a product's sums with the biases, both rounded to T before, as a
/// product that does not gate stores them.
/// @param size       at most kMaxGated
/// @param gate_bias  null for none, as up_bias
template <typename T>
HWY_INLINE void store_gated(int64_t size, const float* gates, const float* gate_bias,
                            const float* ups, const float* up_bias, T* out) {
  HWY_ALIGN T rounded_gates[kMaxGated];
  HWY_ALIGN T rounded_ups[kMaxGated];
  store_biased(size, gates, gate_bias, /*adds=*/false, rounded_gates);
  store_biased(size, ups, up_bias, /*adds=*/false, rounded_ups);
  const auto gate = [](FloatVec a, FloatVec b) HWY_ATTR { return gated(a, b); };
  transform(size, gate, out, rounded_gates, rounded_ups);
}

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
