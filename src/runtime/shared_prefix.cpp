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
                                               int64_t min_length,
                                               std::span<const int64_t> classes) {
  std::vector<SharedPrefix> shared(prompts.size());
  const auto class_of = [&](int64_t i) { return classes.empty() ? 0 : classes[i]; };
  // In the order of their tokens, prompts that begin alike are neighbours, and what a prompt has in
  // common with one before it is the least that any two neighbours between them have: nothing,
  // where another class begins.
  std::vector<int64_t> order(prompts.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](int64_t a, int64_t b) {
    return class_of(a) != class_of(b) ? class_of(a) < class_of(b) : prompts[a] < prompts[b];
  });
  std::vector<int64_t> common(prompts.size());  // with the prompt before
  for (size_t i = 1; i < order.size(); ++i) {
    if (class_of(order[i - 1]) != class_of(order[i])) continue;
    common[i] = common_length(prompts[order[i - 1]], prompts[order[i]]);
  }
  // The prompts before, as sources: of each phase the one that has most in common with the prompt
  // at hand, if it has more than those of the phases before.
  struct Source {
    int64_t prompt;
    int64_t length;
  };
  std::vector<Source> sources;
  for (size_t i = 0; i < order.size(); ++i) {
    auto& best = shared[order[i]];
    for (auto& source : sources) source.length = std::min(source.length, common[i]);
    const auto longest = static_cast<int64_t>(prompts[order[i]].size()) - 1;
    for (size_t phase = 0; phase < sources.size(); ++phase) {
      const int64_t length = std::min(sources[phase].length, longest);
      if (length < min_length || length <= best.length) continue;
      best = {sources[phase].prompt, length, static_cast<int64_t>(phase) + 1};
    }
    // Whatever comes next has no less in common with this prompt than with any before.
    sources.resize(std::min<size_t>(best.phase, sources.size()));
    if (best.phase + 1 < kNumPhases) sources.push_back({order[i], longest + 1});
  }
  return shared;
}

}  // namespace prepack
