#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace prepack::cli {

/// Writes to standard output.
/// @throws Error if that fails: a full disk, a closed pipe
void write_standard_output(std::string_view text);
void flush_standard_output();

bool standard_output_is_terminal();
bool standard_error_is_terminal();

/// Makes sure that descriptors 0 to 2 are open, so that no file the program opens takes the place
/// of standard output or error.
void open_standard_descriptors();

/// A file that grows by whole records.
class RecordFile {
 public:
  /// Opens or makes the file, and changes nothing of what it holds yet.
  /// @throws Error naming the file
  explicit RecordFile(std::filesystem::path path);
  ~RecordFile();
  RecordFile(const RecordFile&) = delete;
  RecordFile& operator=(const RecordFile&) = delete;

  /// Cuts the file to its first `num_bytes`; records are appended there.
  void keep(int64_t num_bytes);

  /// The next record goes to this byte of the file, which may be past its end.
  /// @throws Error naming the file, if it is a pipe or device and this is not its end
  void seek(int64_t offset);

  /// Appends and, unless told otherwise, flushes to disk; a write that fails is undone, so that no
  /// half record stays.
  /// @throws Error naming the file
  void append(std::string_view records, bool flushes = true);

  /// Flushes to disk what was appended.
  /// @throws Error naming the file
  void flush();

 private:
  [[noreturn]] void fail() const;

  std::filesystem::path path_;
  int descriptor_ = -1;
  int64_t size_ = 0;    // of what is written
  int64_t offset_ = 0;  // of the next record
};

/// A file that is written as a whole, as often as there is more to say; none where the path is
/// empty. Opened at once, because what is written to it takes long to make.
class ReportFile {
 public:
  /// @throws Error naming the file
  explicit ReportFile(const std::string& path);

  void write(std::string_view text);

 private:
  std::optional<RecordFile> file_;
};

/// What is fit to show at a terminal: control characters other than line ends and tabs, which could
/// change the terminal's state, become U+FFFD.
std::string printable_at_terminal(std::string_view text);

/// Writes a message, which may quote any bytes, to standard error.
void write_standard_error(std::string_view text);

}  // namespace prepack::cli
