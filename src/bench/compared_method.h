#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "prepack/prefill.h"

namespace prepack::bench {

/// The ways to push a data set through a model that are compared.
enum class ComparedMethod {
  kPacked,         // random batches, packed in flat form
  kPackedRows,     // the same batches, packed in rows under the dense mask: the paper's form
  kPadded,         // the same batches, padded to the longest prompt: full batching
  kLengthOrdered,  // prompts sorted by length, then padded batches
  kDatasetPacked,  // the whole data set packed into rows; so many rows to a batch, in flat form
};

/// "packed", "packed-rows", "padded", "length-ordered" or "dataset-packed".
std::string_view to_string(ComparedMethod method);

/// @throws InvalidArgument for an unknown name
ComparedMethod parse_compared_method(std::string_view name);

/// How the batches of a method are prefilled.
PrefillMethod prefill_method(ComparedMethod method);

/// Batches of a data set: batches[b] = indices of prompts.
using Batches = std::vector<std::vector<int64_t>>;

/// Cuts a data set into batches. packed, packed-rows and padded get the same random ones.
/// @param lengths     tokens of each prompt
/// @param batch_size  prompts of a batch; for dataset-packed its rows, so that a batch holds more
///                    prompts
/// @param packing, capacity  of dataset-packed; capacity 0: the longest prompt
/// @param seed        of the order of prompts or rows
/// Ref: Prepacking (arXiv:2404.09529), section 4, and its code
Batches make_batches(ComparedMethod method, std::span<const int64_t> lengths, int64_t batch_size,
                     const PackingOptions& packing, int64_t capacity, uint64_t seed);

/// `count` of the numbers 0 to total - 1, spread evenly; all of them where count is 0 or larger.
std::vector<int64_t> spread_evenly(int64_t total, int64_t count);

/// A random order of 0 to count - 1, the same for the same seed on every machine.
std::vector<int64_t> random_order(int64_t count, uint64_t seed);

}  // namespace prepack::bench
