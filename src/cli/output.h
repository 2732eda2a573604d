#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace prepack::cli {

/// Writes to standard output.
/// @throws Error if that fails: a full disk, a closed pipe
void write_standard_output(std::string_view text);
void flush_standard_output();

bool standard_output_is_terminal();
bool standard_error_is_terminal();

/// A file that grows by whole records, each on disk before the next batch begins.
class RecordFile {
 public:
  /// @param keep_bytes  what to keep of an existing file; the rest is cut off
  /// @throws Error naming the file
  RecordFile(std::filesystem::path path, int64_t keep_bytes);
  ~RecordFile();
  RecordFile(const RecordFile&) = delete;
  RecordFile& operator=(const RecordFile&) = delete;

  /// Appends and flushes to disk; a write that fails is undone, so that no half record stays.
  /// @throws Error naming the file
  void append(std::string_view records);

 private:
  [[noreturn]] void fail() const;

  std::filesystem::path path_;
  int descriptor_ = -1;
  int64_t size_ = 0;
};

}  // namespace prepack::cli
