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
  output_->append(safetensors_header(num_prompts, vocab_size));
}

LogitsFile::~LogitsFile() {
  if (!output_ || partial_ == file_) return;
  std::error_code ignored;
  fs::remove(partial_, ignored);
}

void LogitsFile::append(const at::Tensor& logits) {
  const auto data = logits.to(at::kCPU, at::kFloat).contiguous();
  output_->append({static_cast<const char*>(data.data_ptr()), data.nbytes()});
}

void LogitsFile::finish() {
  if (partial_ != file_) fs::rename(partial_, file_);
  output_.reset();
}

}  // namespace prepack::cli
