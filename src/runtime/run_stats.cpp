#include "prepack/run_stats.h"

namespace prepack {

RunStats& RunStats::operator+=(const RunStats& other) {
  prefill_s += other.prefill_s;
  ttft_s += other.ttft_s;
  decode_s += other.decode_s;
  num_prompts += other.num_prompts;
  prompt_tokens += other.prompt_tokens;
  computed_tokens += other.computed_tokens;
  shared_tokens += other.shared_tokens;
  num_rows += other.num_rows;
  num_forwards += other.num_forwards;
  generated_tokens += other.generated_tokens;
  decode_steps += other.decode_steps;
  num_splits += other.num_splits;
  num_replays += other.num_replays;
  if (graph_failure.empty()) graph_failure = other.graph_failure;
  return *this;
}

}  // namespace prepack
