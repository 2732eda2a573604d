#pragma once

#include <cstdint>
#include <span>

#include "prepack/dtype.h"
#include "prepack/model_config.h"

namespace prepack::bench {

// Useful work is what the results need, by a rule that knows lengths alone and so is the same for
// every method. The results of a prefill are the keys and values of all prompt tokens in all layers
// and the next-token logits of each prompt; those of a decode step the same of its new tokens.
//
// - Counted are the products with the layers' weights and with the vocabulary's, and attention: a
//   multiplication and its addition are two operations.
// - A query attends to its own key and those before: a prompt of n tokens has n (n + 1) / 2 pairs;
//   in a layer with a sliding window no more than its window has.
// - Of the last layer a prefill needs keys and values of all tokens, and the rest of the final
//   tokens alone.
// - Padding, and whatever else a method computes beyond this, is not useful. Norms, rotation,
//   softmax, SwiGLU and sampling are not counted, as is usual.
//
// Ref: Chowdhery et al. (arXiv:2204.02311), appendix B, model FLOPs utilisation.

/// Operations of a prefill.
/// @param lengths  tokens of each prompt, the final one included
double prefill_operations(const ModelConfig& config, std::span<const int64_t> lengths);

/// Operations of some decode steps, each of which adds one token to each sequence.
/// @param lengths  tokens in each cache row before the first step
double decode_operations(const ModelConfig& config, std::span<const int64_t> lengths,
                         int64_t num_steps);

/// Bytes that these steps have to read: in each step the keys and values of every sequence, those
/// of its new token included, and all weights once, in the type in which they are stored. An
/// embedding table that is not the vocabulary's projection as well does not count, because a step
/// reads a few rows of it.
/// @param dtype         of the caches
/// @param weight_bytes  `Model::step_weight_bytes`
double decode_bytes(const ModelConfig& config, DType dtype, int64_t weight_bytes,
                    std::span<const int64_t> lengths, int64_t num_steps);

}  // namespace prepack::bench
