#include "prepack/shared_prefix.h"

#include <algorithm>
#include <deque>
#include <numeric>

namespace prepack {
namespace {

// Each phase is a forward of its own: prompts that each go on where another ends would make as many
// as there are prompts.
constexpr int64_t kNumPhases = 3;

int64_t common_length(const TokenIds& a, const TokenIds& b) {
  return std::ranges::mismatch(a, b).in1 - a.begin();
}

/// Prompts in the order of their classes and tokens, where those that begin alike are neighbours.
struct TokenOrder {
  std::vector<int64_t> prompts;
  std::vector<int64_t> common;  // tokens of each that the one before has too; none of another class
};

TokenOrder order_by_tokens(std::span<const TokenIds> prompts, std::span<const int64_t> classes) {
  const auto class_of = [&](int64_t i) { return classes.empty() ? 0 : classes[i]; };
  TokenOrder order{.prompts = std::vector<int64_t>(prompts.size()),
                   .common = std::vector<int64_t>(prompts.size())};
  std::iota(order.prompts.begin(), order.prompts.end(), 0);
  std::ranges::stable_sort(order.prompts, [&](int64_t a, int64_t b) {
    return class_of(a) != class_of(b) ? class_of(a) < class_of(b) : prompts[a] < prompts[b];
  });
  for (size_t i = 1; i < prompts.size(); ++i) {
    const int64_t before = order.prompts[i - 1];
    const int64_t prompt = order.prompts[i];
    if (class_of(before) != class_of(prompt)) continue;
    order.common[i] = common_length(prompts[before], prompts[prompt]);
  }
  return order;
}

}  // namespace

std::vector<SharedPrefix> find_shared_prefixes(std::span<const TokenIds> prompts,
                                               int64_t min_length,
                                               std::span<const int64_t> classes) {
  std::vector<SharedPrefix> shared(prompts.size());
  // What a prompt has in common with one before it is the least that any two neighbours between
  // them have.
  const auto [order, common] = order_by_tokens(prompts, classes);
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

std::vector<std::vector<int64_t>> make_prefix_batches(std::span<const TokenIds> prompts,
                                                      int64_t batch_size, int64_t min_length,
                                                      std::span<const int64_t> classes) {
  const auto order = order_by_tokens(prompts, classes);
  const auto num_prompts = std::ssize(prompts);
  const int64_t fewest = (2 * batch_size + 2) / 3;
  // What a batch that ends there costs: one more, and the tokens that the next computes again.
  const auto cost_at = [&](int64_t end) {
    const int64_t common = end < num_prompts ? order.common[end] : 0;
    return min_length + (common < min_length ? 0 : common);
  };
  // The cheapest batches up to each place, if one can end there.
  struct Cut {
    int64_t cost = -1;
    int64_t begin = 0;  // of the last batch
  };
  std::vector<Cut> cuts(num_prompts + 1);
  cuts[0].cost = 0;
  // Where the batch at hand may begin, but for places that are before a cheaper one: the first is
  // the cheapest.
  std::deque<int64_t> begins;
  int64_t next = 0;
  for (int64_t end = 1; end <= num_prompts; ++end) {
    for (const int64_t last = end < num_prompts ? end - fewest : end - 1; next <= last; ++next) {
      if (cuts[next].cost < 0) continue;
      while (!begins.empty() && cuts[begins.back()].cost >= cuts[next].cost) begins.pop_back();
      begins.push_back(next);
    }
    while (!begins.empty() && begins.front() < end - batch_size) begins.pop_front();
    if (!begins.empty()) cuts[end] = {cuts[begins.front()].cost + cost_at(end), begins.front()};
  }
  std::vector<std::vector<int64_t>> batches;
  for (int64_t end = num_prompts; end > 0; end = cuts[end].begin) {
    batches.emplace_back(order.prompts.begin() + cuts[end].begin, order.prompts.begin() + end);
  }
  std::ranges::reverse(batches);
  return batches;
}

}  // namespace prepack
