#include "kernels/attention.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention.cpp"
#include <hwy/foreach_target.h>
//
#include "kernels/attention_panels-inl.h"
#include "kernels/attention_streamed-inl.h"
#include "kernels/attention_stretches-inl.h"

HWY_BEFORE_NAMESPACE();
namespace prepack::HWY_NAMESPACE {
namespace {

/// @param partial  null: the result goes to where the block says
void attend_stretch(const AttentionBlock& block, int64_t number, float* partial) {
  const auto stretch = key_stretch(block, number);
  const auto attend = [&]<typename T>(const T*) HWY_ATTR {
    if (is_streamed(block)) {
      attend_streamed<T>(block, stretch, partial);
    } else {
      attend_panels<T>(block, stretch, partial);
    }
  };
  with_type(block.dtype, attend, block.queries);
}

void combine_stretches(const AttentionBlock& block, const float* partials) {
  const auto combine = [&]<typename T>(const T*) HWY_ATTR { combine_rows<T>(block, partials); };
  with_type(block.dtype, combine, block.queries);
}

}  // namespace
}  // namespace prepack::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace prepack {

HWY_EXPORT(attend_stretch);
HWY_EXPORT(combine_stretches);

namespace {

bool is_cut(const AttentionBlock& block) { return is_streamed(block) || block.num_queries == 1; }

int64_t first_stretch(const AttentionBlock& block) { return first_key(block, 0) / kStretchKeys; }

}  // namespace

int64_t num_stretches(const AttentionBlock& block) {
  return is_cut(block) ? (block.num_keys - 1) / kStretchKeys + 1 - first_stretch(block) : 1;
}

KeyStretch key_stretch(const AttentionBlock& block, int64_t number) {
  if (!is_cut(block)) return {0, block.num_keys};
  const int64_t begin = (first_stretch(block) + number) * kStretchKeys;
  return {begin, std::min(begin + kStretchKeys, block.num_keys)};
}

RowsToRead leading_rows(const AttentionBlock& block, const void* side, int64_t stride,
                        int64_t begin, int64_t end) {
  int64_t offset = begin;
  for (const auto& run : block.runs) {
    if (offset < run.num_slots) {
      const int64_t elements = (run.first_slot + offset) * stride;
      return {static_cast<const char*>(side) + elements * element_size(block.dtype), stride,
              std::min(end - begin, run.num_slots - offset)};
    }
    offset -= run.num_slots;
  }
  return {};
}

FirstReads first_reads(const AttentionBlock& block, int64_t number) {
  const auto stretch = key_stretch(block, number);
  const auto leading = [&](const void* side, int64_t stride, int64_t begin) {
    return leading_rows(block, side, stride, begin, stretch.end);
  };
  if (is_streamed(block)) {
    return {.keys = leading(block.keys, block.key_stride, first_streamed_key(block, stretch)),
            .values = {},
            .queries = {}};
  }
  const int64_t first = std::max(first_key(block, 0), stretch.begin);
  return {.keys = leading(block.keys, block.key_stride, first),
          .values = leading(block.values, block.value_stride, first),
          .queries = {block.queries, block.query_stride, block.num_queries}};
}

int64_t partial_size(const AttentionBlock& block) {
  constexpr int64_t kLine = 16;
  const int64_t num_rows = block.num_queries * block.group;
  return (num_rows * (block.head_dim + 2) + kLine - 1) / kLine * kLine;
}

void attend_block(const AttentionBlock& block) {
  HWY_DYNAMIC_DISPATCH(attend_stretch)(block, /*number=*/0, /*partial=*/nullptr);
}

void attend_stretch(const AttentionBlock& block, int64_t number, float* partial) {
  HWY_DYNAMIC_DISPATCH(attend_stretch)(block, number, partial);
}

void combine_stretches(const AttentionBlock& block, const float* partials) {
  HWY_DYNAMIC_DISPATCH(combine_stretches)(block, partials);
}

}  // namespace prepack
#endif
