#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "prepack/decode.h"
#include "prepack/kv_cache.h"
#include "prepack/model.h"
#include "runtime/forward_graphs.h"

namespace prepack {

/// A sequence that a prefill has made ready, or whose next token is being computed.
struct DecodingSequence {
  int64_t number = 0;  // as observers are told
  int64_t row = 0;     // of the cache
  int64_t length = 0;  // tokens in the cache
  DecodeRequest* request = nullptr;
  DecodedSequence decoded = {};  // so far
};

/// Called with each sequence as it leaves the batch.
using SequenceObserver = std::function<void(int64_t sequence, DecodedSequence decoded)>;

/// Logits of the tokens that follow `tokens`, one of each sequence, which go behind what the cache
/// holds of it.
/// @param graphs  of this cache; null: none are used
/// @return        [num_sequences, vocab_size] float32
at::Tensor compute_step(const Model& model, const TokenIds& tokens,
                        std::span<const DecodingSequence> sequences, KvCache& cache,
                        ForwardGraphs* graphs);

/// The sequences that are being generated, each in its own row of one cache: they join when they
/// are prefilled, get a token each at every step, and leave the batch, and the cache, when they are
/// finished. Where steps read the first rows of a cache, up to the longest, the last row moves into
/// the gap, and all sequences have to join at once, in rows of their numbers.
class DecodeBatch {
 public:
  /// All but the observers, which are kept, must live as long as this.
  /// @param graphs  of this cache; null: none are used
  DecodeBatch(const Model& model, KvCache& cache, ForwardGraphs* graphs, TokenObserver on_token,
              SequenceObserver on_finished)
      : model_(model),
        cache_(cache),
        graphs_(graphs),
        on_token_(std::move(on_token)),
        on_finished_(std::move(on_finished)) {}

  /// Draws the first token of each.
  /// @param logits  [num_sequences, vocab_size]; may be changed
  void join(std::vector<DecodingSequence> sequences, at::Tensor logits);

  /// Computes and draws the next token of each.
  void step();

  int64_t size() const { return static_cast<int64_t>(active_.size()); }

 private:
  void draw(at::Tensor logits, size_t first);
  bool accept(DecodingSequence& sequence, TokenId token) const;
  void remove(size_t place);

  const Model& model_;
  KvCache& cache_;
  ForwardGraphs* graphs_;
  TokenObserver on_token_;
  SequenceObserver on_finished_;
  std::vector<DecodingSequence> active_;
  TokenIds next_tokens_;  // of each active sequence: drawn, and not yet computed
};

}  // namespace prepack
