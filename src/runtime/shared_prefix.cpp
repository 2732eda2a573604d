#include "prepack/shared_prefix.h"

#include <algorithm>
#include <numeric>

namespace prepack {
namespace {

// Each phase is a forward of its own: prompts that each go on where another ends would make as many
// as there are prompts.
constexpr int64_t kNumPhases = 3;

int64_t common_length(const TokenIds& a, const TokenIds& b) {
  return std::ranges::mismatch(a, b).in1 - a.begin();
}

}  // namespace

std::vector<SharedPrefix> find_shared_prefixes(std::span<const TokenIds> prompts,
                                               int64_t min_length) {
  std::vector<SharedPrefix> shared(prompts.size());
  // In the order of their tokens, prompts that begin alike are neighbours, and what a prompt has in
  // common with one before it is the least that any two neighbours between them have.
  std::vector<int64_t> order(prompts.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, {}, [&](int64_t i) -> const TokenIds& { return prompts[i]; });
  std::vector<int64_t> common(prompts.size());  // with the prompt before
  for (size_t i = 1; i < order.size(); ++i) {
    common[i] = common_length(prompts[order[i - 1]], prompts[order[i]]);
  }
  for (size_t i = 1; i < order.size(); ++i) {
    auto& best = shared[order[i]];
    const auto longest = static_cast<int64_t>(prompts[order[i]].size()) - 1;
    int64_t length = longest;
    for (size_t j = i; j > 0; --j) {
      length = std::min(length, common[j]);
      if (length < min_length || length < best.length) break;
      const int64_t phase = shared[order[j - 1]].phase + 1;
      const bool is_better = length > best.length || phase < best.phase;
      if (phase < kNumPhases && is_better) best = {order[j - 1], length, phase};
    }
  }
  return shared;
}

}  // namespace prepack
