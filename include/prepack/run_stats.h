#pragma once

#include <cstdint>
#include <string>

namespace prepack {

/// What a run did and how long it took; calls that are given the same object add to it.
struct RunStats {
  double prefill_s = 0;  // from token ids to the next-token logits of every prompt; or, where the
                         // first decode step does the final tokens, to all keys and values
  double ttft_s = 0;     // from token ids until the first token of every prompt is sampled; where
                         // prompts join a batch, without the steps between
  double decode_s = 0;   // from the first sampled token to the last, without what ttft_s has

  int64_t num_prompts = 0;
  int64_t prompt_tokens = 0;
  int64_t computed_tokens = 0;  // tokens that prefill ran through the model, padding included
  int64_t shared_tokens = 0;    // of the prompts, another's in place of being computed
  int64_t num_rows = 0;         // rows of the packed or padded batches
  int64_t num_forwards = 0;     // of prefill
  int64_t generated_tokens = 0;
  int64_t decode_steps = 0;
  int64_t num_splits = 0;  // batches that were halved because memory ran out

  int64_t num_replays = 0;    // on a GPU: forwards and decode steps that a recorded graph computed
  std::string graph_failure;  // why the first that could not be recorded could not; empty: none

  RunStats& operator+=(const RunStats& other);
};

}  // namespace prepack
