#include "prepack/checkpoint_quantization.h"

#include <fmt/format.h>

namespace prepack {

int64_t CheckpointQuantization::num_groups(int64_t in_features) const {
  return group_size == kWholeRow ? 1 : (in_features + group_size - 1) / group_size;
}

std::string to_string(const CheckpointQuantization& format) {
  const auto groups = format.group_size == CheckpointQuantization::kWholeRow
                          ? std::string("whole rows")
                          : fmt::format("groups of {}", format.group_size);
  return fmt::format("{}, {} bits in {}",
                     format.method == CheckpointQuantization::Method::kGptq ? "GPTQ" : "AWQ",
                     format.bits, groups);
}

}  // namespace prepack
