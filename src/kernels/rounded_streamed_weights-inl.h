// Weights of 8 and 4 bits, laid out side by side as several rounded rows are multiplied with them:
// for registers of 512 bits. Included once for each instruction set.
#if defined(PREPACK_KERNELS_ROUNDED_STREAMED_WEIGHTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_ROUNDED_STREAMED_WEIGHTS_INL_H_
#undef PREPACK_KERNELS_ROUNDED_STREAMED_WEIGHTS_INL_H_
#else
#define PREPACK_KERNELS_ROUNDED_STREAMED_WEIGHTS_INL_H_
#endif

#include <algorithm>

#include "kernels/groups-inl.h"
#include "kernels/integer_sums-inl.h"
#include "kernels/rounded_panels-inl.h"
#include "kernels/transpose_words-inl.h"
#include "kernels/unrolled-inl.h"
#include "kernels/vector-inl.h"
#include "kernels/weight_rows.h"

#if HWY_TARGET <= HWY_AVX3

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

constexpr int64_t kCacheLine = 64;

/// Features of a panel, one for each lane of its vectors.
using PanelRows = int64_t[kMaxPanelFeatures];

/// Of 8 bits.
/// @tparam X  of the rounded rows, which the values are widened to
template <typename X, bool kIsBiased>
class StreamedInt8 {
 public:
  using Value = int8_t;
  static constexpr int64_t kLineBlocks = 1;  // of a cache line

  StreamedInt8(const int8_t* values, int64_t in_features)
      : values_(values), in_features_(in_features) {}

  const Value* row(int64_t index) const { return values_ + index * in_features_; }

  /// @param rows  of the weight
  /// @param to    [kPanelBlock / kTogether, kMaxPanelFeatures, kTogether]
  HWY_INLINE void fill_line(const PanelRows& rows, int64_t line, X* to) const {
    constexpr int64_t kNumbers = kNumWords * kTogether<X>;  // of a vector
    for (int64_t i = 0; i < kPanelBlock; i += kNumbers, to += kNumbers * kMaxPanelFeatures) {
      const int64_t k = line * kPanelBlock + i;
      const int64_t rest = std::clamp<int64_t>(in_features_ - k, 0, kNumbers);
      for (int64_t f = 0; f < kMaxPanelFeatures; f += kNumWords) {
        WordVec words[kNumWords];
        inlined<kNumWords>([&]<int j>()
                               PREPACK_INLINED { words[j] = load(row(rows[f + j]) + k, rest); });
        transpose_words(words);
        inlined<kNumWords>([&]<int j>() PREPACK_INLINED {
          hn::StoreU(words[j], Words(),
                     reinterpret_cast<uint32_t*>(to + (j * kMaxPanelFeatures + f) * kTogether<X>));
        });
      }
    }
  }

 private:
  /// A vector of X. What is not there is zero.
  static HWY_INLINE WordVec load(const int8_t* from, int64_t count) {
    const hn::Rebind<int8_t, hn::Repartition<X, Words>> d;
    const auto values = hn::MaskedLoad(hn::FirstN(d, static_cast<size_t>(count)), d, from);
    if constexpr (sizeof(X) == 1) {
      return hn::BitCast(Words(), hn::Xor(values, hn::Set(d, kIsBiased ? -128 : 0)));
    } else {
      return hn::BitCast(Words(), hn::PromoteTo(hn::Repartition<X, Words>(), values));
    }
  }

  const int8_t* values_;  // [out_features, in_features]
  int64_t in_features_;
};

/// Of 4 bits, for rows of 8.
class StreamedInt4 {
 public:
  using Value = uint8_t;
  static constexpr int64_t kLineBlocks = 2;

  StreamedInt4(const uint8_t* values, int64_t in_features)
      : values_(values), row_bytes_(int4_row_bytes(in_features)) {}

  const Value* row(int64_t index) const { return values_ + index * row_bytes_; }

  /// Rows are transposed as they are packed, four groups of 32 in a vector.
  /// @param to  [2, kPanelBlock / 4, kMaxPanelFeatures, 4]
  HWY_INLINE void fill_line(const PanelRows& rows, int64_t line, int8_t* to) const {
    constexpr int kGroupWords = 4;
    const int64_t rest = std::min(row_bytes_ - line * kCacheLine, kCacheLine);
    const auto low = hn::Set(Words(), 0x0F0F0F0F);
    for (int64_t f = 0; f < kMaxPanelFeatures; f += kNumWords) {
      WordVec words[kNumWords];
      inlined<kNumWords>([&]<int j>() PREPACK_INLINED {
        words[j] = load(row(rows[f + j]) + line * kCacheLine, rest);
      });
      transpose_words(words);
      inlined<kNumWords>([&]<int j>() PREPACK_INLINED {
        // Words 0 to 3 hold the values from 0, 4, 16 and 20 on, and those 8 after them.
        constexpr int kInGroup = j % kGroupWords;
        constexpr int kPlace =
            j / kGroupWords * (kMinInt4Group / 4) + kInGroup / 2 * 4 + kInGroup % 2;
        auto* const place = reinterpret_cast<uint32_t*>(to) + kPlace * kMaxPanelFeatures + f;
        hn::StoreU(hn::And(words[j], low), Words(), place);
        hn::StoreU(hn::And(hn::ShiftRight<4>(words[j]), low), Words(),
                   place + 2 * kMaxPanelFeatures);
      });
    }
  }

 private:
  /// Of each group the even bytes before the odd ones, so that four values that follow each other
  /// are half the bits of a word. What is not there is zero.
  static HWY_INLINE WordVec load(const uint8_t* from, int64_t count) {
    const hn::Repartition<uint8_t, Words> d;
    const auto bytes = hn::MaskedLoad(hn::FirstN(d, static_cast<size_t>(count)), d, from);
    alignas(16) static constexpr uint8_t kEvenFirst[16] = {0, 2, 4, 6, 8, 10, 12, 14,
                                                           1, 3, 5, 7, 9, 11, 13, 15};
    return hn::BitCast(Words(), hn::TableLookupBytes(bytes, hn::LoadDup128(d, kEvenFirst)));
  }

  const uint8_t* values_;  // [out_features, row_bytes_]
  int64_t row_bytes_;
};

/// One number of each row for each group of a panel, and zeros behind their end.
/// @param numbers  [out_features, num_groups]
/// @param shift    of the panel's groups to one, as a power of two
/// @param to       [panel_groups, kMaxPanelFeatures]
template <typename T>
void spread_groups(const T* numbers, const PanelRows& rows, int64_t num_groups, int shift,
                   int64_t panel_groups, float* to) {
  for (int64_t group = 0; group < num_groups; group += kNumWords) {
    const int64_t count = std::min<int64_t>(num_groups - group, kNumWords);
    for (int64_t f = 0; f < kMaxPanelFeatures; f += kNumWords) {
      WordVec words[kNumWords];
      inlined<kNumWords>([&]<int j>() PREPACK_INLINED {
        const T* from = numbers + rows[f + j] * num_groups + group;
        words[j] =
            hn::BitCast(Words(), count == kNumWords ? load_floats(from) : load_first(from, count));
      });
      transpose_words(words);
      inlined<kNumWords>([&]<int j>() PREPACK_INLINED {
        if (j >= count) return;
        float* place = to + ((group + j) << shift) * kMaxPanelFeatures + f;
        for (int64_t i = 0; i < int64_t{1} << shift; ++i, place += kMaxPanelFeatures) {
          hn::StoreU(hn::BitCast(Floats(), words[j]), Floats(), place);
        }
      });
    }
  }
  const int64_t end = num_groups << shift;
  std::fill_n(to + end * kMaxPanelFeatures, (panel_groups - end) * kMaxPanelFeatures, 0.0F);
}

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif

#endif
