#include "bench/environment.h"

#include <ATen/Version.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <torch/headeronly/version.h>

#include <chrono>
#include <ctime>
#include <fstream>

#include "bench/source_commit.h"
#include "cuda/cuda_half.h"

namespace prepack::bench {
namespace {

/// "AMD EPYC 7763", as the kernel names it. Of an Arm CPU it knows numbers alone: "Arm CPU 0xd0c of
/// implementer 0x41".
std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  std::string implementer;
  for (std::string line; std::getline(file, line);) {
    const auto colon = line.find(": ");
    if (colon == std::string::npos) continue;
    const auto value = line.substr(colon + 2);
    if (line.starts_with("model name")) return value;
    if (line.starts_with("CPU implementer")) implementer = value;
    if (line.starts_with("CPU part")) {
      return fmt::format("Arm CPU {} of implementer {}", value, implementer);
    }
  }
  return "unknown CPU";
}

std::string hardware_name(at::Device device) {
  const auto cpu = fmt::format("{}, {}", cpu_name(), at::get_cpu_capability());
  if (!device.is_cuda()) return cpu;
  return fmt::format("{} on {}", load_cuda_half()->device_name(device.index()), cpu);
}

std::string compiler_name() {
#if defined(__clang__)
  return "clang " __clang_version__;
#else
  return "gcc " __VERSION__;
#endif
}

}  // namespace

Environment describe_environment(const Model& model, std::string model_name, int64_t threads) {
  return {
      .prepack = PREPACK_VERSION,
      .commit = PREPACK_SOURCE_COMMIT,
      .torch = TORCH_VERSION,
      .compiler = compiler_name(),
      .hardware = hardware_name(model.device()),
      .date = fmt::format("{:%Y-%m-%d}", fmt::gmtime(std::time(nullptr))),
      .model = std::move(model_name),
      .num_parameters = model.config().num_parameters(),
      .dtype = std::string(to_string(model.dtype())) +
               rounding_note(model.quantization(), model.activations()) +
               (model.has_blocked_weights() ? ", blocked weights" : ""),
      .device = model.device().str(),
      .threads = threads,
  };
}

}  // namespace prepack::bench
