// 2^x, for the weights of a softmax. Included once for each instruction set.
#if defined(PREPACK_KERNELS_EXP2_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_EXP2_INL_H_
#undef PREPACK_KERNELS_EXP2_INL_H_
#else
#define PREPACK_KERNELS_EXP2_INL_H_
#endif

#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

/// 2^x of numbers <= 0, to 2e-7 of the result; exactly 1 for 0, and exactly 0 for -127 and less,
/// minus infinity included. NaN stays NaN.
HWY_INLINE FloatVec exp2_of_negative(FloatVec x) {
  const Floats d;
  const hn::Rebind<int32_t, Floats> integers;
  const auto least = hn::Set(d, -127.0F);
  x = hn::IfThenElse(hn::Lt(x, least), least, x);  // max would lose a NaN on some machines
  // Numbers around this one lie 1 apart: adding it rounds x, and leaves the integer in the low
  // bits.
  const auto rounder = hn::Set(d, 0x1.8p23F);
  const auto rounded = hn::Add(x, rounder);
  const auto f = hn::Sub(x, hn::Sub(rounded, rounder));  // in [-0.5, 0.5]
  // The polynomial of degree 5 with the least relative error, 9e-8, of those that are 1 at 0.
  auto result = hn::Set(d, 0.001326472731307149F);
  result = hn::MulAdd(result, f, hn::Set(d, 0.009671512991189957F));
  result = hn::MulAdd(result, f, hn::Set(d, 0.05550733581185341F));
  result = hn::MulAdd(result, f, hn::Set(d, 0.24022242426872253F));
  result = hn::MulAdd(result, f, hn::Set(d, 0.6931470036506653F));
  result = hn::MulAdd(result, f, hn::Set(d, 1.0F));
  const auto exponent = hn::ShiftLeft<23>(hn::BitCast(integers, rounded));
  return hn::BitCast(d, hn::Add(hn::BitCast(integers, result), exponent));
}

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
