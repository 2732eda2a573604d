#include "cli/logits_file.h"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

namespace prepack::cli {
namespace {

namespace fs = std::filesystem;

/// The length of the header and the header itself, padded so that the data is aligned.
std::string safetensors_header(int64_t num_prompts, int64_t vocab_size) {
  const nlohmann::ordered_json json{
      {"logits",
       {{"dtype", "F32"},
        {"shape", {num_prompts, vocab_size}},
        {"data_offsets", {0, num_prompts * vocab_size * int64_t{sizeof(float)}}}}}};
  auto text = json.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t size = text.size();
  return std::string(reinterpret_cast<const char*>(&size), sizeof(size)) + text;
}

}  // namespace

LogitsFile::LogitsFile(fs::path file, int64_t num_prompts, int64_t vocab_size)
    : file_(std::move(file)), partial_(file_) {
  // Devices and pipes are written to; a rename would replace them by a file.
  if (!fs::exists(file_) || fs::is_regular_file(fs::symlink_status(file_))) partial_ += ".partial";
  output_.emplace(partial_);
  output_->keep(0);
  const auto header = safetensors_header(num_prompts, vocab_size);
  header_size_ = static_cast<int64_t>(header.size());
  output_->append(header);
}

LogitsFile::~LogitsFile() {
  if (!output_ || partial_ == file_) return;
  std::error_code ignored;
  fs::remove(partial_, ignored);
}

void LogitsFile::write(std::span<const size_t> prompts, const at::Tensor& logits) {
  const auto data = logits.to(at::kCPU, at::kFloat).contiguous();
  const auto* rows = static_cast<const char*>(data.data_ptr());
  const auto row_size = static_cast<int64_t>(data.nbytes()) / data.size(0);
  for (size_t begin = 0, end = 0; begin < prompts.size(); begin = end) {
    for (end = begin + 1; end < prompts.size() && prompts[end] == prompts[end - 1] + 1;) ++end;
    const auto bytes = static_cast<int64_t>(end - begin) * row_size;
    output_->seek(header_size_ + static_cast<int64_t>(prompts[begin]) * row_size);
    output_->append({rows + static_cast<int64_t>(begin) * row_size, static_cast<size_t>(bytes)},
                    /*flushes=*/false);
  }
}

void LogitsFile::finish() {
  output_->flush();
  if (partial_ != file_) fs::rename(partial_, file_);
  output_.reset();
}

}  // namespace prepack::cli
