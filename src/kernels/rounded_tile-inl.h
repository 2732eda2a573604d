// Products of a few rounded rows with a panel of weights. Included once for each instruction set.
#if defined(PREPACK_KERNELS_ROUNDED_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_ROUNDED_TILE_INL_H_
#undef PREPACK_KERNELS_ROUNDED_TILE_INL_H_
#else
#define PREPACK_KERNELS_ROUNDED_TILE_INL_H_
#endif

#include <type_traits>

#include "kernels/integer_sums-inl.h"
#include "kernels/rounded_panels-inl.h"
#include "kernels/rounded_rows.h"
#include "kernels/unrolled-inl.h"
#include "kernels/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {

/// Whether the sums of all units stay in registers, too: of the 32 of AVX-512 at most 24 are for
/// them and for those of the unit, and of the group where it has several.
template <int kRows, int kGroupUnits>
constexpr bool kKeepsTotals = hn::MaxLanes(Floats()) == 16 && kRows*(kGroupUnits > 1 ? 3 : 2) <= 12;

/// A few rows of x, from the same block on as the panel, among `stride` that lie side by side.
template <typename T>
struct TileOfRows {
  const T* values;             // [num_blocks, kPanelBlock / kTogether, stride, kTogether]
  const float* scales;         // [num_blocks * kPanelBlock / kGroup, stride]
  const float* sums;           // [num_units, stride]
  const int32_t* corrections;  // as scales, of ByteSums
};

/// The sums of a tile: in memory, or in registers until they are stored.
template <int kRows, bool kInRegisters>
class TileTotals {
 public:
  explicit HWY_INLINE TileTotals(float* to, bool adds) : to_(to) {
    if (adds) return;
    for (int i = 0; i < kRows * kRoundedPanelVectors; ++i) {
      hn::Store(hn::Zero(Floats()), Floats(), to + i * num_lanes());
    }
  }
  template <int kRow, int kVector>
  HWY_INLINE FloatVec get() const {
    return hn::Load(Floats(), to_ + (kRow * kRoundedPanelVectors + kVector) * num_lanes());
  }
  template <int kRow, int kVector>
  HWY_INLINE void set(FloatVec total) {
    hn::Store(total, Floats(), to_ + (kRow * kRoundedPanelVectors + kVector) * num_lanes());
  }
  HWY_INLINE void store() const {}

 private:
  float* to_;
};

template <int kRows>
class TileTotals<kRows, true> {
 public:
  explicit HWY_INLINE TileTotals(float* to, bool adds) : to_(to) {
    unrolled<kRows * kRoundedPanelVectors>([&]<int i>() HWY_ATTR {
      totals_[i] = adds ? hn::Load(Floats(), to + i * num_lanes()) : hn::Zero(Floats());
    });
  }
  template <int kRow, int kVector>
  HWY_INLINE FloatVec get() const {
    return totals_[kRow * kRoundedPanelVectors + kVector];
  }
  template <int kRow, int kVector>
  HWY_INLINE void set(FloatVec total) {
    totals_[kRow * kRoundedPanelVectors + kVector] = total;
  }
  HWY_INLINE void store() const {
    unrolled<kRows * kRoundedPanelVectors>(
        [&]<int i>() HWY_ATTR { hn::Store(totals_[i], Floats(), to_ + i * num_lanes()); });
  }

 private:
  float* to_;
  FloatVec totals_[kRows * kRoundedPanelVectors];
};

/// What a weight is besides its values.
struct PanelForm {
  bool has_groups;  // or else a scale for each row
  bool has_minimums;
  bool is_byte;         // of 8 bits, as x
  int group_units = 1;  // units that share a scale and a minimum, or as many of them
};

/// What adds products within a unit.
template <bool kIsByte, typename T>
using UnitSums = std::conditional_t<kIsByte, ByteSums<Floats>, IntegerSums<Floats, T>>;

/// sums[row][feature] = or += sum over the groups of x * weight, both with the scales of their
/// groups.
/// @tparam kStride  of the rows of x
/// @param fetch     called with each block, to fetch what comes next
/// @param sums      [kRows, rounded_panel_width()]
template <int kRows, int64_t kStride, int64_t kUnit, PanelForm kForm, typename T, typename Fetch>
HWY_FLATTEN void multiply_rounded_tile(TileOfRows<T> x, RoundedPanel<T> panel, int64_t num_blocks,
                                       const Fetch& fetch, bool adds, float* HWY_RESTRICT sums) {
  const Floats d;
  const int64_t lanes = num_lanes();
  constexpr int kVectors = kRoundedPanelVectors;
  constexpr int kGroupUnits = kForm.group_units;
  TileTotals<kRows, kKeepsTotals<kRows, kGroupUnits>> totals(sums, adds);
  const T* HWY_RESTRICT values = x.values;
  const T* HWY_RESTRICT weight = panel.values;
  constexpr int64_t kScaleUnits = RoundedRows<T>::kGroup / kUnit;  // that share a scale of x
  static_assert(kScaleUnits > 0 && (kForm.is_byte || holds_additions<T>(kUnit / kTogether<T>)));
  using Sums = UnitSums<kForm.is_byte, T>;
  const auto of_all = [](const auto& f) PREPACK_INLINED {
    inlined<kRows>([&]<int row>() PREPACK_INLINED {
      inlined<kVectors>([&]<int v>() PREPACK_INLINED { f.template operator()<row, v>(); });
    });
  };
  const auto multiply_unit = [&](int64_t u, Sums(&unit_sums)[kRows][kVectors]) PREPACK_INLINED {
    if (u % (kPanelBlock / kUnit) == 0) fetch(u / (kPanelBlock / kUnit));
    of_all([&]<int row, int v>() PREPACK_INLINED {
      if constexpr (kForm.is_byte) {
        static_assert(kScaleUnits == 1);
        unit_sums[row][v].start(x.corrections[u * kStride + row]);
      } else {
        unit_sums[row][v].clear();
      }
    });
    HWY_UNROLL(4) for (int64_t k = 0; k < kUnit; k += kTogether<T>) {
      IntegersOf<Floats, T> factors[kVectors];
      unrolled<kVectors>([&]<int v>() HWY_ATTR {
        factors[v] = load_integers<T>(d, weight + v * kTogether<T> * lanes);
      });
      inlined<kRows>([&]<int row>() PREPACK_INLINED {
        const auto factor = repeat_lane(d, values + kTogether<T> * row);
        inlined<kVectors>(
            [&]<int v>() PREPACK_INLINED { unit_sums[row][v].add_products(factors[v], factor); });
      });
      weight += kTogether<T> * kVectors * lanes;
      values += kTogether<T> * kStride;
    }
  };
  const int64_t num_units = num_blocks * (kPanelBlock / kUnit);
  int64_t group = 0;
  for (int64_t u = 0; u < num_units; u += kGroupUnits, ++group) {
    Sums unit_sums[kRows][kVectors];
    FloatVec group_sums[kRows][kVectors];
    if constexpr (kGroupUnits > 1) {
      inlined<kGroupUnits>([&]<int i>() PREPACK_INLINED {
        multiply_unit(u + i, unit_sums);
        inlined<kRows>([&]<int row>() PREPACK_INLINED {
          const auto scale = hn::Set(d, x.scales[(u + i) * kStride + row]);
          inlined<kVectors>([&]<int v>() PREPACK_INLINED {
            const auto sum = unit_sums[row][v].total();
            auto& of_group = group_sums[row][v];
            of_group = i == 0 ? hn::Mul(sum, scale) : hn::MulAdd(sum, scale, of_group);
          });
        });
      });
    } else {
      multiply_unit(u, unit_sums);
    }
    FloatVec scales[kVectors];
    FloatVec minimums[kVectors];
    unrolled<kVectors>([&]<int v>() HWY_ATTR {
      const int64_t place = (group * kVectors + v) * lanes;
      if (kForm.has_groups) scales[v] = hn::Load(d, panel.scales + place);
      if (kForm.has_minimums) minimums[v] = hn::Load(d, panel.minimums + place);
    });
    inlined<kRows>([&]<int row>() PREPACK_INLINED {
      const auto scale = hn::Set(d, x.scales[u / kScaleUnits * kStride + row]);
      auto sum = hn::Set(d, kForm.has_minimums ? x.sums[u * kStride + row] : 0.0F);
      if constexpr (kForm.has_minimums) {
        inlined<kGroupUnits - 1>([&]<int i>() PREPACK_INLINED {
          sum = hn::Add(sum, hn::Set(d, x.sums[(u + i + 1) * kStride + row]));
        });
      }
      inlined<kVectors>([&]<int v>() PREPACK_INLINED {
        auto total = totals.template get<row, v>();
        if constexpr (kGroupUnits > 1) {
          total = hn::MulAdd(group_sums[row][v], scales[v], total);
        } else {
          const auto of_both = kForm.has_groups ? hn::Mul(scale, scales[v]) : scale;
          total = hn::MulAdd(unit_sums[row][v].total(), of_both, total);
        }
        if (kForm.has_minimums) total = hn::MulAdd(sum, minimums[v], total);
        totals.template set<row, v>(total);
      });
    });
  }
  totals.store();
}

}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
