#include "bench/ceilings.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/sum.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <iterator>
#include <limits>

#include "base/scalar_type.h"
#include "base/stopwatch.h"
#include "model/blocked_products.h"
#include "model/linear.h"
#include "model/native_products.h"
#include "model/product_shapes.h"
#include "prepack/device.h"

namespace prepack::bench {
namespace {

constexpr int64_t kNumRows[] = {512, 1024, 2048};
constexpr int64_t kMostRows = 2048;

/// Several times the caches of a server.
constexpr int64_t kMemoryBytes = int64_t{512} << 20;

/// Of the fastest of some runs: at least three, for a fifth of a second.
double fewest_seconds(at::Device device, const std::function<void()>& run) {
  constexpr int kMinRuns = 3;
  constexpr double kSeconds = 0.2;
  run();
  synchronize(device);
  double fewest = std::numeric_limits<double>::infinity();
  const Stopwatch all;
  for (int i = 0; i < kMinRuns || all.seconds() < kSeconds; ++i) {
    const Stopwatch stopwatch;
    run();
    synchronize(device);
    fewest = std::min(fewest, stopwatch.seconds());
  }
  return fewest;
}

double operations(const ProductShape& shape, int64_t num_rows) {
  return 2 * static_cast<double>(num_rows) *
         static_cast<double>(shape.out_features * shape.in_features);
}

/// Sets what is measured of products.
void measure_products(const ModelConfig& config, DType dtype, at::Device device,
                      Ceilings& ceilings) {
  const auto options =
      at::TensorOptions(device).dtype(to_scalar_type(product_dtype(dtype, device)));
  std::array<double, std::size(kNumRows)> num_operations{};
  std::array<double, std::size(kNumRows)> seconds{};
  for (const auto& shape : layer_products(config)) {
    const auto weight = at::rand({shape.out_features, shape.in_features}, options);
    const auto inputs = at::rand({kMostRows, shape.in_features}, options);
    const auto outputs = at::empty({kMostRows, shape.out_features}, options);
    const Linear plain{weight, {}};
    const auto blocks = device.is_cpu() ? blocks_of(weight) : std::nullopt;
    for (size_t i = 0; i < std::size(kNumRows); ++i) {
      const auto input = inputs.narrow(0, 0, kNumRows[i]);
      auto output = outputs.narrow(0, 0, kNumRows[i]);
      double fewest = fewest_seconds(device, [&] { at::mm_out(output, input, weight.t()); });
      const auto compare = [&](const std::function<void()>& multiply) {
        fewest = std::min(fewest, fewest_seconds(device, multiply));
      };
      if (device.is_cpu()) compare([&] { plain.write_to(input, output); });
      if (blocks) compare([&] { blocks->multiply(input, {}); });
      seconds[i] += fewest;
      num_operations[i] += operations(shape, kNumRows[i]);
    }
  }
  for (size_t i = 0; i < std::size(kNumRows); ++i) {
    const double speed = num_operations[i] / seconds[i];
    if (speed <= ceilings.operations_per_s) continue;
    ceilings.operations_per_s = speed;
    ceilings.num_rows = kNumRows[i];
  }
}

/// Adds all words up, which takes vectors less time than memory takes to bring them.
uint64_t sum_of(const at::Tensor& words) {
  const auto* data = words.const_data_ptr<int64_t>();
  constexpr int64_t kGrain = 1 << 16;
  std::atomic<uint64_t> sum = 0;
  at::parallel_for(0, words.numel(), kGrain, [&](int64_t begin, int64_t end) {
    uint64_t part = 0;
    for (int64_t i = begin; i < end; ++i) part += static_cast<uint64_t>(data[i]);
    sum += part;
  });
  return sum;
}

double measure_memory(at::Device device) {
  const auto words = at::full({kMemoryBytes / 8}, 3, at::TensorOptions(device).dtype(at::kLong));
  const double seconds = fewest_seconds(device, [&] {
    if (!device.is_cpu()) {
      words.sum();
    } else {
      // Looked at, lest a compiler should leave the reading out.
      TORCH_INTERNAL_ASSERT(sum_of(words) == 3 * static_cast<uint64_t>(words.numel()));
    }
  });
  return static_cast<double>(kMemoryBytes) / seconds;
}

}  // namespace

Ceilings best_of(const Ceilings& a, const Ceilings& b) {
  const auto& faster = a.operations_per_s >= b.operations_per_s ? a : b;
  return {faster.operations_per_s, faster.num_rows, std::max(a.bytes_per_s, b.bytes_per_s)};
}

DType product_dtype(DType dtype, c10::Device device) {
  return !device.is_cpu() || has_native_products(to_scalar_type(dtype)) ? dtype : DType::kFloat32;
}

Ceilings measure_ceilings(const ModelConfig& config, DType dtype, c10::Device device) {
  const at::NoGradGuard no_grad;
  Ceilings ceilings;
  measure_products(config, dtype, device, ceilings);
  ceilings.bytes_per_s = measure_memory(device);
  return ceilings;
}

int64_t ceiling_bytes(const ModelConfig& config, DType dtype, c10::Device device) {
  int64_t most_elements = 0;
  for (const auto& [out_features, in_features] : layer_products(config)) {
    // With weights and outputs in both layouts.
    most_elements = std::max(most_elements, kMostRows * (in_features + 2 * out_features) +
                                                2 * in_features * out_features);
  }
  return std::max(kMemoryBytes, most_elements * element_size(product_dtype(dtype, device)));
}

}  // namespace prepack::bench
