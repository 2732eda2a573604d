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

// Where there are no instructions for it, Highway 1.0.3 cuts float16 off instead of rounding it,
// and takes its infinities and NaNs for numbers.
#undef PREPACK_CONVERTS_FLOAT16
#define PREPACK_CONVERTS_FLOAT16 (HWY_ARCH_X86 && HWY_TARGET >= HWY_SSE4)

#undef PREPACK_HAS_VNNI
#define PREPACK_HAS_VNNI (HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL)

#if PREPACK_HAS_VNNI && HWY_MAJOR == 1 && HWY_MINOR == 0 && HWY_PATCH <= 3
// Highway 1.0.3 looks for AVX-512's VNNI on a machine before it takes AVX3_DL, but compiles for
// AVX-VNNI instead, which fewer machines have. What its own functions are compiled for stays a
// part, so that they can be inlined.
#undef HWY_TARGET_STR
#define HWY_TARGET_STR \
  HWY_TARGET_STR_AVX3  \
  ",vpclmulqdq,avx512vbmi,avx512vbmi2,vaes,avxvnni,avx512bitalg,avx512vpopcntdq,avx512vnni"
#endif

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using FloatVec = hn::Vec<Floats>;
using Words = hn::Rebind<uint32_t, Floats>;

HWY_INLINE int64_t num_lanes() { return static_cast<int64_t>(hn::Lanes(Floats())); }

/// A vector of numbers from `from`, which need not be aligned.
template <typename D>
HWY_INLINE hn::Vec<D> load_floats(D d, const float* from) {
  return hn::LoadU(d, from);
}

template <typename D>
HWY_INLINE hn::Vec<D> load_floats(D d, const hwy::bfloat16_t* from) {
  // bfloat16 is the upper half of a float32.
  const hn::Rebind<uint16_t, D> halves;
  const hn::Rebind<uint32_t, D> words;
  const auto bits = hn::LoadU(halves, reinterpret_cast<const uint16_t*>(from));
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(words, bits)));
}

/// num_lanes() numbers.
HWY_INLINE FloatVec load_floats(const float* from) { return load_floats(Floats(), from); }

HWY_INLINE FloatVec load_floats(const hwy::bfloat16_t* from) { return load_floats(Floats(), from); }

HWY_INLINE FloatVec load_floats(const int8_t* from) {
  const hn::Rebind<int8_t, Floats> bytes;
  const hn::Rebind<int32_t, Floats> words;
  return hn::ConvertTo(Floats(), hn::PromoteTo(words, hn::LoadU(bytes, from)));
}

#if PREPACK_CONVERTS_FLOAT16

HWY_INLINE FloatVec load_floats(const hwy::float16_t* from) {
  const hn::Rebind<uint16_t, Floats> halves;
  const hn::Rebind<int32_t, Floats> words;
  const auto bits =
      hn::PromoteTo(words, hn::LoadU(halves, reinterpret_cast<const uint16_t*>(from)));
  // A float32's exponent is 112 more, also of a number that is subnormal in float16.
  const auto size = hn::ShiftLeft<13>(hn::And(bits, hn::Set(words, 0x7FFF)));
  const auto scaled = hn::Mul(hn::BitCast(Floats(), size), hn::Set(Floats(), 0x1.0p112F));
  const auto is_finite = hn::Lt(size, hn::Set(words, 0x7C00 << 13));
  const auto exponent = hn::IfThenZeroElse(is_finite, hn::Set(words, 0x7F800000));
  const auto sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(words, 0x8000)));
  return hn::Or(scaled, hn::BitCast(Floats(), hn::Or(exponent, sign)));
}

#else

HWY_INLINE FloatVec load_floats(const hwy::float16_t* from) {
  const hn::Rebind<hwy::float16_t, Floats> halves;
  return hn::PromoteTo(Floats(), hn::LoadU(halves, from));
}

#endif

/// Rounded to the nearest, ties to even, as LibTorch rounds.
template <typename D>
HWY_INLINE void store_floats(D d, hn::Vec<D> values, float* to) {
  hn::StoreU(values, d, to);
}

template <typename D>
HWY_INLINE void store_floats(D /*d*/, hn::Vec<D> values, hwy::bfloat16_t* to) {
  const hn::Rebind<uint16_t, D> halves;
  const hn::Rebind<uint32_t, D> words;
  const auto bits = hn::BitCast(words, values);
  const auto is_odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(words, 1));
  const auto rounded = hn::Add(bits, hn::Add(is_odd, hn::Set(words, 0x7FFF)));
  const auto is_nan = hn::RebindMask(words, hn::IsNaN(values));
  const auto upper =
      hn::ShiftRight<16>(hn::IfThenElse(is_nan, hn::Set(words, 0x7FC00000), rounded));
  const hn::Rebind<int32_t, D> integers;
  hn::StoreU(hn::DemoteTo(halves, hn::BitCast(integers, upper)), halves,
             reinterpret_cast<uint16_t*>(to));
}

HWY_INLINE void store_floats(FloatVec values, float* to) { store_floats(Floats(), values, to); }

HWY_INLINE void store_floats(FloatVec values, hwy::bfloat16_t* to) {
  store_floats(Floats(), values, to);
}

#if PREPACK_CONVERTS_FLOAT16

HWY_INLINE void store_floats(FloatVec values, hwy::float16_t* to) {
  const hn::Rebind<uint16_t, Floats> halves;
  const hn::Rebind<int32_t, Floats> words;
  const auto size = hn::BitCast(words, hn::Abs(values));
  const auto is_odd = hn::And(hn::ShiftRight<13>(size), hn::Set(words, 1));
  // From 65520 on, halfway between the largest number and 65536, the exponent comes to infinity's.
  const auto rounded =
      hn::Min(hn::Add(size, hn::Add(is_odd, hn::Set(words, 0xFFF))), hn::Set(words, 0x47800000));
  const auto normal = hn::ShiftRight<13>(hn::Sub(rounded, hn::Set(words, 112 << 23)));
  // The last bit of numbers just above a half is worth float16's smallest number.
  const auto half = hn::Set(Floats(), 0.5F);
  const auto subnormal =
      hn::Sub(hn::BitCast(words, hn::Add(hn::Abs(values), half)), hn::BitCast(words, half));
  const auto is_subnormal = hn::Lt(size, hn::Set(words, 0x38800000));
  const auto is_nan = hn::Gt(size, hn::Set(words, 0x7F800000));
  const auto finite = hn::IfThenElse(is_subnormal, subnormal, normal);
  const auto upper = hn::IfThenElse(is_nan, hn::Set(words, 0x7E00), finite);
  const auto sign = hn::And(hn::ShiftRight<16>(hn::BitCast(words, values)), hn::Set(words, 0x8000));
  hn::StoreU(hn::DemoteTo(halves, hn::Or(upper, sign)), halves, reinterpret_cast<uint16_t*>(to));
}

#else

HWY_INLINE void store_floats(FloatVec values, hwy::float16_t* to) {
  const hn::Rebind<hwy::float16_t, Floats> halves;
  hn::StoreU(hn::DemoteTo(halves, values), halves, to);
}

#endif

/// sum + a * b
struct SingleProducts {
  static HWY_INLINE FloatVec add(FloatVec a, FloatVec b, FloatVec sum) {
    return hn::MulAdd(a, b, sum);
  }
};

/// The first `count` numbers of a vector, fewer than num_lanes(); the others are 0. Nothing behind
/// them is read.
template <typename T>
HWY_INLINE FloatVec load_first(const T* from, int64_t count) {
#if HWY_TARGET <= HWY_AVX3
  using Bits = hwy::MakeUnsigned<T>;
  const hn::Rebind<Bits, Floats> d;
  const auto is_there = hn::FirstN(d, static_cast<size_t>(count));
  HWY_ALIGN T whole[hn::MaxLanes(Floats())];
  hn::Store(hn::MaskedLoad(is_there, d, reinterpret_cast<const Bits*>(from)), d,
            reinterpret_cast<Bits*>(whole));
#else
  T whole[hn::MaxLanes(Floats())] = {};
  std::copy(from, from + count, whole);
#endif
  return load_floats(whole);
}

/// Stores the first `count` numbers of a vector, fewer than num_lanes().
template <typename T>
HWY_INLINE void store_first(FloatVec values, int64_t count, T* to) {
  HWY_ALIGN T whole[hn::MaxLanes(Floats())];
  store_floats(values, whole);
#if HWY_TARGET <= HWY_AVX3
  using Bits = hwy::MakeUnsigned<T>;
  const hn::Rebind<Bits, Floats> d;
  const auto is_there = hn::FirstN(d, static_cast<size_t>(count));
  hn::BlendedStore(hn::Load(d, reinterpret_cast<const Bits*>(whole)), is_there, d,
                   reinterpret_cast<Bits*>(to));
#else
  std::copy(whole, whole + count, to);
#endif
}

/// out[i] = f(in[i]...) for i in [0, size), a vector at a time. `out` may be one of `in`.
template <typename F, typename Out, typename... In>
HWY_INLINE void transform(int64_t size, const F& f, Out* out, const In*... in) {
  const int64_t lanes = num_lanes();
  int64_t i = 0;
  for (; i + lanes <= size; i += lanes) store_floats(f(load_floats(in + i)...), out + i);
  if (i < size) store_first(f(load_first(in + i, size - i)...), size - i, out + i);
}

/// out = sums + bias, or out += that; in float32, and rounded where it must be.
/// @param bias  null for none
template <typename T>
HWY_INLINE void store_biased(int64_t size, const float* sums, const float* bias, bool adds,
                             T* out) {
  const auto same = [](FloatVec a) HWY_ATTR { return a; };
  const auto add = [](FloatVec a, FloatVec b) HWY_ATTR { return hn::Add(a, b); };
  const auto add_both = [](FloatVec a, FloatVec b, FloatVec c)
                            HWY_ATTR { return hn::Add(a, hn::Add(b, c)); };
  if (adds && bias != nullptr) {
    transform(size, add_both, out, out, sums, bias);
  } else if (adds) {
    transform(size, add, out, out, sums);
  } else if (bias != nullptr) {
    transform(size, add, out, sums, bias);
  } else {
    transform(size, same, out, sums);
  }
}

/// Calls f(static_cast<T*>(data)...) with the T that `dtype` names, keeping const.
template <typename F, typename... Data>
HWY_INLINE void with_type(DType dtype, const F& f, Data*... data) {
  const auto call = [&]<typename T>(T) HWY_ATTR {
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

/// to[i] = from[i] for i in [0, size), rounded where it must be.
template <typename From, typename To>
HWY_INLINE void convert(int64_t size, const From* from, To* to) {
  const auto same = [](FloatVec values) HWY_ATTR { return values; };
  transform(size, same, to, from);
}

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
