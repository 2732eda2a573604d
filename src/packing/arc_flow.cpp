#include <algorithm>
#include <map>
#include <optional>

#include "packing/exact.h"
#include "packing/mip.h"

namespace prepack::packing {
namespace {

// Beyond, the solver overruns its time limit by seconds: it ends its first linear program.
constexpr int64_t kMaxArcs = 50'000;

// Sequences of one length may walk along arcs that are there already.
constexpr int64_t kMaxSteps = 1'000'000;

struct Arc {
  int64_t from, to;  // nodes
  int64_t run;       // one sequence of this length is put on what is there
};

/// A node is what a bin holds: a number of tokens and, where segments are bounded, of segments.
/// Node 0 is the empty bin. Only what decreasing lengths can reach has a node.
class Graph {
 public:
  /// Nothing if that takes more than `kMaxArcs` arcs or `kMaxSteps` steps.
  static std::optional<Graph> make(const Problem& problem) {
    Graph graph(problem);
    for (size_t run = 0; run < problem.runs.size(); ++run) {
      if (!graph.add_run(static_cast<int64_t>(run))) return std::nullopt;
    }
    return graph;
  }

  const std::vector<Arc>& arcs() const { return arcs_; }
  int64_t num_nodes() const { return static_cast<int64_t>(nodes_.size()); }

 private:
  struct Node {
    int64_t tokens;
    int64_t num_segments;
    int64_t last_run;  // whose arc leaves the node
  };

  explicit Graph(const Problem& problem)
      : problem_(problem),
        // No bin holds more sequences than the shortest one allows.
        counts_segments_(problem.max_segments < problem.capacity / problem.runs.back().length) {
    nodes_.push_back({0, 0, -1});
    numbers_.emplace(std::pair(0, 0), 0);
  }

  /// From every node that longer sequences reach, as many in a row as there are and as fit.
  bool add_run(int64_t run) {
    const int64_t num_before = num_nodes();
    for (int64_t first = 0; first < num_before; ++first) {
      int64_t node = first;
      for (int64_t i = 0; i < problem_.runs[run].count; ++i) {
        if (++num_steps_ > kMaxSteps) return false;
        const auto next = follow(node, run);
        if (!next) break;
        node = *next;
      }
      if (std::ssize(arcs_) > kMaxArcs) return false;
    }
    return true;
  }

  std::optional<int64_t> follow(int64_t from, int64_t run) {
    const int64_t tokens = nodes_[from].tokens + problem_.runs[run].length;
    const int64_t num_segments = nodes_[from].num_segments + (counts_segments_ ? 1 : 0);
    if (tokens > problem_.capacity || num_segments > problem_.max_segments) return std::nullopt;
    const auto [place, is_new] = numbers_.try_emplace({tokens, num_segments}, num_nodes());
    if (is_new) nodes_.push_back({tokens, num_segments, -1});
    if (nodes_[from].last_run != run) {
      nodes_[from].last_run = run;
      arcs_.push_back({from, place->second, run});
    }
    return place->second;
  }

  const Problem& problem_;
  bool counts_segments_;
  std::vector<Node> nodes_;
  std::vector<Arc> arcs_;
  int64_t num_steps_ = 0;
  std::map<std::pair<int64_t, int64_t>, int64_t> numbers_;  // of the nodes: tokens and segments
};

/// Flow on arc k is column k: how many bins go from its one node to the other.
Mip make_model(const Problem& problem, const Graph& graph, int64_t fewest, int64_t most) {
  Mip mip;
  const int64_t num_bins = mip.add_row(static_cast<double>(fewest), static_cast<double>(most));
  std::vector<int64_t> demand, conservation(graph.num_nodes());
  for (const Run& run : problem.runs) {
    demand.push_back(mip.add_row(static_cast<double>(run.count), kInfinity));
  }
  // A bin may end anywhere, so no more leaves a node than enters it.
  for (int64_t node = 1; node < graph.num_nodes(); ++node) {
    conservation[node] = mip.add_row(0, kInfinity);
  }
  for (const Arc& arc : graph.arcs()) {
    const bool opens_bin = arc.from == 0;
    mip.add_column(opens_bin ? 1 : 0, static_cast<double>(problem.runs[arc.run].count),
                   {{demand[arc.run], 1},
                    {conservation[arc.to], 1},
                    {opens_bin ? num_bins : conservation[arc.from], opens_bin ? 1.0 : -1.0}});
  }
  return mip;
}

/// Follows the flow from the empty bin upwards, one bin after the other.
Bins follow_flow(const Problem& problem, const Graph& graph, std::vector<int64_t> flow) {
  std::vector<std::vector<int64_t>> leaving(graph.num_nodes());
  for (int64_t arc = std::ssize(graph.arcs()) - 1; arc >= 0; --arc) {
    if (flow[arc] > 0) leaving[graph.arcs()[arc].from].push_back(arc);
  }
  std::vector<int64_t> num_placed(problem.runs.size());
  Bins bins;
  while (!leaving[0].empty()) {
    std::vector<int64_t> bin;
    for (int64_t node = 0; !leaving[node].empty();) {
      const int64_t arc = leaving[node].back();
      if (--flow[arc] == 0) leaving[node].pop_back();
      const auto& [from, to, run] = graph.arcs()[arc];
      const Run& sequences = problem.runs[run];
      // The model may place more sequences of a length than there are.
      if (num_placed[run] < sequences.count) {
        bin.push_back(problem.order[sequences.first + num_placed[run]++]);
      }
      node = to;
    }
    if (!bin.empty()) bins.push_back(std::move(bin));
  }
  return bins;
}

}  // namespace

ExactPlan arc_flow(const Problem& problem, int64_t lower_bound, Bins fallback,
                   double time_limit_s) {
  const auto graph = Graph::make(problem);
  if (!graph) return {std::move(fallback)};
  // Only fewer bins than those of the fallback are of interest: if there is no such plan, that is
  // the proof.
  const Mip mip = make_model(problem, *graph, lower_bound, std::ssize(fallback) - 1);
  MipSolution solution = mip.solve(time_limit_s);
  if (solution.status == MipStatus::kInfeasible) return {std::move(fallback), true};
  if (solution.values.empty()) return {std::move(fallback)};
  Bins bins = follow_flow(problem, *graph, std::move(solution.values));
  if (!is_valid(bins, problem)) return {std::move(fallback)};
  return {std::move(bins), solution.status == MipStatus::kOptimal};
}

}  // namespace prepack::packing
