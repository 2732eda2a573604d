#include "prepack/device.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

#include "cuda/cuda_half.h"
#include "prepack/error.h"

namespace prepack {
namespace {

int cuda_device_count() {
  const auto* half = load_cuda_half();
  return half == nullptr ? 0 : half->device_count();
}

c10::Device cuda_device(std::string_view name, int index) {
  if (load_cuda_half() == nullptr) {
    throw InvalidArgument(
        fmt::format("device {}: this machine has no CUDA driver, or prepack was built without CUDA",
                    name));
  }
  if (index >= cuda_device_count()) {
    throw InvalidArgument(
        fmt::format("device {}: this machine has {} CUDA devices", name, cuda_device_count()));
  }
  return {c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(index)};
}

const CudaHalf& cuda_half() {
  const auto* half = load_cuda_half();
  if (half == nullptr) throw InvalidArgument("prepack was built without CUDA");
  return *half;
}

/// The number that a file holds; nothing where there is no file, or "max".
std::optional<int64_t> read_number(const char* path) {
  std::ifstream file(path);
  int64_t number = 0;
  if (file >> number) return number;
  return std::nullopt;
}

/// MemAvailable of /proc/meminfo.
int64_t system_available() {
  std::ifstream file("/proc/meminfo");
  std::string key;
  int64_t kib = 0;
  for (std::string unit; file >> key >> kib; std::getline(file, unit)) {
    if (key == "MemAvailable:") return kib * 1024;
  }
  return std::numeric_limits<int64_t>::max();
}

/// What the control group of a container leaves, in version 2 or 1 of that interface.
int64_t control_group_available() {
  constexpr const char* kFiles[][2] = {
      {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"},
      {"/sys/fs/cgroup/memory/memory.limit_in_bytes",
       "/sys/fs/cgroup/memory/memory.usage_in_bytes"},
  };
  for (const auto& [limit_file, usage_file] : kFiles) {
    const auto limit = read_number(limit_file);
    const auto usage = read_number(usage_file);
    if (limit && usage) return std::max<int64_t>(*limit - *usage, 0);
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

int64_t peak_resident_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

int64_t peak_device_memory(c10::Device device) {
  return device.is_cuda() ? cuda_half().peak_memory(device.index()) : 0;
}

}  // namespace prepack
