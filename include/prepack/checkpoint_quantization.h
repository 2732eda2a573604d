#pragma once

#include <cstdint>
#include <string>

namespace prepack {

/// How a Hugging Face folder packs the weights of its layers' products: as integers with a scale
/// and a zero for each group of a row's input features, weight = scale * (value - zero).
struct CheckpointQuantization {
  enum class Method { kGptq, kAwq };

  static constexpr int64_t kWholeRow = -1;

  Method method = Method::kGptq;
  int bits = 4;                      // of GPTQ 4 or 8, of AWQ 4
  int64_t group_size = 128;          // input features, or kWholeRow; the last group may be smaller
  bool stores_zeros_less_1 = false;  // as GPTQ's first version does
  bool has_own_order = false;  // desc_act: which group an input feature is in, GPTQ's g_idx says

  /// Groups of a row.
  int64_t num_groups(int64_t in_features) const;
};

/// "GPTQ, 4 bits in groups of 128", or "AWQ, 4 bits in whole rows".
std::string to_string(const CheckpointQuantization& format);

}  // namespace prepack
