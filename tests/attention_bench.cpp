// prepack_attention_bench [REPETITIONS] [PART OF A NAME]
//
// Times the attention of varlen batches against LibTorch's, one after the other in turns: of
// prompts against a call per prompt, of decode steps against one call with a mask. Prints medians
// in milliseconds, the speed of the former, and how many times longer the latter takes. Of those
// batches whose names contain the second argument.

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/tensor.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "attention/libtorch_attention.h"
#include "base/scalar_type.h"
#include "prepack/attention.h"
#include "support/random.h"
#include "support/tensors.h"

namespace {

using prepack::DType;
using prepack::testing::Random;
using prepack::testing::random_tensor;

struct HeadShape {
  int64_t num_heads;
  int64_t num_kv_heads;
  int64_t head_dim;
};

constexpr HeadShape kShapes[] = {{9, 3, 64}, {14, 2, 64}, {12, 12, 64}, {16, 16, 128}};

double milliseconds(const std::function<void()>& f) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  f();
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

double median(std::vector<double> times) {
  std::nth_element(times.begin(), times.begin() + std::ssize(times) / 2, times.end());
  return times[times.size() / 2];
}

struct Times {
  double ours;
  double libtorch;
};

Times compare(int repetitions, const std::function<void()>& ours,
              const std::function<void()>& libtorch) {
  ours();
  libtorch();
  std::vector<double> our_times;
  std::vector<double> libtorch_times;
  for (int i = 0; i < repetitions; ++i) {
    our_times.push_back(milliseconds(ours));
    libtorch_times.push_back(milliseconds(libtorch));
  }
  return {median(our_times), median(libtorch_times)};
}

void print(const std::string& name, const HeadShape& shape, DType dtype, const Times& times,
           double speed, const char* unit) {
  fmt::print("{:<26} {:>2}/{:<2} x {:<3} {:<8} {:>9.3f} ms {:>9.3f} ms {:>7.1f} {:<8} {:>5.2f}\n",
             name, shape.num_heads, shape.num_kv_heads, shape.head_dim, to_string(dtype),
             times.ours, times.libtorch, speed, unit, times.libtorch / times.ours);
  std::fflush(stdout);
}

void time_prompts(const std::string& name, const std::vector<int64_t>& lengths, int repetitions) {
  for (const auto& shape : kShapes) {
    for (auto dtype : {DType::kFloat32, DType::kBFloat16}) {
      prepack::VarlenAttention varlen{{0}, {}, {}};
      double num_pairs = 0;  // of a query and a key
      for (int64_t length : lengths) {
        varlen.first_keys.push_back(varlen.cu_seqlens.back());
        varlen.num_keys.push_back(length);
        varlen.cu_seqlens.push_back(varlen.cu_seqlens.back() + static_cast<int32_t>(length));
        num_pairs += 0.5 * static_cast<double>(length * (length + 1));
      }
      // Slices of one product, as the model makes them.
      Random random(1);
      const int64_t num_heads = shape.num_heads + 2 * shape.num_kv_heads;
      const auto qkv = random_tensor(random, {varlen.cu_seqlens.back(), num_heads, shape.head_dim})
                           .to(to_scalar_type(dtype));
      const auto queries = qkv.narrow(1, 0, shape.num_heads);
      const auto keys = qkv.narrow(1, shape.num_heads, shape.num_kv_heads);
      const auto values = qkv.narrow(1, shape.num_heads + shape.num_kv_heads, shape.num_kv_heads);
      const auto times = compare(
          repetitions, [&] { attend(queries, keys, values, varlen); },
          [&] { attend_with_libtorch(queries, keys, values, varlen); });
      const double flops = 4 * num_pairs * static_cast<double>(shape.num_heads * shape.head_dim);
      print(name, shape, dtype, times, flops / times.ours * 1e-6, "GFLOP/s");
    }
  }
}

std::string decode_name(int64_t num_rows, int64_t num_slots) {
  return fmt::format("decode, {} of up to {}", num_rows, num_slots);
}

/// One query for each of some sequences, in the rows of a cache: one of `num_slots` keys, or
/// several of a tenth of that to all of it.
void time_decode(int64_t num_rows, int64_t num_slots, int repetitions) {
  for (const auto& shape : kShapes) {
    for (auto dtype : {DType::kFloat32, DType::kBFloat16}) {
      Random random(2);
      prepack::VarlenAttention varlen{{0}, {}, {}};
      double num_keys = 0;
      for (int64_t row = 0; row < num_rows; ++row) {
        varlen.first_keys.push_back(row * num_slots);
        varlen.num_keys.push_back(num_rows == 1 ? num_slots
                                                : random.integer(num_slots / 10, num_slots));
        varlen.cu_seqlens.push_back(static_cast<int32_t>(row + 1));
        num_keys += static_cast<double>(varlen.num_keys.back());
      }
      const auto type = to_scalar_type(dtype);
      const auto lengths = at::tensor(varlen.num_keys).view({num_rows, 1, 1, 1});
      const prepack::CacheAttention cached{num_rows, num_slots,
                                           at::arange(num_slots).view({1, 1, 1, -1}).lt(lengths)};
      const auto queries = random_tensor(random, {num_rows, shape.num_heads, shape.head_dim}, type);
      const auto side = [&] {  // the same in each row, because random numbers take their time
        const auto row =
            random_tensor(random, {1, num_slots, shape.num_kv_heads, shape.head_dim}, type);
        return row.repeat({num_rows, 1, 1, 1});
      };
      const auto keys = side();
      const auto values = side();
      const auto flat_keys = keys.flatten(0, 1);
      const auto flat_values = values.flatten(0, 1);
      const auto times = compare(
          repetitions, [&] { attend(queries, flat_keys, flat_values, varlen); },
          [&] { attend(queries, keys, values, cached); });
      const double bytes = 2 * num_keys * static_cast<double>(shape.num_kv_heads * shape.head_dim) *
                           static_cast<double>(element_size(dtype));
      print(decode_name(num_rows, num_slots), shape, dtype, times, bytes / times.ours * 1e-6,
            "GB/s");
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const at::NoGradGuard no_grad;
  const int repetitions = argc > 1 ? std::atoi(argv[1]) : 15;
  const std::string part = argc > 2 ? argv[2] : "";
  const auto is_wanted = [&](const std::string& name) { return name.find(part) != name.npos; };
  fmt::print("{} threads\n{:<26} {:<9} {:<8} {:>12} {:>12}\n", at::get_num_threads(), "", "heads",
             "dtype", "varlen", "LibTorch");
  Random random(3);
  std::vector<int64_t> lengths;  // of questions with four answers: most of them short
  for (int i = 0; i < 64; ++i) {
    const double u = random.uniform();
    lengths.push_back(20 + static_cast<int64_t>(230 * u * u));
  }
  const auto time_wanted_prompts = [&](const std::string& name, const std::vector<int64_t>& of,
                                       int num_times) {
    if (is_wanted(name)) time_prompts(name, of, num_times);
  };
  time_wanted_prompts("64 prompts of 20 to 250", lengths, repetitions);
  time_wanted_prompts("16 prompts of 512", std::vector<int64_t>(16, 512), repetitions);
  time_wanted_prompts("1 prompt of 4096", {4096}, std::max(repetitions / 5, 1));
  const auto time_wanted_decode = [&](int64_t num_rows, int64_t num_slots) {
    if (is_wanted(decode_name(num_rows, num_slots))) {
      time_decode(num_rows, num_slots, 2 * repetitions);
    }
  };
  for (int64_t num_rows : {1, 16, 64}) time_wanted_decode(num_rows, 1000);
  for (int64_t num_rows : {1, 2, 8}) {
    for (int64_t num_slots : {100, 300, 2000, 8000}) time_wanted_decode(num_rows, num_slots);
  }
}
