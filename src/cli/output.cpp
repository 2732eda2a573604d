#include "cli/output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "prepack/error.h"

namespace prepack::cli {
namespace {

[[noreturn]] void fail_standard_output() {
  throw Error(fmt::format("standard output: {}", std::strerror(errno)));
}

}  // namespace

void write_standard_output(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) fail_standard_output();
}

void flush_standard_output() {
  if (std::fflush(stdout) != 0) fail_standard_output();
}

bool standard_output_is_terminal() { return isatty(STDOUT_FILENO) == 1; }

bool standard_error_is_terminal() { return isatty(STDERR_FILENO) == 1; }

void open_standard_descriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(descriptor, F_GETFD) != -1) continue;
    // The lowest free descriptor is the one that is closed. Writing to standard output must go on
    // to fail, since nobody would see the results.
    (void)open("/dev/null", descriptor == STDERR_FILENO ? O_WRONLY : O_RDONLY);
  }
}

RecordFile::RecordFile(std::filesystem::path path) : path_(std::move(path)) {
  descriptor_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail();
}

void RecordFile::keep(int64_t num_bytes) {
  // A device such as /dev/stdout cannot be cut, and need not be.
  if (ftruncate(descriptor_, num_bytes) != 0 && errno != EINVAL) fail();
  size_ = offset_ = num_bytes;
  if (lseek(descriptor_, offset_, SEEK_SET) < 0 && errno != ESPIPE) fail();
}

void RecordFile::seek(int64_t offset) {
  if (offset == offset_) return;
  if (lseek(descriptor_, offset, SEEK_SET) < 0) fail();
  offset_ = offset;
}

RecordFile::~RecordFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

void RecordFile::append(std::string_view records, bool flushes) {
  const int64_t end = offset_ + static_cast<int64_t>(records.size());
  while (!records.empty()) {
    const ssize_t written = ::write(descriptor_, records.data(), records.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const int reason = errno;
      if (ftruncate(descriptor_, size_) != 0) errno = 0;
      errno = reason;
      fail();
    }
    records.remove_prefix(static_cast<size_t>(written));
  }
  offset_ = end;
  size_ = std::max(size_, end);
  if (flushes) flush();
}

void RecordFile::flush() {
  if (fsync(descriptor_) != 0 && errno != EINVAL) fail();
}

void RecordFile::fail() const {
  throw Error(fmt::format("{}: {}", path_.string(), std::strerror(errno)));
}

ReportFile::ReportFile(const std::string& path) {
  if (!path.empty()) file_.emplace(path);
}

void ReportFile::write(std::string_view text) {
  if (!file_) return;
  file_->keep(0);
  file_->append(text);
}

std::string printable_at_terminal(std::string_view text) {
  std::string printable;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : 0);
    const bool is_wide_control = byte == 0xC2 && next >= 0x80 && next <= 0x9F;  // U+0080 to U+009F
    if (is_wide_control) ++i;
    if (is_wide_control || (byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7F) {
      printable += "\uFFFD";
    } else {
      printable += text[i];
    }
  }
  return printable;
}

void write_standard_error(std::string_view text) {
  const auto shown = standard_error_is_terminal() ? printable_at_terminal(text) : std::string(text);
  // std::cerr would flush standard output first, and not say that it failed.
  (void)std::fwrite(shown.data(), 1, shown.size(), stderr);
}

}  // namespace prepack::cli
