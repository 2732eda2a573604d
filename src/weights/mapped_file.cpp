#include "weights/mapped_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "prepack/error.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22  // in the headers of glibc since 2.35
#endif

namespace prepack {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, int error) {
  throw LoadError(fmt::format("{}: {}", path.string(), std::strerror(error)));
}

/// The mapping outlives the descriptor.
class FileDescriptor {
 public:
  // O_NONBLOCK: opening a named pipe would otherwise wait for a writer.
  explicit FileDescriptor(const std::filesystem::path& path)
      : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
    if (fd_ < 0) fail(path, errno);
  }
  ~FileDescriptor() { ::close(fd_); }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

MappedFile::MappedFile(std::filesystem::path path) : path_(std::move(path)) {
  const FileDescriptor file(path_);
  struct stat status = {};
  if (::fstat(file.get(), &status) != 0) fail(path_, errno);
  if (!S_ISREG(status.st_mode)) {
    throw LoadError(fmt::format("{}: expected a regular file", path_.string()));
  }
  if (status.st_size == 0) return;  // nothing can be mapped: `bytes` stays empty
  void* const address =
      ::mmap(nullptr, static_cast<size_t>(status.st_size), PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (address == MAP_FAILED) fail(path_, errno);
  data_ = static_cast<const std::byte*>(address);
  size_ = static_cast<size_t>(status.st_size);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::prefetch(uint64_t begin, uint64_t end) const {
  // Linux 5.14 and later read and map the pages in this one call; earlier ones start reading.
  if (!advise(begin, end, MADV_POPULATE_READ)) advise(begin, end, MADV_WILLNEED);
}

void MappedFile::expect_parts(uint64_t begin, uint64_t end) const {
  advise(begin, end, MADV_NOHUGEPAGE);
}

void MappedFile::release(uint64_t begin, uint64_t end) const {
  // Otherwise a page of 2 MB comes back whole with the first use of a neighbour in it.
  advise(begin, end, MADV_NOHUGEPAGE);
  advise(begin, end, MADV_DONTNEED);
}

bool MappedFile::advise(uint64_t begin, uint64_t end, int advice) const {
  if (begin >= end) return true;
  // Pages shared with a neighbour are included: to lose them costs that neighbour one page fault.
  const auto page_size = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  const uint64_t page_begin = begin / page_size * page_size;
  return ::madvise(const_cast<std::byte*>(data_) + page_begin, end - page_begin, advice) == 0;
}

}  // namespace prepack
