// Products of 16-bit or 8-bit integers, summed in 32 bits: two or four neighbours in each lane of a
// float's size. Included once for each instruction set.
#if defined(PREPACK_KERNELS_INTEGER_SUMS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_INTEGER_SUMS_INL_H_
#undef PREPACK_KERNELS_INTEGER_SUMS_INL_H_
#else
#define PREPACK_KERNELS_INTEGER_SUMS_INL_H_
#endif

#include <cstring>

#include "kernels/rounded_rows.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

/// Numbers of one lane.
template <typename T>
constexpr int kTogether = static_cast<int>(RoundedRows<T>::kTogether);

/// Numbers of one vector.
template <typename D, typename T>
constexpr int kNumbers = kTogether<T>* static_cast<int>(hn::MaxLanes(D()));

/// Vectors of T that words of four 4-bit values unpack to.
template <typename T>
constexpr int kUnpacked = 2 * static_cast<int>(sizeof(T));

/// Where in its word a value is that unpacking puts to one place of a vector.
/// @param index  of the vector
template <typename T>
constexpr int place_of_unpacked(int index, int place) {
  constexpr int kOfWord = 4 / kUnpacked<T>;
  return index + place % kOfWord * kUnpacked<T>;
}

/// How often a vector has the words that it is loaded from: twice, where they fill half of it. The
/// halves unpack to different values.
template <typename D>
constexpr int kTimesOfWords = hn::MaxLanes(D()) == 16 ? 2 : 1;

/// Of products of 4-bit values with 8-bit integers in 16 bits: 8 * 2 * 15 * 128 is less than 2^15.
constexpr int kMaxInt8Additions = 8;

/// Whether sums hold so many additions.
template <typename T>
constexpr bool holds_additions(int64_t count) {
  return sizeof(T) > 1 || count <= kMaxInt8Additions;
}

template <typename D, typename T>
using IntegersOf = hn::Vec<hn::Repartition<T, D> >;

/// @param from  T, or narrower
template <typename T, typename D, typename From>
HWY_INLINE IntegersOf<D, T> load_integers(D /*d*/, const From* from) {
  const hn::Repartition<T, D> d;
  if constexpr (sizeof(From) == sizeof(T)) {
    return hn::LoadU(d, from);
  } else {
    return hn::PromoteTo(d, hn::LoadU(hn::Rebind<From, decltype(d)>(), from));
  }
}

/// The numbers of one lane in every lane.
template <typename T, typename D>
HWY_INLINE IntegersOf<D, T> repeat_lane(D /*d*/, const T* from) {
  int32_t lane;
  std::memcpy(&lane, from, sizeof(lane));
  return hn::BitCast(hn::Repartition<T, D>(), hn::Set(hn::Rebind<int32_t, D>(), lane));
}

template <typename D>
using WordsOf = hn::Vec<hn::Repartition<uint16_t, D> >;

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
template <typename D>
HWY_INLINE WordsOf<D> load_words_twice(D /*d*/, const uint16_t* from) {
  const auto* words = reinterpret_cast<const __m256i*>(from);
  return WordsOf<D>{_mm512_broadcast_i64x4(_mm256_loadu_si256(words))};
}
#endif

template <typename D>
HWY_INLINE WordsOf<D> load_words(D d, const uint16_t* from) {
  if constexpr (kTimesOfWords<D> == 2) {
    return load_words_twice(d, from);
  } else {
    return hn::LoadU(hn::Repartition<uint16_t, D>(), from);
  }
}

/// The values of kIndex of kUnpacked vectors, see place_of_unpacked; where words are there twice,
/// of 2 kIndex and of 2 kIndex + 1.
template <typename T, int kIndex, typename D>
HWY_INLINE IntegersOf<D, T> unpack_words(D /*d*/, WordsOf<D> words) {
  constexpr int kShift = 4 * kIndex * kTimesOfWords<D>;
  constexpr bool kIsLast = sizeof(T) == sizeof(uint16_t) && kIndex == kUnpacked<T> - 1;
  const hn::Repartition<uint16_t, D> d;
  if constexpr (kTimesOfWords<D> == 2) {
    const auto is_first = hn::FirstN(d, hn::MaxLanes(d) / 2);
    words = hn::Shr(words, hn::IfThenElse(is_first, hn::Set(d, kShift), hn::Set(d, kShift + 4)));
  } else if constexpr (kIndex > 0) {
    words = hn::ShiftRight<kShift>(words);
  }
  if constexpr (!kIsLast) words = hn::And(words, hn::Set(d, sizeof(T) == 1 ? 0x0F0F : 0x000F));
  return hn::BitCast(hn::Repartition<T, D>(), words);
}

#if PREPACK_HAS_VNNI
// Of 512 bits alone: of fewer, compilers might take the instructions of AVX-VNNI.
template <typename D>
constexpr bool kHasVnni = hn::MaxLanes(D()) == 16;

HWY_INLINE hn::Vec512<int32_t> add_vnni_products(hn::Vec512<int32_t> sums, hn::Vec512<int16_t> a,
                                                 hn::Vec512<int16_t> b) {
  return hn::Vec512<int32_t>{_mm512_dpwssd_epi32(sums.raw, a.raw, b.raw)};
}

/// @param a  taken for unsigned
HWY_INLINE hn::Vec512<int32_t> add_vnni_products(hn::Vec512<int32_t> sums, hn::Vec512<int8_t> a,
                                                 hn::Vec512<int8_t> b) {
  return hn::Vec512<int32_t>{_mm512_dpbusd_epi32(sums.raw, a.raw, b.raw)};
}
#else
template <typename D>
constexpr bool kHasVnni = false;
#endif

/// Sums of products of the numbers of each lane, as long as 32 bits hold them.
template <typename D, typename T, bool kIsVnni = kHasVnni<D> >
struct IntegerSums;

#if PREPACK_HAS_VNNI
template <typename D, typename T>
struct IntegerSums<D, T, true> {
  using Ints = hn::Rebind<int32_t, D>;
  // As the instructions have it: what turns from one type of vectors into another at the end of a
  // loop, GCC 12 holds twice.
  using Lanes = int32_t __attribute__((vector_size(64)));

  Lanes sums;

  HWY_INLINE void clear() { sums = Lanes{}; }
  HWY_INLINE void add_products(IntegersOf<D, T> a, IntegersOf<D, T> b) {
    sums = reinterpret_cast<Lanes>(add_vnni_products(as_vector(), a, b).raw);
  }
  HWY_INLINE hn::Vec<D> total() const { return hn::ConvertTo(D(), as_vector()); }

 private:
  HWY_INLINE hn::Vec<Ints> as_vector() const {
    return hn::Vec<Ints>{reinterpret_cast<__m512i>(sums)};
  }
};
#endif

template <typename D>
struct IntegerSums<D, int16_t, false> {
  using Ints = hn::Rebind<int32_t, D>;

  hn::Vec<Ints> even;
  hn::Vec<Ints> odd;  // stays zero where instructions add neighbours

  HWY_INLINE void clear() { even = odd = hn::Zero(Ints()); }
  HWY_INLINE void add_products(IntegersOf<D, int16_t> a, IntegersOf<D, int16_t> b) {
    even = hn::ReorderWidenMulAccumulate(Ints(), a, b, even, odd);
  }
  HWY_INLINE hn::Vec<D> total() const {
    return hn::ConvertTo(D(), hn::RearrangeToOddPlusEven(even, odd));
  }
};

#if HWY_ARCH_X86
// Highway 1.0.3 has no such operation.
HWY_INLINE hn::Vec128<int16_t> multiply_bytes(hn::Vec128<int8_t> a, hn::Vec128<int8_t> b) {
  return hn::Vec128<int16_t>{_mm_maddubs_epi16(a.raw, b.raw)};
}
#if HWY_TARGET <= HWY_AVX2
HWY_INLINE hn::Vec256<int16_t> multiply_bytes(hn::Vec256<int8_t> a, hn::Vec256<int8_t> b) {
  return hn::Vec256<int16_t>{_mm256_maddubs_epi16(a.raw, b.raw)};
}
#endif
#if HWY_TARGET <= HWY_AVX3
HWY_INLINE hn::Vec512<int16_t> multiply_bytes(hn::Vec512<int8_t> a, hn::Vec512<int8_t> b) {
  return hn::Vec512<int16_t>{_mm512_maddubs_epi16(a.raw, b.raw)};
}
#endif
#else
/// Products of values from 0 to 15 with 8-bit integers, two neighbours added in 16 bits.
template <typename V>
HWY_INLINE auto multiply_bytes(V a, V b) {
  const hn::RepartitionToWide<hn::DFromV<V> > d;
  const auto wide_a = hn::BitCast(d, a);
  const auto wide_b = hn::BitCast(d, b);
  const auto even =
      hn::Mul(hn::And(wide_a, hn::Set(d, 0xFF)), hn::ShiftRight<8>(hn::ShiftLeft<8>(wide_b)));
  return hn::Add(even, hn::Mul(hn::ShiftRight<8>(wide_a), hn::ShiftRight<8>(wide_b)));
}
#endif

/// Of values from 0 to 15 with 8-bit integers, in 16 bits: at most kMaxInt8Additions times.
template <typename D>
struct IntegerSums<D, int8_t, false> {
  using Shorts = hn::Repartition<int16_t, D>;

  hn::Vec<Shorts> sums;  // of two neighbours

  HWY_INLINE void clear() { sums = hn::Zero(Shorts()); }
  HWY_INLINE void add_products(IntegersOf<D, int8_t> values, IntegersOf<D, int8_t> x) {
    sums = hn::Add(sums, multiply_bytes(values, x));
  }
  HWY_INLINE hn::Vec<D> total() const {
    IntegerSums<D, int16_t> total;
    total.clear();
    total.add_products(sums, hn::Set(Shorts(), 1));
    return total.total();
  }
};

/// Of weights of 8 bits with x of 8 bits, in 32 bits. Where the instructions take one side for
/// unsigned (kIsBiased), 128 is added to each weight, as its first bit turned over, and a
/// correction, -128 * x, to the sums.
template <typename D, bool kIsVnni = kHasVnni<D> >
struct ByteSums;

#if PREPACK_HAS_VNNI
template <typename D>
struct ByteSums<D, true> : IntegerSums<D, int8_t, true> {
  static constexpr bool kIsBiased = true;

  HWY_INLINE void start(int32_t correction) {
    this->sums = reinterpret_cast<typename ByteSums::Lanes>(_mm512_set1_epi32(correction));
  }
};
#endif

template <typename D>
struct ByteSums<D, false> : IntegerSums<D, int16_t, false> {
  static constexpr bool kIsBiased = false;

  HWY_INLINE void start(int32_t /*correction*/) { this->clear(); }
  HWY_INLINE void add_products(IntegersOf<D, int8_t> weights, IntegersOf<D, int8_t> x) {
    using Sums = IntegerSums<D, int16_t, false>;
    Sums::add_products(even_bytes(weights), even_bytes(x));
    Sums::add_products(odd_bytes(weights), odd_bytes(x));
  }

 private:
  using Shorts = hn::Repartition<int16_t, D>;

  static HWY_INLINE hn::Vec<Shorts> even_bytes(IntegersOf<D, int8_t> bytes) {
    return hn::ShiftRight<8>(hn::ShiftLeft<8>(hn::BitCast(Shorts(), bytes)));
  }
  static HWY_INLINE hn::Vec<Shorts> odd_bytes(IntegersOf<D, int8_t> bytes) {
    return hn::ShiftRight<8>(hn::BitCast(Shorts(), bytes));
  }
};

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
