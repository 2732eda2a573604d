#include "packing/lower_bound.h"

#include <algorithm>
#include <iterator>

namespace prepack::packing {
namespace {

int64_t divide_up(int64_t a, int64_t b) { return a / b + (a % b != 0); }

/// Number and tokens of the longest sequences, run by run.
struct Total {
  int64_t count = 0;
  int64_t tokens = 0;

  void add(const Run& run) {
    count += run.count;
    tokens += run.count * run.length;
  }

  void remove(const Run& run) {
    count -= run.count;
    tokens -= run.count * run.length;
  }
};

}  // namespace

// For any K <= capacity / 2, look at the sequences of at least K tokens only:
//   longer than capacity - K    each fills a bin: nothing else that is looked at fits beside it
//   longer than capacity / 2    no two share a bin, but smaller ones go into what they leave
//   the rest                    what does not go there needs bins of its own
// K need only be the lengths themselves, and 0 for all sequences.
int64_t lower_bound(const Problem& problem) {
  if (problem.runs.empty()) return 0;
  Total alone, large, small;  // `large` includes `alone`
  auto run = problem.runs.begin();
  for (; run != problem.runs.end() && run->length > problem.capacity / 2; ++run) large.add(*run);
  const auto first_small = run;

  alone = large;
  auto last_alone = first_small;  // one past
  int64_t bound = large.count;
  const auto look_at = [&](int64_t smallest) {
    while (alone.count > 0 && std::prev(last_alone)->length <= problem.capacity - smallest) {
      alone.remove(*--last_alone);
    }
    const int64_t shared = large.count - alone.count;
    const int64_t room = shared * problem.capacity - (large.tokens - alone.tokens);
    const int64_t overflow = std::max<int64_t>(0, small.tokens - room);
    const int64_t by_tokens = shared + divide_up(overflow, problem.capacity);
    const int64_t by_segments = divide_up(shared + small.count, problem.max_segments);
    bound = std::max(bound, alone.count + std::max(by_tokens, by_segments));
  };
  for (; run != problem.runs.end(); ++run) {
    small.add(*run);
    look_at(run->length);
  }
  look_at(0);
  return bound;
}

}  // namespace prepack::packing
