// prepack_linear_bench [K,N...]
//
// Products of M rows with weights [N, K], by LibTorch's at::linear in float32 and by Linear with
// weights in float32, float32 in oneDNN's layout, bfloat16, 8 and 4 bits (also with x rounded to
// 16 and 8 bits), and 8 bits in groups of 16; and, where the CPU has instructions for it, of x
// in bfloat16 with weights in bfloat16, by at::linear, and by Linear in rows and in oneDNN's
// layout, and with weights in 8 and 4 bits: GFLOP/s of each, and the GB/s at which each reads its
// weights, as they are stored.
// They take turns, and the median of the turns is printed. As in a model, the weights differ
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
#include <variant>
#include <vector>

#include "model/blocked_products.h"
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

/// One way to multiply, with enough weights.
struct Contender {
  const char* name;
  std::vector<prepack::Linear> weights;
  double weight_bytes;  // of one of them
  std::vector<double> times = {};
  at::ScalarType input_type = at::kFloat;
  bool is_libtorch = false;  // or else by Linear
};

Contender contender(const char* name, int64_t n, int64_t k,
                    const std::function<prepack::Weight(const at::Tensor&)>& store) {
  const auto weight = at::rand({n, k}).sub(0.5);
  const auto bytes = prepack::nbytes(store(weight));
  Contender result{name, {}, static_cast<double>(bytes)};
  for (int64_t i = 0; i <= kWeightBytes / bytes; ++i) result.weights.push_back({store(weight), {}});
  return result;
}

prepack::Weight quantize(const at::Tensor& weight, const prepack::Quantization& quantization) {
  auto quantized =
      prepack::QuantizedWeight::make_empty(weight.size(0), weight.size(1), quantization);
  quantized.quantize_rows(0, weight);
  return quantized;
}

/// Of any numbers: only their number counts.
prepack::Weight pack(const at::Tensor& weight, const prepack::PackedFormat& format) {
  auto packed = prepack::QuantizedWeight::make_empty(weight.size(0), weight.size(1), format);
  const auto scales = at::rand({weight.size(0), format.num_groups(weight.size(1))});
  packed.set_rows(0, weight.mul(200).to(at::kChar), scales,
                  format.has_minimums ? scales : at::Tensor());
  return packed;
}

std::vector<Contender> contenders(int64_t n, int64_t k) {
  const auto to_blocked = [](const at::Tensor& w) { return prepack::BlockedWeight(w); };
  const auto to_int8 = [](const at::Tensor& w) { return quantize(w, {.bits = 8}); };
  const auto to_rounded = [](int bits, prepack::Activations activations) {
    return [=](const at::Tensor& w) {
      auto quantized = quantize(w, {.bits = bits});
      std::get<prepack::QuantizedWeight>(quantized).activations = activations;
      return quantized;
    };
  };
  const auto to_int4 = [](const at::Tensor& w) { return quantize(w, {.bits = 4}); };
  const auto to_int8_groups = [](const at::Tensor& w) {
    return pack(w, {.bits = 8, .group_size = 16});
  };
  std::vector<Contender> all = {
      contender("at::linear", n, k, [](const at::Tensor& w) { return w.clone(); }),
      contender("float32", n, k, [](const at::Tensor& w) { return w.clone(); }),
      contender("float32 blocked", n, k, to_blocked),
      contender("bfloat16", n, k, [](const at::Tensor& w) { return w.to(at::kBFloat16); }),
      contender("int8", n, k, to_int8),
      contender("int8 x int16", n, k, to_rounded(8, prepack::Activations::kInt16)),
      contender("int8 x int8", n, k, to_rounded(8, prepack::Activations::kInt8)),
      contender("int4", n, k, to_int4),
      contender("int4 x int16", n, k, to_rounded(4, prepack::Activations::kInt16)),
      contender("int4 x int8", n, k, to_rounded(4, prepack::Activations::kInt8)),
      contender("int8 in groups", n, k, to_int8_groups)};
  all[0].is_libtorch = true;
  if (prepack::has_blocked_products(at::kBFloat16)) {
    const auto to_bfloat16 = [](const at::Tensor& w) { return w.to(at::kBFloat16); };
    all.push_back(contender("at::linear of bfloat16", n, k, to_bfloat16));
    all.back().is_libtorch = true;
    all.push_back(contender("bfloat16 x bfloat16", n, k, to_bfloat16));
    all.push_back(contender("bfloat16 blocked", n, k, [](const at::Tensor& w) {
      return prepack::BlockedWeight(w.to(at::kBFloat16));
    }));
    all.push_back(contender("bfloat16 x int8", n, k, to_int8));
    all.push_back(contender("bfloat16 x int4", n, k, to_int4));
    for (size_t i = all.size() - 5; i < all.size(); ++i) all[i].input_type = at::kBFloat16;
  }
  return all;
}

void compare(int64_t k, int64_t n) {
  auto all = contenders(n, k);
  fmt::print("\nK = {}, N = {}\n{:>5}", k, n, "M");
  for (const auto& one : all) fmt::print(" {:>28}", one.name);
  fmt::print("\n");
  for (int64_t m : {1, 2, 3, 4, 8, 16, 32, 64, 96, 128, 192, 256, 384, 512, 2048}) {
    const auto x = at::rand({m, k}).sub(0.5);
    for (auto& one : all) one.times.clear();
    const auto start = Clock::now();
    for (size_t turn = 0; std::ssize(all[0].times) < kMinTurns ||
                          std::chrono::duration<double>(Clock::now() - start).count() < kSeconds;
         ++turn) {
      for (auto& one : all) {
        const auto& linear = one.weights[turn % one.weights.size()];
        const auto input = x.to(one.input_type);
        one.times.push_back(seconds_of([&] {
          if (one.is_libtorch) {
            at::linear(input, std::get<at::Tensor>(linear.weight));
          } else {
            linear(input);
          }
        }));
      }
    }
    fmt::print("{:>5}", m);
    for (const auto& one : all) {
      const double s = median(one.times);
      fmt::print(" {:>28}", fmt::format("{:.0f} GF {:5.1f} GB/s {:5.2f} x",
                                        2e-9 * static_cast<double>(m * k * n) / s,
                                        1e-9 * one.weight_bytes / s, median(all[0].times) / s));
    }
    fmt::print("\n");
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
