// Few rounded rows in the order that their products with a quantized weight are computed in.
// Included once for each instruction set.
#if defined(PREPACK_KERNELS_ROUNDED_FEW_INPUT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PREPACK_KERNELS_ROUNDED_FEW_INPUT_INL_H_
#undef PREPACK_KERNELS_ROUNDED_FEW_INPUT_INL_H_
#else
#define PREPACK_KERNELS_ROUNDED_FEW_INPUT_INL_H_
#endif

#include <algorithm>

#include "kernels/groups-inl.h"
#include "kernels/rounded_few_tile-inl.h"
#include "kernels/rounded_product.h"
#include "kernels/rounded_weights-inl.h"
#include "kernels/scratch.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {
namespace {

// As much of k as is done for a stretch of features before the rest: so much of a tile's x stays in
// a usual cache of 32 KB.
constexpr int64_t kFewSlice = 2048;

/// How a product is cut: its rows into parts, which are as even as they can be, and k into slices.
template <typename Weights>
struct FewRowsShape {
  using X = typename Weights::X;

  static constexpr int64_t kUnit = Weights::kUnit;
  static constexpr int64_t kUnits = std::max<int64_t>(Weights::kUnits, 1);  // of a block
  static constexpr int64_t kSliceBlocks = kFewSlice / kRoundedBlock;
  static constexpr int64_t kSumsStride = (kSliceBlocks * kUnits + kRoundedLanes - 1) /
                                         kRoundedLanes * kRoundedLanes;  // of a slice's units

  /// @param scales  of the weight; null: one for each row
  FewRowsShape(const RoundedProduct<X>& product, const GroupScales* scales)
      : num_parts((product.num_rows + kFewRows - 1) / kFewRows),
        part_rows((product.num_rows + num_parts - 1) / num_parts),
        num_blocks(RoundedRows<X>::num_blocks(product.in_features)),
        num_slices((num_blocks + kSliceBlocks - 1) / kSliceBlocks),
        row_groups(scales == nullptr ? 0 : product.in_features / scales->group_size),
        shift(row_groups == 0 ? 0 : group_shift(scales->group_size, kUnit)),
        slice_groups(num_slices == 1 ? row_groups
                                     : std::max<int64_t>(kSliceBlocks * kUnits >> shift, 1)),
        has_minimums(scales != nullptr && scales->minimums != nullptr) {}

  int64_t slice_blocks(int64_t slice) const {
    return std::min(kSliceBlocks, num_blocks - slice * kSliceBlocks);
  }

  int64_t num_parts;
  int64_t part_rows;   // of the largest part
  int64_t num_blocks;  // of a row of x
  int64_t num_slices;
  int64_t row_groups;
  int shift;  // of units to a group, as a power of two
  int64_t slice_groups;
  bool has_minimums;
};

/// x in the order of the tiles, with its scales and the sums of its groups, part by part. What is
/// not there is zero.
template <typename Weights>
class FewRowsInput {
 public:
  using X = typename Weights::X;
  using Shape = FewRowsShape<Weights>;

  static constexpr int64_t kScratchParts = 3;

  /// Floats of scratch memory.
  static int64_t scratch_size(const Shape& shape) {
    return shape.num_parts *
           (x_size(shape) / kTogether<X> + x_scales_size(shape) + x_sums_size(shape));
  }

  FewRowsInput(const RoundedProduct<X>& product, const Shape& shape, Scratch& scratch)
      : product_(product),
        shape_(shape),
        x_(reinterpret_cast<X*>(scratch.take(shape.num_parts * x_size(shape) / kTogether<X>))),
        x_scales_(scratch.take(shape.num_parts * x_scales_size(shape))),
        x_sums_(scratch.take(shape.num_parts * x_sums_size(shape))) {
    order_x();
  }

  /// [num_blocks, part_rows, kRoundedBlock], from a slice's first block on
  const X* x(int64_t part, int64_t slice) const {
    return x_ + place(part, slice * Shape::kSliceBlocks) * kRoundedBlock;
  }

  /// [num_blocks, part_rows, Weights::kXScales], likewise
  const float* scales(int64_t part, int64_t slice) const {
    return x_scales_ + place(part, slice * Shape::kSliceBlocks) * Weights::kXScales;
  }

  /// [part_rows, kSumsStride], of a slice's groups
  const float* sums(int64_t part, int64_t slice) const { return sums_of(part, slice); }

 private:
  // Of a part.
  static int64_t x_size(const Shape& shape) {
    return shape.num_blocks * shape.part_rows * kRoundedBlock;
  }
  static int64_t x_scales_size(const Shape& shape) {
    return shape.num_blocks * shape.part_rows * Weights::kXScales;
  }
  static int64_t x_sums_size(const Shape& shape) {
    return shape.num_slices * shape.part_rows * Shape::kSumsStride;
  }

  /// Of the first row, in blocks of a row.
  int64_t place(int64_t part, int64_t block) const {
    return (part * shape_.num_blocks + block) * shape_.part_rows;
  }

  float* sums_of(int64_t part, int64_t slice) const {
    return x_sums_ + (part * shape_.num_slices + slice) * shape_.part_rows * Shape::kSumsStride;
  }

  void order_x() {
    if (shape_.has_minimums) {
      std::fill_n(x_sums_, shape_.num_parts * x_sums_size(shape_), 0.0F);
    }
    const int64_t sums_of_block = kRoundedBlock / product_.x.sum_group;
    for (int64_t i = 0; i < shape_.num_parts * shape_.part_rows; ++i) {
      const int64_t part = i / shape_.part_rows;
      const int64_t r = i % shape_.part_rows;
      for (int64_t b = 0; b < shape_.num_blocks; ++b) {
        X* to = x_ + (place(part, b) + r) * kRoundedBlock;
        float* scales = x_scales_ + (place(part, b) + r) * Weights::kXScales;
        if (i >= product_.num_rows) {
          std::fill_n(to, kRoundedBlock, X{0});
          std::fill_n(scales, Weights::kXScales, 0.0F);
          continue;
        }
        const int64_t from = i * shape_.num_blocks + b;
        Weights::order_x(product_.x.values + from * kRoundedBlock,
                         product_.x.scales + from * (kRoundedBlock / RoundedRows<X>::kGroup), to,
                         scales);
        if (!shape_.has_minimums) continue;
        add_sums(product_.x.sums + from * sums_of_block, b % Shape::kSliceBlocks,
                 sums_of(part, b / Shape::kSliceBlocks) + r * Shape::kSumsStride);
      }
    }
  }

  /// To those of a slice's groups, of a block of it.
  void add_sums(const float* sums, int64_t block, float* to) const {
    const int64_t sums_of_unit = Shape::kUnit / product_.x.sum_group;
    for (int64_t u = 0; u < Shape::kUnits; ++u) {
      float& sum = to[(block * Shape::kUnits + u) >> shape_.shift];
      for (int64_t i = 0; i < sums_of_unit; ++i) sum += sums[u * sums_of_unit + i];
    }
  }

  const RoundedProduct<X>& product_;
  const Shape& shape_;
  X* x_;             // [num_parts, num_blocks, part_rows, kRoundedBlock]
  float* x_scales_;  // [num_parts, num_blocks, part_rows, Weights::kXScales]
  float* x_sums_;    // [num_parts, num_slices, part_rows, kSumsStride]
};

}  // namespace
}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
