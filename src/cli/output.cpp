#include "cli/output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

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

RecordFile::RecordFile(std::filesystem::path path, int64_t keep_bytes)
    : path_(std::move(path)), size_(keep_bytes) {
  descriptor_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail();
  // A device such as /dev/stdout cannot be cut, and need not be.
  if (ftruncate(descriptor_, size_) != 0 && errno != EINVAL) fail();
  if (lseek(descriptor_, size_, SEEK_SET) < 0 && errno != ESPIPE) fail();
}

RecordFile::~RecordFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

void RecordFile::append(std::string_view records) {
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
  if (fsync(descriptor_) != 0 && errno != EINVAL) fail();
  size_ = lseek(descriptor_, 0, SEEK_CUR);
}

void RecordFile::fail() const {
  throw Error(fmt::format("{}: {}", path_.string(), std::strerror(errno)));
}

}  // namespace prepack::cli
