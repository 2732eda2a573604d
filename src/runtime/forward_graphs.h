#pragma once

#include <ATen/core/Tensor.h>

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "cuda/cuda_half.h"
#include "prepack/kv_cache.h"
#include "prepack/model.h"
#include "prepack/run_stats.h"

namespace prepack {

/// What a recorded forward cannot change any more: the sizes of its tensors, and the bounds that
/// its kernels were started with. Forwards with less of each are filled up to it.
struct GraphShape {
  int64_t num_tokens = 0;
  int64_t num_sequences = 0;
  int64_t max_queries = 0;  // of one sequence
  int64_t max_keys = 0;
  bool has_outputs = false;  // logits of some tokens alone, as after a prefill

  auto operator<=>(const GraphShape&) const = default;
};

/// The smallest of the recorded shapes that has room for a forward with VarlenAttention. Tokens are
/// rounded up by at most an eighth, so that what is computed in vain stays small; sequences and
/// lengths, which cost next to nothing, to powers of two, so that shapes are few. A decode step,
/// one query for each sequence, has as many sequences as tokens, rounded up by at most a quarter.
GraphShape graph_shape(const ForwardInput& input);

/// The forward, filled up: with tokens that are stored nowhere and that nobody attends to, with
/// sequences that have no keys, and with output tokens that nobody reads.
/// @param input  on the CPU
ForwardInput fill_up(ForwardInput input, const GraphShape& shape);

/// The forwards of one cache, each computed as a graph once its shape has come twice before: a GPU
/// is told once what to do, and for small models the telling takes longer than the doing. The first
/// forward of a shape is computed as it came. The second is filled up, so that what libraries
/// prepare when they first see such sizes is there before a recording, which could not wait for it.
/// From the third on a graph reads where the second lay, and a replay copies the next one there. A
/// shape that cannot be recorded, for want of memory or any other reason, is computed as it comes,
/// and so are those that come after `kMostShapes` others, which each keep memory.
class ForwardGraphs {
 public:
  static constexpr int64_t kMostShapes = 64;

  /// Records work; as CudaHalf::capture.
  using Capture = std::function<std::unique_ptr<DeviceGraph>(const DeviceGraph* sharing,
                                                             const std::function<void()>& run)>;

  /// @param model, cache  must live as long as this, and the cache stay where it is
  ForwardGraphs(const Model& model, KvCache& cache, Capture capture)
      : model_(model), cache_(cache), capture_(std::move(capture)) {}

  /// @param input  on the CPU, with VarlenAttention
  /// @return       logits of the output tokens, or of all, [num_outputs, vocab_size] float32; valid
  ///               until the next call
  at::Tensor compute(const ForwardInput& input);

  /// Replays so far, and why the first shape that could not be recorded could not.
  RunStats stats() const { return {.num_replays = num_replays_, .graph_failure = first_failure_}; }

 private:
  struct Recorded {
    int64_t num_uses = 0;
    bool is_given_up = false;
    at::Tensor joined;  // the arrays' memory, which replays copy to
    ForwardInput input;
    at::Tensor logits;
    std::unique_ptr<DeviceGraph> graph;
  };

  at::Tensor run(const ForwardInput& input);
  at::Tensor warm_up(const ForwardInput& filled, const GraphShape& shape, Recorded& recorded);
  at::Tensor replay(const ForwardInput& filled, Recorded& recorded);
  void give_up(Recorded& recorded, std::string why);

  const Model& model_;
  KvCache& cache_;
  Capture capture_;
  std::map<GraphShape, Recorded> recorded_;
  int64_t num_kept_ = 0;  // shapes that have come twice
  const DeviceGraph* first_graph_ = nullptr;
  int64_t num_replays_ = 0;
  std::string first_failure_;
};

/// Null where forwards of this cache cannot be recorded: off a GPU; where its attention is no
/// single kernel; and where RoPE is chosen anew for each sequence by its length.
std::unique_ptr<ForwardGraphs> make_forward_graphs(const Model& model, KvCache& cache);

}  // namespace prepack
