// Numbers in memory as float32 vectors, whatever type they are stored in. Included once for each
// instruction set that Highway compiles a kernel for, hence the unusual guard.
#if defined(PREPACK_KERNELS_VECTOR_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_VECTOR_INL_H_
#undef PREPACK_KERNELS_VECTOR_INL_H_
#else
#define PREPACK_KERNELS_VECTOR_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "prepack/dtype.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using FloatVec = hn::Vec<Floats>;

HWY_INLINE int64_t num_lanes() { return static_cast<int64_t>(hn::Lanes(Floats())); }

/// num_lanes() numbers from `from`, which need not be aligned.
HWY_INLINE FloatVec load_floats(const float* from) { return hn::LoadU(Floats(), from); }

HWY_INLINE FloatVec load_floats(const hwy::bfloat16_t* from) {
  // bfloat16 is the upper half of a float32.
  const hn::Rebind<uint16_t, Floats> halves;
  const hn::Rebind<uint32_t, Floats> words;
  const auto bits = hn::LoadU(halves, reinterpret_cast<const uint16_t*>(from));
  return hn::BitCast(Floats(), hn::ShiftLeft<16>(hn::PromoteTo(words, bits)));
}

HWY_INLINE FloatVec load_floats(const hwy::float16_t* from) {
  const hn::Rebind<hwy::float16_t, Floats> halves;
  return hn::PromoteTo(Floats(), hn::LoadU(halves, from));
}

/// Rounded to the nearest, ties to even, as LibTorch rounds.
HWY_INLINE void store_floats(FloatVec values, float* to) { hn::StoreU(values, Floats(), to); }

HWY_INLINE void store_floats(FloatVec values, hwy::bfloat16_t* to) {
  const hn::Rebind<uint16_t, Floats> halves;
  const hn::Rebind<uint32_t, Floats> words;
  const auto bits = hn::BitCast(words, values);
  const auto is_odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(words, 1));
  const auto rounded = hn::Add(bits, hn::Add(is_odd, hn::Set(words, 0x7FFF)));
  const auto is_nan = hn::RebindMask(words, hn::IsNaN(values));
  const auto upper =
      hn::ShiftRight<16>(hn::IfThenElse(is_nan, hn::Set(words, 0x7FC00000), rounded));
  const hn::Rebind<int32_t, Floats> integers;
  hn::StoreU(hn::DemoteTo(halves, hn::BitCast(integers, upper)), halves,
             reinterpret_cast<uint16_t*>(to));
}

HWY_INLINE void store_floats(FloatVec values, hwy::float16_t* to) {
  const hn::Rebind<hwy::float16_t, Floats> halves;
  hn::StoreU(hn::DemoteTo(halves, values), halves, to);
}

/// The first `count` numbers of a vector, fewer than num_lanes(); the others are 0. Nothing behind
/// them is read.
template <typename T>
HWY_INLINE FloatVec load_first(const T* from, int64_t count) {
  T whole[hn::MaxLanes(Floats())] = {};
  std::copy(from, from + count, whole);
  return load_floats(whole);
}

/// Stores the first `count` numbers of a vector, fewer than num_lanes().
template <typename T>
HWY_INLINE void store_first(FloatVec values, int64_t count, T* to) {
  T whole[hn::MaxLanes(Floats())];
  store_floats(values, whole);
  std::copy(whole, whole + count, to);
}

/// out[i] = f(in[i]...) for i in [0, size), a vector at a time. `out` may be one of `in`.
template <typename F, typename Out, typename... In>
HWY_INLINE void transform(int64_t size, const F& f, Out* out, const In*... in) {
  const int64_t lanes = num_lanes();
  int64_t i = 0;
  for (; i + lanes <= size; i += lanes) store_floats(f(load_floats(in + i)...), out + i);
  if (i < size) store_first(f(load_first(in + i, size - i)...), size - i, out + i);
}

/// Calls f(static_cast<T*>(data)...) with the T that `dtype` names, keeping const.
template <typename F, typename... Data>
HWY_INLINE void with_type(DType dtype, const F& f, Data*... data) {
  const auto call = [&]<typename T>(T) {
    f(static_cast<std::conditional_t<std::is_const_v<Data>, const T, T>*>(data)...);
  };
  switch (dtype) {
    case DType::kFloat32:
      return call(float{});
    case DType::kBFloat16:
      return call(hwy::bfloat16_t{});
    case DType::kFloat16:
      return call(hwy::float16_t{});
  }
}

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
