// Products of 16-bit integers, summed in 32 bits: two neighbours in each lane of a float's size.
// Included once for each instruction set.
#if defined(PREPACK_KERNELS_PAIRS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_PAIRS_INL_H_
#undef PREPACK_KERNELS_PAIRS_INL_H_
#else
#define PREPACK_KERNELS_PAIRS_INL_H_
#endif

#include <cstring>

#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

/// Integers in the pairs of one vector.
template <typename D>
constexpr int64_t kPairNumbers = 2 * hn::MaxLanes(D());

/// kCount numbers of one row, pair by pair, to every stride-th of the places.
template <int64_t kCount>
HWY_INLINE void store_pairs(const int16_t* numbers, int64_t stride, int16_t* to) {
  for (int64_t k = 0; k < kCount; k += 2) {
    std::memcpy(to + k * stride, numbers + k, 2 * sizeof(int16_t));
  }
}

#if HWY_TARGET == HWY_SCALAR

template <typename D>
struct PairsOf {
  int32_t first;
  int32_t second;
};

/// @param from  int16_t or int8_t
template <typename D, typename T>
HWY_INLINE PairsOf<D> load_pairs(D /*d*/, const T* from) {
  return {from[0], from[1]};
}

/// The same pair in every lane.
template <typename D>
HWY_INLINE PairsOf<D> repeat_pair(D /*d*/, const int16_t* from) {
  return {from[0], from[1]};
}

/// Words of 16 bits, and the values in bits 4 kPlace to 4 kPlace + 3 of each.
template <typename D>
HWY_INLINE PairsOf<D> load_words(D /*d*/, const uint16_t* from) {
  return {from[0], from[1]};
}

template <int kPlace, typename D>
HWY_INLINE PairsOf<D> values_of_words(D /*d*/, PairsOf<D> words) {
  return {words.first >> (4 * kPlace) & 0xF, words.second >> (4 * kPlace) & 0xF};
}

/// Sums of products of both halves of pairs, as long as 32 bits hold them.
template <typename D>
struct PairSums {
  int32_t sum;

  HWY_INLINE void clear() { sum = 0; }
  HWY_INLINE void add_products(PairsOf<D> a, PairsOf<D> b) {
    sum += a.first * b.first + a.second * b.second;
  }
  HWY_INLINE hn::Vec<D> total() const { return hn::Set(D(), static_cast<float>(sum)); }
};

#else

template <typename D>
using PairsOf = hn::Vec<hn::Repartition<int16_t, D> >;

template <typename D>
HWY_INLINE PairsOf<D> load_pairs(D /*d*/, const int16_t* from) {
  return hn::LoadU(hn::Repartition<int16_t, D>(), from);
}

template <typename D>
HWY_INLINE PairsOf<D> load_pairs(D /*d*/, const int8_t* from) {
  const hn::Repartition<int16_t, D> shorts;
  const hn::Rebind<int8_t, decltype(shorts)> bytes;
  return hn::PromoteTo(shorts, hn::LoadU(bytes, from));
}

/// The same pair in every lane.
template <typename D>
HWY_INLINE PairsOf<D> repeat_pair(D /*d*/, const int16_t* from) {
  int32_t pair;
  std::memcpy(&pair, from, sizeof(pair));
  return hn::BitCast(hn::Repartition<int16_t, D>(), hn::Set(hn::Rebind<int32_t, D>(), pair));
}

/// Words of 16 bits, and the values in bits 4 kPlace to 4 kPlace + 3 of each.
template <typename D>
HWY_INLINE hn::Vec<hn::Repartition<uint16_t, D> > load_words(D /*d*/, const uint16_t* from) {
  return hn::LoadU(hn::Repartition<uint16_t, D>(), from);
}

template <int kPlace, typename D>
HWY_INLINE PairsOf<D> values_of_words(D /*d*/, hn::Vec<hn::Repartition<uint16_t, D> > words) {
  const hn::Repartition<uint16_t, D> d;
  auto values = words;
  if constexpr (kPlace > 0) values = hn::ShiftRight<4 * kPlace>(values);
  if constexpr (kPlace < 3) values = hn::And(values, hn::Set(d, 0xF));
  return hn::BitCast(hn::Repartition<int16_t, D>(), values);
}

/// Sums of products of both halves of pairs, as long as 32 bits hold them.
template <typename D>
struct PairSums {
  using Ints = hn::Rebind<int32_t, D>;

  hn::Vec<Ints> even;
  hn::Vec<Ints> odd;  // stays zero where instructions add neighbours

  HWY_INLINE void clear() { even = odd = hn::Zero(Ints()); }
  HWY_INLINE void add_products(PairsOf<D> a, PairsOf<D> b) {
    even = hn::ReorderWidenMulAccumulate(Ints(), a, b, even, odd);
  }
  HWY_INLINE hn::Vec<D> total() const {
    return hn::ConvertTo(D(), hn::RearrangeToOddPlusEven(even, odd));
  }
};

#endif

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
