#include "kernels/many_rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/many_rows.cpp"
#include <hwy/foreach_target.h>
//
#include <algorithm>
#include <cstring>
#include <type_traits>
#include <variant>

#include "kernels/gated_panels.h"
#include "kernels/pair_products-inl.h"
#include "kernels/scratch.h"
#include "kernels/swiglu-inl.h"
#include "kernels/transpose-inl.h"
#include "kernels/transpose_words-inl.h"
#include "kernels/unrolled-inl.h"
#include "kernels/vector-inl.h"
#include "kernels/weight_parts-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {
namespace {

constexpr int64_t kTileRows = PackedRows::kTileRows;

// A tile's sums stay in registers, of two vectors of features for each row: 24 of the 32 of
// AVX-512, 12 of the 16 of AVX2. Others were not measured with more than four rows.
constexpr int kRows = HWY_TARGET <= HWY_AVX3 ? 12 : HWY_TARGET == HWY_AVX2 ? 6 : 4;
constexpr int kVectors = 2;
static_assert(kTileRows % kRows == 0);
static_assert(kVectors * hn::MaxLanes(Floats()) <= kMaxGated);

HWY_INLINE int64_t panel_width() { return kVectors * num_lanes(); }

// A step is what one lane holds along k. A panel of features stays in the first cache for so many
// steps (32 KB of 512-bit vectors), with which all tiles of a slice of rows are multiplied, whose
// part of these steps stays in the second cache (96 KB). Several panels are laid out at once, whose
// parts of these steps stay there too (256 KB).
constexpr int64_t kBlockSteps = 256;
constexpr int64_t kSliceTiles = 8;
constexpr int64_t kStretchBytes = int64_t{4} << 20;
constexpr int64_t kStretchPanels = 8;

// With AVX2 each instruction beside multiplications and loads counts: two steps share theirs, and x
// comes from the second cache unasked. Both together are worth an eighth there (Zen 3).
constexpr int kUnrolledSteps = HWY_TARGET == HWY_AVX2 ? 2 : 1;
constexpr bool kFetchesX = HWY_TARGET != HWY_AVX2;
static_assert(PackedRows::kBlock / 2 % kUnrolledSteps == 0);  // with two numbers in a step

/// Up to so many rows, panels of plain weights are laid out one by one, or in pairs of gates and
/// ups, and while they are multiplied the next ones come from memory, which would be idle else.
/// More rows leave the second cache from panel to panel.
constexpr int64_t kMaxStreamedRows = 256;

/// The next panel's piece of a block is fetched during so many tiles of a slice.
constexpr int64_t kAheadTiles = 2;

/// Steps that are laid out at a time, of 32 bits.
constexpr int64_t kPartSteps = 64;

/// Words of 32 bits that hold numbers of some dtype.
template <typename T>
HWY_INLINE int64_t num_steps(int64_t in_features) {
  return PackedRows::padded(in_features) * static_cast<int64_t>(sizeof(T)) / 4;
}

/// Rows to be laid out: numbers [begin, begin + count) of one, in the dtype T of x.
template <typename T, typename Stored>
struct PlainSource {
  const Stored* values;
  int64_t in_features;

  HWY_INLINE void copy(int64_t row, int64_t begin, int64_t count, T* to) const {
    const Stored* from = values + row * in_features + begin;
    if constexpr (std::is_same_v<T, Stored>) {
      std::memcpy(to, from, count * sizeof(T));
    } else {
      convert(count, from, to);
    }
  }
  HWY_INLINE void prefetch(int64_t row, int64_t begin, int64_t count) const {
    const Stored* from = values + row * in_features + begin;
    constexpr int64_t kLine = 64 / sizeof(Stored);
    for (int64_t i = 0; i < count; i += kLine) hwy::Prefetch(from + i);
  }
};

/// Of quantized weights.
template <typename T, typename Products>
struct QuantizedSource {
  const WeightRows& weight;
  int64_t in_features;

  HWY_INLINE void copy(int64_t row, int64_t begin, int64_t count, T* to) const {
    if constexpr (std::is_same_v<T, float>) {
      widen_part(weight, in_features, row, begin, count, to);
    } else {
      const auto round = [](const float* from, int64_t size, hwy::bfloat16_t* rounded)
                             HWY_ATTR { Products::round(from, size, rounded); };
      widen_part(weight, in_features, row, begin, count, round, to);
    }
  }
  HWY_INLINE void prefetch(int64_t row, int64_t begin, int64_t count) const {
    prefetch_part(weight, in_features, row, begin, count);
  }
};

struct RowRange {
  int64_t first;
  int64_t count;
};

/// Rows side by side: calls store(step, part, count) for `count` steps from `step` on, with part
/// [kWidth, count], whose columns are wanted.
/// @param rows  up to kWidth; beyond them are zeros
/// @param next  those that are laid out afterwards, likewise
template <int64_t kWidth, typename T, typename Source, typename Store>
HWY_INLINE void lay_out(const Source& source, int64_t in_features, RowRange rows, RowRange next,
                        const Store& store) {
  constexpr int64_t kTogether = 4 / sizeof(T);
  HWY_ALIGN float part[kWidth * kPartSteps];
  const int64_t steps = num_steps<T>(in_features);
  for (int64_t step = 0; step < steps; step += kPartSteps) {
    const int64_t count = std::min(kPartSteps, steps - step);
    const int64_t begin = step * kTogether;
    const int64_t size = std::min(count * kTogether, in_features - begin);
    for (int64_t i = 0; i < kWidth; ++i) {
      auto* row = reinterpret_cast<T*>(part + i * count);
      const int64_t there = i < rows.count ? size : 0;
      if (there > 0) source.copy(rows.first + i, begin, there, row);
      std::memset(row + there, 0, (count * kTogether - there) * sizeof(T));
      if (i < next.count) source.prefetch(next.first + i, begin, size);
    }
    store(step, part, count);
  }
}

#if HWY_TARGET <= HWY_AVX3
/// Whole rows that are stored as they are multiplied, without a copy between: [kWidth, in_features]
/// to [num_steps, kWidth] of 32 bits.
/// @param num_steps  a multiple of kNumWords, which are all of a row
template <int64_t kWidth>
void lay_out_words(const void* rows, int64_t num_steps, float* to) {
  const auto* words = static_cast<const uint32_t*>(rows);
  auto* out = reinterpret_cast<uint32_t*>(to);
  for (int64_t step = 0; step < num_steps; step += kNumWords) {
    for (int64_t row = 0; row < kWidth; row += kNumWords) {
      WordVec block[kNumWords];
      inlined<kNumWords>([&]<int i>() PREPACK_INLINED {
        block[i] = hn::LoadU(Words(), words + (row + i) * num_steps + step);
      });
      transpose_words(block);
      inlined<kNumWords>([&]<int i>() PREPACK_INLINED {
        hn::StoreU(block[i], Words(), out + (step + i) * kWidth + row);
      });
    }
  }
}
#endif

template <typename T>
void pack_tiles(const void* x, int64_t num_rows, int64_t in_features, int64_t first, int64_t last,
                const PackedRows& to) {
  constexpr int64_t kWidth = 16;  // whole vectors that hold a tile's rows
  static_assert(kTileRows <= kWidth && kWidth % hn::MaxLanes(Floats()) == 0);
  const PlainSource<T, T> source{static_cast<const T*>(x), in_features};
  HWY_ALIGN float columns[kPartSteps * kWidth];
  for (int64_t tile = first; tile < last; ++tile) {
    const int64_t row = tile * kTileRows;
    float* values = static_cast<float*>(to.values) + tile * num_steps<T>(in_features) * kTileRows;
    const auto store = [&](int64_t step, const float* part, int64_t count) HWY_ATTR {
      transpose(part, kWidth, count, columns);
      for (int64_t i = 0; i < count; ++i) {
        std::memcpy(values + (step + i) * kTileRows, columns + i * kWidth,
                    kTileRows * sizeof(float));
      }
    };
    const RowRange rows = {row, std::min(kTileRows, num_rows - row)};
    lay_out<kWidth, T>(source, in_features, rows, {}, store);
  }
}

void pack_rows(const void* x, int64_t num_rows, int64_t in_features, int64_t first, int64_t last,
               const PackedRows& to) {
  if (to.dtype == DType::kFloat32) {
    pack_tiles<float>(x, num_rows, in_features, first, last, to);
  } else {
    pack_tiles<hwy::bfloat16_t>(x, num_rows, in_features, first, last, to);
  }
}

/// What is fetched into the second cache while a tile is multiplied: a number of bytes each step.
struct Ahead {
  const char* x;
  const char* weight;
  int64_t x_step;
  int64_t weight_step;
};

/// sums[row][feature] = or += sum over the steps of x * weight.
/// @param x          [num_steps, kTileRows]
/// @param weight     [num_steps, width]
/// @param num_steps  a multiple of kUnrolledSteps
template <int kTileSize, typename Products>
HWY_INLINE void multiply_tile(const float* HWY_RESTRICT x, const float* HWY_RESTRICT weight,
                              const Ahead& ahead, int64_t num_steps, bool adds,
                              float* HWY_RESTRICT sums) {
  const Floats d;
  const char* next_x = ahead.x;
  const char* next_weight = ahead.weight;
  const int64_t lanes = num_lanes();
  FloatVec totals[kTileSize][kVectors];
  HWY_UNROLL(12) for (int row = 0; row < kTileSize; ++row) {
    HWY_UNROLL(2) for (int v = 0; v < kVectors; ++v) { totals[row][v] = hn::Zero(d); }
  }
  for (int64_t step = 0; step < num_steps; step += kUnrolledSteps) {
    HWY_UNROLL(2) for (int i = 0; i < kUnrolledSteps; ++i) {
      FloatVec factors[kVectors];
      HWY_UNROLL(2) for (int v = 0; v < kVectors; ++v) {
        factors[v] = hn::Load(d, weight + v * lanes);
      }
      HWY_UNROLL(12) for (int row = 0; row < kTileSize; ++row) {
        const auto factor = hn::Set(d, x[row]);
        HWY_UNROLL(2) for (int v = 0; v < kVectors; ++v) {
          totals[row][v] = Products::add(factor, factors[v], totals[row][v]);
        }
      }
      x += kTileRows;
      weight += kVectors * lanes;
    }
    if constexpr (kFetchesX) {
      __builtin_prefetch(next_x, 0, 2);
      next_x += kUnrolledSteps * ahead.x_step;
    }
    __builtin_prefetch(next_weight, 0, 2);
    next_weight += kUnrolledSteps * ahead.weight_step;
  }
  HWY_UNROLL(12) for (int row = 0; row < kTileSize; ++row) {
    HWY_UNROLL(2) for (int v = 0; v < kVectors; ++v) {
      // Blocks are summed by themselves: long sums one by one lose more of float32.
      float* sum = sums + (row * kVectors + v) * lanes;
      hn::Store(adds ? hn::Add(hn::Load(d, sum), totals[row][v]) : totals[row][v], d, sum);
    }
  }
}

/// A tile's sums to where the product says, with the bias.
/// @param sums  [num_rows, width]
template <typename T>
void store_tile(const ManyRowsProduct& product, const float* sums, int64_t row, int64_t num_rows,
                const WeightPanel& panel) {
  const float* bias = product.bias != nullptr ? product.bias + panel.row : nullptr;
  for (int64_t i = 0; i < num_rows; ++i, sums += panel_width()) {
    T* out = static_cast<T*>(product.out) + (row + i) * product.out_stride + panel.feature;
    store_biased(panel.count, sums, bias, product.adds_to_out, out);
  }
}

/// Likewise of gates, and of ups.
/// @param panel  of the ups
template <typename T>
HWY_NOINLINE void store_gated_tile(const ManyRowsProduct& product, const float* gates,
                                   const float* ups, int64_t row, int64_t num_rows,
                                   const WeightPanel& panel) {
  const float* gate_bias = product.bias != nullptr ? product.bias + panel.feature : nullptr;
  const float* up_bias = product.bias != nullptr ? product.bias + panel.row : nullptr;
  for (int64_t i = 0; i < num_rows; ++i, gates += panel_width(), ups += panel_width()) {
    T* out = static_cast<T*>(product.out) + (row + i) * product.out_stride + panel.feature;
    store_gated(panel.count, gates, gate_bias, ups, up_bias, out);
  }
}

bool is_streamed(const ManyRowsProduct& product) {
  return product.num_rows <= kMaxStreamedRows && std::holds_alternative<PlainRows>(product.weight);
}

/// Panels of features that are laid out, and sums of a slice of rows with them.
template <typename T, typename Products>
class Stretch {
 public:
  /// Panels at a time, which of SwiGLU are pairs of gates and ups.
  /// @param most  panels that there are
  static int64_t num_panels(int64_t in_features, int64_t most, bool is_gated, bool is_streamed) {
    const int64_t panel_bytes =
        num_steps<T>(in_features) * panel_width() * static_cast<int64_t>(sizeof(float));
    const int64_t least = is_gated ? 2 : 1;
    if (is_streamed) return std::min(least, most);
    const int64_t panels = std::clamp(kStretchBytes / panel_bytes, least, kStretchPanels);
    return std::min(panels / least * least, most);
  }

  /// Floats, for so many panels.
  static int64_t weights_size(int64_t in_features, int64_t count) {
    return count * panel_width() * num_steps<T>(in_features);
  }
  static int64_t sums_size(int64_t count) {
    return kSliceTiles * kTileRows * panel_width() * count;
  }

  /// @param max_panels  at a time
  Stretch(const ManyRowsProduct& product, int64_t max_panels)
      : product_(product),
        steps_(num_steps<T>(product.in_features)),
        width_(panel_width()),
        is_streamed_(is_streamed(product)) {
    const int64_t of_weights = weights_size(product.in_features, max_panels);
    const int64_t of_sums = sums_size(max_panels);
    Scratch scratch(of_weights + of_sums, 2);
    weights_ = scratch.take(of_weights);
    sums_ = scratch.take(of_sums);
  }

  /// As many as there is room for at most.
  /// @param next  those that come next; none after the last
  void multiply(const WeightPanels& panels, const WeightPanels& next) {
    lay_out_weights(panels);
    const int64_t num_tiles = PackedRows::num_tiles(product_.num_rows);
    next_ = next;
    for (int64_t tile = 0; tile < num_tiles; tile += kSliceTiles) {
      multiply_slice(tile, std::min(tile + kSliceTiles, num_tiles), panels);
    }
  }

 private:
  void lay_out_weights(const WeightPanels& panels) {
    const int64_t in_features = product_.in_features;
    const auto* plain = std::get_if<PlainRows>(&product_.weight);
    if (plain == nullptr) {
      return lay_out_panels(QuantizedSource<T, Products>{product_.weight, in_features}, panels);
    }
    const auto lay_out = [&]<typename Stored>(const Stored* values) HWY_ATTR {
      lay_out_panels(PlainSource<T, Stored>{values, in_features}, panels);
    };
    with_type(plain->dtype, lay_out, plain->values);
  }

  template <typename Source>
  void lay_out_panels(const Source& source, const WeightPanels& panels) {
    const int64_t num_panels = panels.num_panels();
    const auto rows_of = [&](int64_t n) -> RowRange {
      if (n == num_panels) return {};
      return {panels[n].row, panels[n].count};
    };
    for (int64_t n = 0; n < num_panels; ++n) {
      float* panel = weights_ + n * width_ * steps_;
#if HWY_TARGET <= HWY_AVX3
      if constexpr (std::is_same_v<Source, PlainSource<T, T>>) {
        if (is_streamed_ && panels[n].count == width_ &&
            product_.in_features % PackedRows::kBlock == 0) {
          const T* rows = source.values + panels[n].row * product_.in_features;
          lay_out_words<kVectors * hn::MaxLanes(Floats())>(rows, steps_, panel);
          continue;
        }
      }
#endif
      const auto store = [&](int64_t step, const float* part, int64_t size)
                             HWY_ATTR { transpose(part, width_, size, panel + step * width_); };
      lay_out<kVectors * hn::MaxLanes(Floats()), T>(source, product_.in_features, rows_of(n),
                                                    rows_of(n + 1), store);
    }
  }

  /// Of a block: a multiple of kUnrolledSteps.
  int64_t first_step(int64_t block, int64_t num_blocks) const {
    return steps_ / kUnrolledSteps * block / num_blocks * kUnrolledSteps;
  }

  void multiply_slice(int64_t first_tile, int64_t last_tile, const WeightPanels& panels) {
    const int64_t sums_of_panel = sums_size(1);
    const int64_t num_blocks = (steps_ + kBlockSteps - 1) / kBlockSteps;
    for (int64_t block = 0; block < num_blocks; ++block) {
      const int64_t begin = first_step(block, num_blocks);
      const int64_t end = first_step(block + 1, num_blocks);
      for (int64_t n = 0; n < panels.num_panels(); ++n) {
        const float* panel = weights_ + (n * steps_ + begin) * width_;
        float* sums = sums_ + n * sums_of_panel;
        for (int64_t tile = first_tile; tile < last_tile; ++tile, sums += kTileRows * width_) {
          const int64_t row = tile * kTileRows;
          const int64_t num_rows = std::min(kTileRows, product_.num_rows - row);
          const float* x =
              static_cast<const float*>(product_.x.values) + (tile * steps_ + begin) * kTileRows;
          const int64_t size = end - begin;
          const int64_t piece_bytes = size * width_ * 4;
          const int64_t part = tile - (last_tile - kAheadTiles);
          Ahead ahead{reinterpret_cast<const char*>(x), reinterpret_cast<const char*>(panel), 0, 0};
          if (n == 0) {
            ahead.x += 4 * steps_ * kTileRows;
            ahead.x_step = 4 * kTileRows;
          }
          if (is_streamed_) {
            fetch_next(n, block + tile * num_blocks, num_blocks, size, ahead);
          } else if (part >= 0) {
            ahead.weight += 4 * steps_ * width_ + part * (piece_bytes / kAheadTiles);
            ahead.weight_step = 4 * width_ / kAheadTiles;
          }
          multiply_rows(x, panel, ahead, end - begin, block > 0, num_rows, sums);
          if (block < num_blocks - 1 || panels.is_gate(n)) continue;
          if (panels.are_gated()) {
            store_gated_tile<T>(product_, sums - sums_of_panel, sums, row, num_rows, panels[n]);
          } else {
            store_tile<T>(product_, sums, row, num_rows, panels[n]);
          }
        }
      }
    }
  }

  /// Has a tile fetch its part of the panel that is laid out next.
  /// @param turn  of the tile, among those of all blocks
  void fetch_next(int64_t panel, int64_t turn, int64_t num_blocks, int64_t num_steps,
                  Ahead& ahead) const {
    if (panel >= next_.num_panels()) return;
    const auto& weight = std::get<PlainRows>(product_.weight);
    const int64_t num_turns = PackedRows::num_tiles(product_.num_rows) * num_blocks;
    const int64_t row_bytes = product_.in_features * (weight.dtype == DType::kFloat32 ? 4 : 2);
    const int64_t bytes = next_[panel].count * row_bytes;
    const char* rows = static_cast<const char*>(weight.values) + next_[panel].row * row_bytes;
    ahead.weight = rows + bytes * turn / num_turns;
    ahead.weight_step = (bytes / num_turns + num_steps - 1) / num_steps;
  }

  /// As many rows of a tile as there are, or a few more.
  HWY_INLINE void multiply_rows(const float* x, const float* panel, const Ahead& ahead,
                                int64_t size, bool adds, int64_t num_rows, float* sums) {
    const auto multiply_part = [&]<int kTileSize>(int64_t row) PREPACK_INLINED {
      multiply_tile<kTileSize, Products>(x + row, panel, ahead, size, adds, sums + row * width_);
    };
    int64_t row = 0;
    for (; row + kRows <= num_rows; row += kRows) multiply_part.template operator()<kRows>(row);
    const int64_t rest = num_rows - row;
    if (rest > 2 * kRows / 3) {
      multiply_part.template operator()<kRows>(row);
    } else if (rest > kRows / 3) {
      multiply_part.template operator()<2 * kRows / 3>(row);
    } else if (rest > 0) {
      multiply_part.template operator()<kRows / 3>(row);
    }
  }

  const ManyRowsProduct& product_;
  int64_t steps_;
  int64_t width_;
  float* weights_;  // [num_panels, steps, width] of 32 bits
  float* sums_;     // [num_panels, kSliceTiles, kTileRows, width]
  bool is_streamed_;
  WeightPanels next_{};  // laid out after these
};

template <typename T, typename Products>
HWY_FLATTEN void multiply_features(const ManyRowsProduct& product, int64_t first, int64_t last) {
  WeightPanels panels = {first, last - first, panel_width(), product.num_gates};
  const int64_t num_panels = Stretch<T, Products>::num_panels(
      product.in_features, panels.num_panels(), panels.are_gated(), is_streamed(product));
  const int64_t size = num_panels * panel_width() / (panels.are_gated() ? 2 : 1);
  Stretch<T, Products> stretch(product, num_panels);
  for (; panels.first < last; panels.first += size) {
    panels.count = std::min(size, last - panels.first);
    WeightPanels next = panels;
    next.first = std::min(panels.first + size, last);
    next.count = std::min(size, last - next.first);
    stretch.multiply(panels, next);
  }
}

void multiply_many_rows(const ManyRowsProduct& product, int64_t first, int64_t last) {
  if (product.x.dtype == DType::kFloat32) {
    multiply_features<float, SingleProducts>(product, first, last);
  } else {
    with_pair_products([&]<typename Products>(Products) HWY_ATTR {
      multiply_features<hwy::bfloat16_t, Products>(product, first, last);
    });
  }
}

template <typename T>
int64_t bytes_of_stretch(int64_t in_features, int64_t num_features) {
  using OfType = Stretch<T, SingleProducts>;
  const int64_t panels = (num_features + panel_width() - 1) / panel_width();
  const int64_t count =
      OfType::num_panels(in_features, panels, /*is_gated=*/false, /*is_streamed=*/false);
  return (OfType::weights_size(in_features, count) + OfType::sums_size(count)) *
         static_cast<int64_t>(sizeof(float));
}

int64_t many_rows_bytes(DType dtype, int64_t in_features, int64_t num_features) {
  return dtype == DType::kFloat32 ? bytes_of_stretch<float>(in_features, num_features)
                                  : bytes_of_stretch<hwy::bfloat16_t>(in_features, num_features);
}

int64_t many_rows_features() { return panel_width(); }

bool has_pair_instruction() { return has_pair_products(); }

bool has_wide_vectors() { return num_lanes() >= 16; }

bool has_fast_many_rows() { return num_lanes() >= 8; }

}  // namespace
}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace prepack {

HWY_EXPORT(pack_rows);
HWY_EXPORT(multiply_many_rows);
HWY_EXPORT(many_rows_features);
HWY_EXPORT(many_rows_bytes);
HWY_EXPORT(has_pair_instruction);
HWY_EXPORT(has_wide_vectors);
HWY_EXPORT(has_fast_many_rows);

void pack_rows(const void* x, int64_t num_rows, int64_t in_features, int64_t first, int64_t last,
               const PackedRows& to) {
  HWY_DYNAMIC_DISPATCH(pack_rows)(x, num_rows, in_features, first, last, to);
}

void multiply_many_rows(const ManyRowsProduct& product, int64_t first, int64_t last) {
  HWY_DYNAMIC_DISPATCH(multiply_many_rows)(product, first, last);
}

int64_t many_rows_features() { return HWY_DYNAMIC_DISPATCH(many_rows_features)(); }

bool has_wide_vectors() { return HWY_DYNAMIC_DISPATCH(has_wide_vectors)(); }

bool has_fast_many_rows() { return HWY_DYNAMIC_DISPATCH(has_fast_many_rows)(); }

bool has_bfloat16_dot_products() { return HWY_DYNAMIC_DISPATCH(has_pair_instruction)(); }

int64_t many_rows_bytes(DType dtype, int64_t in_features, int64_t num_features) {
  return HWY_DYNAMIC_DISPATCH(many_rows_bytes)(dtype, in_features, num_features);
}

}  // namespace prepack
#endif
