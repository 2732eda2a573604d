#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>

#include "cli/output.h"

namespace prepack::cli {

/// A safetensors file with one tensor, "logits" [num_prompts, vocab_size] float32, written batch by
/// batch, in any order where the file is a regular one. It replaces a file of its name only when it
/// is whole.
class LogitsFile {
 public:
  /// @throws Error naming the file if it cannot be made
  LogitsFile(std::filesystem::path file, int64_t num_prompts, int64_t vocab_size);
  ~LogitsFile();
  LogitsFile(const LogitsFile&) = delete;
  LogitsFile& operator=(const LogitsFile&) = delete;

  /// @param prompts  the row of the file that each row of `logits` is
  /// @param logits   [batch, vocab_size] float32
  void write(std::span<const size_t> prompts, const at::Tensor& logits);

  /// All rows are there: gives the file its name.
  void finish();

 private:
  std::filesystem::path file_;
  std::filesystem::path partial_;  // the same as `file_` where that is a device
  std::optional<RecordFile> output_;
  int64_t header_size_ = 0;  // bytes
};

}  // namespace prepack::cli
