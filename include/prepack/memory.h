#pragma once

#include <cstdint>
#include <optional>

#include "prepack/dtype.h"
#include "prepack/model_config.h"
#include "prepack/prefill.h"
#include "prepack/quantization.h"

namespace prepack {

/// What decides the memory of a job, known before any weight is loaded: the largest of each over
/// its batches.
struct BatchShape {
  int64_t num_prompts = 0;
  int64_t cache_slots = 0;         // that take memory: those written; of padded caches all
  int64_t max_forward_tokens = 0;  // computed tokens of one forward
  int64_t max_mask_elements = 0;   // of one dense mask
  int64_t max_row_len = 0;         // of a dense form's rows; 0 where there are none
  int64_t num_scored = 0;          // rows of logits that are read and forgotten after a forward

  /// Tokens that are embedded, of all batches together. Absent: as many as it takes to read all of
  /// the embeddings.
  std::optional<int64_t> num_tokens = {};
};

/// Predicted peak of a job, in bytes, by what takes them.
struct MemoryEstimate {
  int64_t weights = 0;
  int64_t cache = 0;
  int64_t activations = 0;  // of the largest forward, its mask included
  int64_t logits = 0;
  int64_t libraries = 0;  // the program, LibTorch and its buffers, and the tokenizer

  int64_t total() const { return weights + cache + activations + logits + libraries; }
};

/// What is known better than from the config.
struct KnownBytes {
  /// Of the weights in memory: what `weight_bytes` or a model says. Absent: of as many as the
  /// config describes, in its dtype.
  std::optional<int64_t> weights = {};

  /// What the process has on the CPU before weights are loaded, tokenizer and prompts included: see
  /// `resident_memory`. How much of LibTorch is resident differs by machines. Absent: a guess that
  /// is rather too large.
  std::optional<int64_t> program = {};

  /// Whether `program` has the tokenizer's tables, which are guessed where it has not.
  bool has_tokenizer = true;
};

/// @param dtype     to compute in; weights keep the stored one on a CPU, if that is narrower
/// @param rounding  of weights, and of what they are multiplied with
MemoryEstimate estimate_memory(const ModelConfig& config, DType dtype, at::Device device,
                               const BatchShape& shape, const Rounding& rounding = {},
                               const KnownBytes& known = {});

/// Bytes of activations that one token of a forward takes at the peak of a layer; without the
/// copies that products make of theirs, slice by slice, which estimate_memory counts.
/// @param row_len   of the dense mask; 0 where there is none
/// @param rounding  of weights, and of what they are multiplied with
int64_t activation_bytes_per_token(const ModelConfig& config, DType dtype, at::Device device,
                                   int64_t row_len, const Rounding& rounding = {});

/// The token budget for this machine: as many tokens as half of `free_bytes` has room for, but no
/// more than 2,048, beyond which products get slower (on a GPU 16,384, beyond which they should get
/// no faster), and no fewer than 256 and than the longest prompt has.
/// @param free_bytes  what is left beside weights and caches
int64_t default_token_budget(const ModelConfig& config, DType dtype, at::Device device,
                             PrefillMethod method, int64_t longest_prompt, int64_t free_bytes);

}  // namespace prepack
