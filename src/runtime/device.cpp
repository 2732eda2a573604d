#include "prepack/device.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string>

#include "cuda/cuda_half.h"
#include "prepack/error.h"

namespace prepack {
namespace {

constexpr const char* kProcessStatus = "/proc/self/status";

int cuda_device_count() {
  const auto* half = load_cuda_half();
  return half == nullptr ? 0 : half->device_count();
}

c10::Device cuda_device(std::string_view name, int index) {
  if (load_cuda_half() == nullptr) {
    throw InvalidArgument(fmt::format(
        "device {}: this machine has no CUDA driver, or prepack was built without CUDA", name));
  }
  if (index >= cuda_device_count()) {
    throw InvalidArgument(
        fmt::format("device {}: this machine has {} CUDA devices", name, cuda_device_count()));
  }
  return {c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(index)};
}

/// The number that a file holds; nothing where there is no file, or "max".
std::optional<int64_t> read_number(const char* path) {
  std::ifstream file(path);
  int64_t number = 0;
  if (file >> number) return number;
  return std::nullopt;
}

/// The number beside `wanted` in a file of lines "key number unit"; 0 if there is none.
int64_t read_field(const char* path, std::string_view wanted) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string key;
    int64_t number = 0;
    if (fields >> key && key == wanted && fields >> number) return number;
  }
  return 0;
}

int64_t system_available() {
  const int64_t kib = read_field("/proc/meminfo", "MemAvailable:");
  return kib > 0 ? kib * 1024 : std::numeric_limits<int64_t>::max();
}

/// What the control group of a container leaves, in version 2 or 1 of that interface. File pages
/// that are not in use count as used there, but are given up when they are needed.
int64_t control_group_available() {
  struct Files {
    const char* limit;
    const char* usage;
    const char* statistics;
    const char* reclaimable;
  };
  constexpr Files kVersions[] = {
      {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat",
       "inactive_file"},
      {"/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes",
       "/sys/fs/cgroup/memory/memory.stat", "total_inactive_file"},
  };
  for (const auto& files : kVersions) {
    const auto limit = read_number(files.limit);
    const auto usage = read_number(files.usage);
    if (!limit || !usage) continue;
    const int64_t used = *usage - read_field(files.statistics, files.reclaimable);
    return std::max<int64_t>(*limit - used, 0);
  }
  return std::numeric_limits<int64_t>::max();
}

}  // namespace

c10::Device select_device(std::string_view name) {
  if (name == "cpu") return c10::kCPU;
  if (name == "auto") return cuda_device_count() > 0 ? cuda_device(name, 0) : c10::kCPU;
  if (name == "cuda") return cuda_device(name, 0);
  constexpr std::string_view kPrefix = "cuda:";
  if (name.starts_with(kPrefix)) {
    int index = -1;
    const auto [end, error] =
        std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), index);
    if (error == std::errc() && end == name.data() + name.size() && index >= 0) {
      return cuda_device(name, index);
    }
  }
  throw InvalidArgument(fmt::format("device: expected auto, cpu, cuda or cuda:N, got {}", name));
}

void synchronize(c10::Device device) {
  if (device.is_cuda()) cuda_half().synchronize(device.index());
}

int64_t available_memory(c10::Device device) {
  if (device.is_cuda()) return cuda_half().free_memory(device.index());
  return std::min(system_available(), control_group_available());
}

int64_t resident_memory() { return read_field(kProcessStatus, "VmRSS:") * 1024; }

// Not getrusage's: that is at least what the program had that started this one.
int64_t peak_resident_memory() { return read_field(kProcessStatus, "VmHWM:") * 1024; }

int64_t peak_device_memory(c10::Device device) {
  return device.is_cuda() ? cuda_half().peak_memory(device.index()) : 0;
}

}  // namespace prepack
