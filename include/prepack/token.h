#pragma once

#include <cstdint>
#include <vector>

namespace prepack {

/// Index into a model's vocabulary.
using TokenId = int32_t;

/// The tokens of one sequence, in order.
using TokenIds = std::vector<TokenId>;

}  // namespace prepack
