#include "runtime/control_group.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>

#include "runtime/system_file.h"

namespace prepack {
namespace {

/// The first number that a file holds; nothing where there is no file, or "max".
std::optional<int64_t> read_number(const std::filesystem::path& path) {
  std::ifstream file(path);
  int64_t number = 0;
  if (file >> number) return number;
  return std::nullopt;
}

/// Of a limit for each period, both in microseconds; version 1 says -1 for none.
double cpus(int64_t quota, int64_t period) {
  if (quota <= 0 || period <= 0) return std::numeric_limits<double>::infinity();
  return static_cast<double>(quota) / static_cast<double>(period);
}

}  // namespace

int64_t ControlGroup::available_memory() const {
  struct Files {
    const char* limit;
    const char* usage;
    const char* statistics;
    const char* reclaimable;
  };
  constexpr Files kVersions[] = {
      {"memory.max", "memory.current", "memory.stat", "inactive_file"},
      {"memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat",
       "total_inactive_file"},
  };
  for (const auto& files : kVersions) {
    const auto limit = read_number(root_ / files.limit);
    const auto usage = read_number(root_ / files.usage);
    if (!limit || !usage) continue;
    const int64_t used =
        std::max<int64_t>(*usage - read_field(root_ / files.statistics, files.reclaimable), 0);
    return std::max<int64_t>(*limit - used, 0);
  }
  return std::numeric_limits<int64_t>::max();
}

double ControlGroup::available_cpus() const {
  std::ifstream version_2(root_ / "cpu.max");
  int64_t quota = 0;
  int64_t period = 0;
  if (version_2 >> quota >> period) return cpus(quota, period);
  return cpus(read_number(root_ / "cpu/cpu.cfs_quota_us").value_or(-1),
              read_number(root_ / "cpu/cpu.cfs_period_us").value_or(-1));
}

}  // namespace prepack
