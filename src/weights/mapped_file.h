#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace prepack {

/// A whole file mapped into memory, read only. Its pages belong to the system's page cache: they
/// are shared between processes, and given up and read again as memory gets short.
/// As with every mapping, a file that somebody truncates meanwhile ends the process (SIGBUS).
class MappedFile {
 public:
  /// @throws LoadError if the file cannot be opened or mapped
  explicit MappedFile(std::filesystem::path path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }

  /// Reads bytes [begin, end) into memory in one go, so that the first use of them does not wait
  /// for the disk page by page.
  void prefetch(uint64_t begin, uint64_t end) const;

  /// Says that of [begin, end) only parts will be used: these alone come into memory, also where
  /// the system has the file in large pages.
  void expect_parts(uint64_t begin, uint64_t end) const;

  /// Lets the pages of [begin, end) leave this process's memory; using them again is allowed and
  /// reads them again.
  void release(uint64_t begin, uint64_t end) const;

 private:
  /// Only advice: where the system does not take it (false), work is slower, not wrong.
  bool advise(uint64_t begin, uint64_t end, int advice) const;

  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace prepack
