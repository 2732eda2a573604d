#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>

namespace prepack::cli {

/// Writes a safetensors file with one tensor, "logits". It appears under its name when it is whole.
/// @param logits  [num_prompts, vocab_size] float32
/// @throws Error naming the file if it cannot be written
void save_logits(const std::filesystem::path& file, const at::Tensor& logits);

}  // namespace prepack::cli
