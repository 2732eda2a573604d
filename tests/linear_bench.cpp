// prepack_linear_bench [K,N...]
//
// Products of M rows with weights [N, K], by Linear with float32 and with bfloat16 weights and by
// LibTorch's at::linear in float32: GFLOP/s of each, and the GB/s at which each reads its weights.
// The three take turns, and the median of the turns is printed. As in a model, the weights differ
// from turn to turn, so that they come from memory and not from a cache. With one thread
// (OMP_NUM_THREADS=1) the time is the processor's, which other programs on the machine disturb
// less.

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/rand.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include "model/linear.h"

namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kWeightBytes = int64_t{128} << 20;  // together, of each dtype: beyond any cache
constexpr double kSeconds = 0.4;                      // for each number of rows
constexpr int kMinTurns = 5;

double now_s() {
  if (at::get_num_threads() == 1) return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

double seconds_of(const std::function<void()>& run) {
  const double start = now_s();
  run();
  return now_s() - start;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::vector<prepack::Linear> weights(int64_t n, int64_t k, at::ScalarType dtype) {
  std::vector<prepack::Linear> copies;
  const auto bytes = n * k * static_cast<int64_t>(c10::elementSize(dtype));
  const auto weight = at::rand({n, k}).sub(0.5).to(dtype);
  for (int64_t i = 0; i <= kWeightBytes / bytes; ++i) copies.push_back({weight.clone(), {}});
  return copies;
}

void compare(int64_t k, int64_t n) {
  const auto floats = weights(n, k, at::kFloat);
  const auto halves = weights(n, k, at::kBFloat16);
  fmt::print("\nK = {}, N = {}\n{:>5} {:>20} {:>20} {:>20} {:>9} {:>9}\n", k, n, "M", "at::linear",
             "float32", "bfloat16", "float32", "bfloat16");
  for (int64_t m : {1, 2, 4, 8, 16, 32, 64, 96, 128, 192, 256, 384, 512, 2048}) {
    const auto x = at::rand({m, k}).sub(0.5);
    std::vector<double> times[3];
    const auto start = Clock::now();
    for (size_t turn = 0; std::ssize(times[0]) < kMinTurns ||
                          std::chrono::duration<double>(Clock::now() - start).count() < kSeconds;
         ++turn) {
      const auto& wide = floats[turn % floats.size()];
      const auto& other_wide = floats[(turn + floats.size() / 2) % floats.size()];
      const auto& narrow = halves[turn % halves.size()];
      times[0].push_back(seconds_of([&] { at::linear(x, wide.weight); }));
      times[1].push_back(seconds_of([&] { other_wide(x); }));
      times[2].push_back(seconds_of([&] { narrow(x); }));
    }
    const double flop = 2.0 * static_cast<double>(m * k * n);
    const auto speed = [&](int which) {
      const double s = median(times[which]);
      const double bytes = static_cast<double>(k * n) * (which == 2 ? 2 : 4);
      return fmt::format("{:.0f} GF {:5.1f} GB/s", flop / s * 1e-9, bytes / s * 1e-9);
    };
    const auto ratio = [&](int which) {
      return fmt::format("{:.2f} x", median(times[0]) / median(times[which]));
    };
    fmt::print("{:>5} {:>20} {:>20} {:>20} {:>9} {:>9}\n", m, speed(0), speed(1), speed(2),
               ratio(1), ratio(2));
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const at::NoGradGuard no_grad;
  std::vector<std::pair<int64_t, int64_t>> shapes;
  for (int i = 1; i < argc; ++i) {
    const std::string_view shape = argv[i];
    const auto comma = shape.find(',');
    if (comma == std::string_view::npos) {
      fmt::print(stderr, "{}: expected K,N\n", shape);
      return 2;
    }
    shapes.emplace_back(std::atoll(argv[i]), std::atoll(argv[i] + comma + 1));
  }
  if (shapes.empty()) {
    shapes = {{576, 960},   {576, 3072},   {1536, 576},  {768, 2304},  {768, 6144},
              {2048, 6144}, {2048, 11008}, {5504, 2048}, {2048, 32000}};
  }
  fmt::print("{} threads\n", at::get_num_threads());
  for (const auto& [k, n] : shapes) compare(k, n);
}
