// Loops whose arrays of vectors compilers keep in registers. Included once for each instruction
// set.
#if defined(PREPACK_KERNELS_UNROLLED_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_UNROLLED_INL_H_
#undef PREPACK_KERNELS_UNROLLED_INL_H_
#else
#define PREPACK_KERNELS_UNROLLED_INL_H_
#endif

#include <utility>

#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

/// Calls f.operator()<0>() to f.operator()<kCount - 1>().
template <int kCount, typename F>
HWY_INLINE void unrolled(const F& f) {
  const auto call_all = [&]<int... kIndex>(std::integer_sequence<int, kIndex...>) HWY_ATTR
      __attribute__((always_inline)) {
    (f.template operator()<kIndex>(), ...);
  };
  call_all(std::make_integer_sequence<int, kCount>());
}

// Of a lambda: it is inlined however large its caller is. Compilers leave out some of several that
// share an array of vectors, which is then in memory for all of them.
#undef PREPACK_INLINED
#define PREPACK_INLINED HWY_ATTR __attribute__((always_inline))

/// The same with lambdas that are PREPACK_INLINED.
template <int kCount, int kIndex = 0, typename F>
HWY_INLINE void inlined(const F& f) {
  if constexpr (kIndex < kCount) {
    f.template operator()<kIndex>();
    inlined<kCount, kIndex + 1>(f);
  }
}

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
