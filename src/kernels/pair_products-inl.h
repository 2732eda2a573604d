// Sums of products in float32 of two neighbours in bfloat16, which fill a lane. Included once for
// each instruction set.
#if defined(PREPACK_KERNELS_PAIR_PRODUCTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_PAIR_PRODUCTS_INL_H_
#undef PREPACK_KERNELS_PAIR_PRODUCTS_INL_H_
#else
#define PREPACK_KERNELS_PAIR_PRODUCTS_INL_H_
#endif

#include "kernels/vector-inl.h"

// Highway's AVX3 leaves out instructions of bfloat16. Whether the CPU has them is asked before they
// are run, and compilers write them nowhere of themselves.
#if HWY_TARGET == HWY_AVX3
#undef HWY_TARGET_STR
#define HWY_TARGET_STR HWY_TARGET_STR_AVX3 ",avx512bf16"
#endif

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

// The halves of each lane in float32: bfloat16 is the upper half of one.
HWY_INLINE FloatVec lower_halves(FloatVec pairs) {
  return hn::BitCast(Floats(), hn::ShiftLeft<16>(hn::BitCast(Words(), pairs)));
}
HWY_INLINE FloatVec upper_halves(FloatVec pairs) {
  return hn::BitCast(Floats(), hn::And(hn::BitCast(Words(), pairs), hn::Set(Words(), 0xFFFF0000)));
}

/// sum + a's lower * b's lower + a's upper * b's upper, each rounded to float32.
struct WidenedPairProducts {
  static HWY_INLINE FloatVec add(FloatVec a, FloatVec b, FloatVec sum) {
    return hn::MulAdd(upper_halves(a), upper_halves(b),
                      hn::MulAdd(lower_halves(a), lower_halves(b), sum));
  }
  /// to[i] = from[i] for i in [0, size), rounded to what `add` takes.
  static HWY_INLINE void round(const float* from, int64_t size, hwy::bfloat16_t* to) {
    convert(size, from, to);
  }
};

#if HWY_TARGET <= HWY_AVX3

/// The same by one instruction, with the sums in the other order. It takes subnormal numbers for
/// zeros.
struct NativePairProducts {
  static HWY_INLINE FloatVec add(FloatVec a, FloatVec b, FloatVec sum) {
    return FloatVec{_mm512_dpbf16_ps(sum.raw, reinterpret_cast<__m512bh>(a.raw),
                                     reinterpret_cast<__m512bh>(b.raw))};
  }
  static HWY_INLINE void round(const float* from, int64_t size, hwy::bfloat16_t* to) {
    int64_t i = 0;
    for (; i + 16 <= size; i += 16) {
      const auto rounded = _mm512_cvtneps_pbh(_mm512_loadu_ps(from + i));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i), reinterpret_cast<__m256i>(rounded));
    }
    convert(size - i, from + i, to + i);
  }

  /// Both rounded, as the halves of each lane.
  static HWY_INLINE FloatVec pair(FloatVec lower, FloatVec upper) {
    const auto halves = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(upper.raw, lower.raw));
    const Words words;
    const auto order = hn::Or(hn::Iota(words, 0), hn::ShiftLeft<16>(hn::Iota(words, 16)));
    return hn::BitCast(Floats(), hn::Vec<Words>{_mm512_permutexvar_epi16(order.raw, halves)});
  }
};

HWY_INLINE bool has_pair_products() {
  static const bool kHas = __builtin_cpu_supports("avx512bf16");
  return kHas;
}

#else

using NativePairProducts = WidenedPairProducts;

HWY_INLINE bool has_pair_products() { return false; }

#endif

/// Calls f with the fastest products of pairs.
template <typename F>
HWY_INLINE void with_pair_products(const F& f) {
  if (has_pair_products()) return f(NativePairProducts());
  f(WidenedPairProducts());
}

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
