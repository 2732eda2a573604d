#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "prepack/model.h"
#include "prepack/token.h"
#include "weights/checkpoint.h"

namespace prepack::testing {

/// What transformers computes in float32 for one model, written by scripts/make_reference.py: each
/// prompt alone and unpadded.
struct Reference {
  std::filesystem::path model_folder;  // or a GGUF file
  std::vector<TokenIds> prompts;
  std::vector<TokenIds> greedy;  // what greedy decoding adds to each prompt
  Checkpoint values;

  /// One of the tensors of the reference, e.g. "logits" [num_prompts, vocab_size].
  at::Tensor operator[](std::string_view name) const;

  /// The prompt whose first layer is kept step by step.
  const TokenIds& longest_prompt() const;
};

Reference read_reference(const std::filesystem::path& model_folder,
                         const std::filesystem::path& reference_folder);

/// The tiny models of tests/data/models, and those of them that tests/data/gguf has as GGUF files.
std::vector<Reference> tiny_references();

/// The tiny models of tests/data/models whose weights are packed: GPTQ and AWQ folders. What
/// transformers computes is that of the weights they stand for; their references have no steps of
/// the first layer.
std::vector<Reference> packed_references();

/// The tiny models of every family that tests/data/gguf has as GGUF files. Where a file cannot say
/// all of the folder's config.json, such as windows, the reference is of the config.json beside it,
/// which says what the file means. Most references have no steps of the first layer.
std::vector<Reference> gguf_references();

/// The default model's. Where it was not fetched the test fails, so that it cannot be left out
/// unnoticed; with PREPACK_SKIP_DEFAULT_MODEL=1 in the environment there is a warning instead, and
/// no value.
std::optional<Reference> default_reference();

/// One of a model's weights, in float32.
at::Tensor read_weight(const Reference& reference, const std::string& name);

/// The same, where the model has it.
std::optional<at::Tensor> find_weight(const Reference& reference, const std::string& name);

/// The model in float32, loaded once for all tests.
const Model& load_once(const Reference& reference);

}  // namespace prepack::testing
