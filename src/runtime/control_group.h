#pragma once

#include <cstdint>
#include <filesystem>
#include <utility>

namespace prepack {

/// What a control group, as containers have one, leaves its processes. Version 2 and version 1 of
/// the interface are read.
/// Ref: the Linux kernel's documentation, "Control Group v2" and "Control Groups version 1"
class ControlGroup {
 public:
  /// @param root  where its files are; none need be there
  explicit ControlGroup(std::filesystem::path root = "/sys/fs/cgroup") : root_(std::move(root)) {}

  /// Bytes up to the limit of memory; the largest number where there is none. File pages that are
  /// not in use count as used in the group's files, but are given up when they are needed.
  int64_t available_memory() const;

  /// CPUs whose whole time the processes may take together; infinite where there is no limit.
  double available_cpus() const;

 private:
  std::filesystem::path root_;
};

}  // namespace prepack
