#include "prepack/device.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "cuda/cuda_half.h"
#include "prepack/error.h"
#include "runtime/control_group.h"
#include "runtime/system_file.h"

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
        "device {}: this machine has no CUDA driver, or prepack was built without CUDA ({})", name,
        no_cuda_reason()));
  }
  if (index >= cuda_device_count()) {
    throw InvalidArgument(
        fmt::format("device {}: this machine has {} CUDA devices", name, cuda_device_count()));
  }
  return {c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(index)};
}

int64_t system_available() {
  const int64_t kib = read_field("/proc/meminfo", "MemAvailable:");
  return kib > 0 ? kib * 1024 : std::numeric_limits<int64_t>::max();
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

int default_threads() {
  const int per_core = at::get_num_threads();
  const char* asked = std::getenv("OMP_NUM_THREADS");
  if (asked != nullptr && *asked != '\0') return per_core;
  const double cpus = std::ceil(ControlGroup().available_cpus());
  return cpus < per_core ? std::max(static_cast<int>(cpus), 1) : per_core;
}

int64_t available_memory(c10::Device device) {
  if (device.is_cuda()) return cuda_half().free_memory(device.index());
  return std::min(system_available(), ControlGroup().available_memory());
}

int64_t resident_memory() { return read_field(kProcessStatus, "VmRSS:") * 1024; }

// Not getrusage's: that is at least what the program had that started this one.
int64_t peak_resident_memory() { return read_field(kProcessStatus, "VmHWM:") * 1024; }

int64_t peak_device_memory(c10::Device device) {
  return device.is_cuda() ? cuda_half().peak_memory(device.index()) : 0;
}

}  // namespace prepack
