#include "packing/balance.h"

#include <algorithm>
#include <array>
#include <functional>
#include <numeric>
#include <queue>
#include <set>

namespace prepack::packing {
namespace {

// Of the sequences, how many longest ones the cheapest bin takes; the rest are put where they fit
// best. Where bins must be nearly full, only few can choose by cost.
constexpr double kShares[] = {1, 0.8, 0.6, 0.4, 0.2, 0};
// Pairs of sequences that the exchange looks at, for each sequence.
constexpr int64_t kExchangeEffort = 32;

struct Bin {
  std::vector<int64_t> sequences;  // longest first; of equal length in the caller's order
  int64_t room = 0;
  double cost = 0;
};

class Balancer {
 public:
  Balancer(const Problem& problem, std::span<const int64_t> lengths, const SegmentCost& cost)
      : problem_(problem), lengths_(lengths), cost_(cost) {}

  std::vector<Bin> fill(Bins bins) const {
    std::vector<Bin> filled;
    for (auto& sequences : bins) {
      filled.push_back({{}, problem_.capacity, 0});
      std::sort(sequences.begin(), sequences.end(),
                [&](int64_t a, int64_t b) { return precedes(a, b); });
      for (int64_t sequence : sequences) append(filled.back(), sequence);
    }
    return filled;
  }

  /// Longest processing time first: every sequence goes into the cheapest bin with room.
  /// @return nothing where a sequence fits no bin
  std::vector<Bin> distribute(int64_t num_bins, double share) const;

  /// Exchanges sequences between the dearest bin and cheaper ones, as long as that helps.
  void exchange(std::vector<Bin>& bins) const;

  double dearest(const std::vector<Bin>& bins) const {
    double cost = 0;
    for (const Bin& bin : bins) cost = std::max(cost, bin.cost);
    return cost;
  }

 private:
  /// One sequence of the dearer bin for none, one or two of the cheaper bin.
  struct Exchange {
    int64_t given = 0;                        // index into the dearer bin
    std::array<int64_t, 2> taken = {-1, -1};  // indices into the cheaper bin, ascending; -1: none
    double cost = 0;                          // of the dearer of both bins after it
  };

  double cost(int64_t sequence) const {
    const auto tokens = static_cast<double>(lengths_[sequence]);
    return tokens * (cost_.linear + cost_.quadratic * tokens);
  }

  bool precedes(int64_t a, int64_t b) const {
    return lengths_[a] != lengths_[b] ? lengths_[a] > lengths_[b] : a < b;
  }

  bool is_open(const Bin& bin) const { return std::ssize(bin.sequences) < problem_.max_segments; }

  void append(Bin& bin, int64_t sequence) const {
    bin.sequences.push_back(sequence);
    bin.room -= lengths_[sequence];
    bin.cost += cost(sequence);
  }

  void insert(Bin& bin, int64_t sequence) const {
    append(bin, sequence);
    const auto place = std::lower_bound(bin.sequences.begin(), bin.sequences.end() - 1, sequence,
                                        [&](int64_t a, int64_t b) { return precedes(a, b); });
    std::rotate(place, bin.sequences.end() - 1, bin.sequences.end());
  }

  int64_t remove(Bin& bin, int64_t index) const {
    const int64_t sequence = bin.sequences[index];
    bin.sequences.erase(bin.sequences.begin() + index);
    bin.room += lengths_[sequence];
    bin.cost -= cost(sequence);
    return sequence;
  }

  std::array<int64_t, 2> nearest(const Bin& bin, int64_t begin, int64_t shortest, int64_t longest,
                                 double ideal) const;

  Exchange best_exchange(const Bin& dear, const Bin& cheap) const;

  const Problem& problem_;
  std::span<const int64_t> lengths_;
  SegmentCost cost_;
};

std::vector<Bin> Balancer::distribute(int64_t num_bins, double share) const {
  const auto num_by_cost =
      std::max(num_bins, static_cast<int64_t>(share * static_cast<double>(problem_.order.size())));
  std::vector<Bin> bins(num_bins, {{}, problem_.capacity, 0});

  // The bins with room for the next sequence by cost, and those without by room: ever shorter
  // sequences follow, so that these come back.
  using Key = std::pair<double, int64_t>;  // of a bin
  std::priority_queue<Key, std::vector<Key>, std::greater<>> by_cost;
  std::priority_queue<std::pair<int64_t, int64_t>> by_room;
  int64_t next = 0;
  for (int64_t bin = 0; bin < num_bins; ++bin) by_cost.emplace(0, bin);
  for (; next < num_by_cost; ++next) {
    const int64_t sequence = problem_.order[next];
    const int64_t length = lengths_[sequence];
    for (; !by_room.empty() && by_room.top().first >= length; by_room.pop()) {
      by_cost.emplace(bins[by_room.top().second].cost, by_room.top().second);
    }
    while (!by_cost.empty() && bins[by_cost.top().second].room < length) {
      by_room.emplace(bins[by_cost.top().second].room, by_cost.top().second);
      by_cost.pop();
    }
    if (by_cost.empty()) return {};
    const int64_t bin = by_cost.top().second;
    by_cost.pop();
    append(bins[bin], sequence);
    if (is_open(bins[bin])) by_cost.emplace(bins[bin].cost, bin);
  }

  std::set<std::pair<int64_t, int64_t>> by_fit;  // room and bin
  for (int64_t bin = 0; bin < num_bins; ++bin) {
    if (is_open(bins[bin])) by_fit.emplace(bins[bin].room, bin);
  }
  for (; next < std::ssize(problem_.order); ++next) {
    const int64_t sequence = problem_.order[next];
    const auto fullest = by_fit.lower_bound({lengths_[sequence], 0});
    if (fullest == by_fit.end()) return {};
    const int64_t bin = fullest->second;
    by_fit.erase(fullest);
    append(bins[bin], sequence);
    if (is_open(bins[bin])) by_fit.emplace(bins[bin].room, bin);
  }
  return bins;
}

/// Of the sequences from `begin` on of at least `shortest` and at most `longest` tokens, the two
/// whose costs are next to `ideal`; -1 for none.
std::array<int64_t, 2> Balancer::nearest(const Bin& bin, int64_t begin, int64_t shortest,
                                         int64_t longest, double ideal) const {
  const auto first_where = [&](int64_t from, const auto& ends) {
    const auto start = bin.sequences.begin();
    return std::partition_point(start + from, bin.sequences.end(), std::not_fn(ends)) - start;
  };
  const int64_t low = first_where(begin, [&](int64_t s) { return lengths_[s] <= longest; });
  const int64_t high = first_where(low, [&](int64_t s) { return lengths_[s] < shortest; });
  const int64_t below =
      std::min(high, first_where(low, [&](int64_t s) { return cost(s) < ideal; }));
  return {below > low ? below - 1 : -1, below < high ? below : -1};
}

/// The exchange that brings the costs of both bins closest together.
Balancer::Exchange Balancer::best_exchange(const Bin& dear, const Bin& cheap) const {
  const double gap = dear.cost - cheap.cost;
  // To take two for one looks at all pairs: too many in bins of very many sequences.
  constexpr int64_t kMaxPairs = 1'000'000;
  const bool may_take_two =
      is_open(dear) && std::ssize(dear.sequences) * std::ssize(cheap.sequences) <= kMaxPairs;
  Exchange best{.cost = dear.cost};
  const auto consider = [&](int64_t given, std::array<int64_t, 2> taken) {
    double moved = cost(dear.sequences[given]);
    for (int64_t index : taken) moved -= index < 0 ? 0 : cost(cheap.sequences[index]);
    const double after = std::max(dear.cost - moved, cheap.cost + moved);
    if (after < best.cost) best = {given, taken, after};
  };
  for (int64_t given = 0; given < std::ssize(dear.sequences); ++given) {
    const int64_t sequence = dear.sequences[given];
    const int64_t length = lengths_[sequence];
    if (given > 0 && length == lengths_[dear.sequences[given - 1]]) continue;
    // What comes back makes room for the sequence in the cheaper bin, and fits the dearer.
    const int64_t least = length - cheap.room;
    const int64_t most = length + dear.room;
    const double ideal = cost(sequence) - gap / 2;
    if (is_open(cheap) && least <= 0) consider(given, {-1, -1});
    for (int64_t one : nearest(cheap, 0, least, most, ideal)) {
      if (one >= 0) consider(given, {one, -1});
    }
    if (!may_take_two) continue;
    for (int64_t one = 0; one < std::ssize(cheap.sequences); ++one) {
      const int64_t first = lengths_[cheap.sequences[one]];
      if (one > 0 && first == lengths_[cheap.sequences[one - 1]]) continue;
      if (first >= most || cost(cheap.sequences[one]) >= cost(sequence)) continue;
      const double rest = ideal - cost(cheap.sequences[one]);
      for (int64_t two : nearest(cheap, one + 1, least - first, most - first, rest)) {
        if (two >= 0) consider(given, {one, two});
      }
    }
  }
  return best;
}

void Balancer::exchange(std::vector<Bin>& bins) const {
  std::set<std::pair<double, int64_t>> by_cost;  // cost and bin
  for (int64_t bin = 0; bin < std::ssize(bins); ++bin) by_cost.emplace(bins[bin].cost, bin);
  int64_t effort = kExchangeEffort * std::ssize(problem_.order);
  while (effort > 0) {
    const auto dearest = std::prev(by_cost.end());
    Bin& dear = bins[dearest->second];
    auto cheapest = by_cost.begin();
    Exchange exchange{.cost = dear.cost};
    for (; cheapest != dearest && effort > 0; ++cheapest) {
      const Bin& cheap = bins[cheapest->second];
      effort -= std::ssize(dear.sequences) * (1 + std::ssize(cheap.sequences));
      exchange = best_exchange(dear, cheap);
      if (exchange.cost < dear.cost) break;
    }
    if (!(exchange.cost < dear.cost)) return;
    const auto pair = {dearest->second, cheapest->second};
    Bin& cheap = bins[cheapest->second];
    by_cost.erase(dearest);
    by_cost.erase(cheapest);
    const int64_t given = remove(dear, exchange.given);
    for (int64_t index : {exchange.taken[1], exchange.taken[0]}) {  // the later one first
      if (index >= 0) insert(dear, remove(cheap, index));
    }
    insert(cheap, given);
    for (int64_t bin : pair) by_cost.emplace(bins[bin].cost, bin);
  }
}

}  // namespace

Bins balance(const Problem& problem, std::span<const int64_t> lengths, const SegmentCost& cost,
             Bins bins) {
  if (bins.size() < 2 || (cost.linear == 0 && cost.quadratic == 0)) return bins;
  const Balancer balancer(problem, lengths, cost);
  std::vector<Bin> best = balancer.fill(bins);
  for (double share : kShares) {
    auto distributed = balancer.distribute(std::ssize(bins), share);
    if (distributed.empty()) continue;
    if (balancer.dearest(distributed) < balancer.dearest(best)) best = std::move(distributed);
    break;
  }
  balancer.exchange(best);

  Bins balanced;
  for (Bin& bin : best) balanced.push_back(std::move(bin.sequences));
  // Sums that were updated term by term are a little off.
  const auto refilled = [&](const Bins& plan) { return balancer.dearest(balancer.fill(plan)); };
  if (refilled(balanced) < refilled(bins)) return balanced;
  return bins;
}

}  // namespace prepack::packing
