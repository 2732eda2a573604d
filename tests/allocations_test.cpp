// What a forward takes memory for: its tokens, and never its layers.

#include <atomic>
#include <functional>
#include <utility>
#include <vector>

#include "model/weight.h"
#include "prepack/decode.h"
#include "prepack/prefill.h"
#include "support/catch.h"
#include "support/forward_inputs.h"
#include "support/random.h"
#include "support/tiny_model.h"
#include "support/watched_allocator.h"

namespace prepack {
namespace {

using testing::prompt_input;
using testing::Random;
using testing::random_model;

/// How often LibTorch is asked for memory while `work` runs.
int64_t allocations_of(const std::function<void()>& work) {
  std::atomic<int64_t> count = 0;
  testing::WatchedAllocator memory;
  memory.set_watch([&](size_t) { ++count; });
  work();
  return count;
}

ModelConfig config_of(int64_t num_layers) {
  auto config = testing::in_whole_groups(testing::tiny_configs().front());
  config.num_layers = num_layers;
  return config;
}

std::function<Weight(const at::Tensor&)> stored_in(int bits, Activations activations) {
  return [=](const at::Tensor& weight) -> Weight {
    auto stored = QuantizedWeight::make_empty(weight.size(0), weight.size(1),
                                              Quantization{.bits = bits, .group_size = 32});
    REQUIRE(stored.quantize_rows(0, weight.contiguous()));
    stored.activations = activations;
    return stored;
  };
}

/// Ways to hold weights whose products are this library's own at any number of rows.
struct Storage {
  const char* name;
  std::function<Weight(const at::Tensor&)> store;
};

std::vector<Storage> storages() {
  return {{"float32", {}},
          {"int8", stored_in(8, Activations::kAsComputed)},
          {"int4", stored_in(4, Activations::kAsComputed)},
          {"int8 times int8", stored_in(8, Activations::kInt8)},
          {"int4 times int8", stored_in(4, Activations::kInt8)},
          {"int4 times int16", stored_in(4, Activations::kInt16)}};
}

TEST_CASE("layers take no memory of their own", "[allocations]") {
  Random random(5);
  for (const auto& [name, store] : storages()) {
    CAPTURE(name);
    // Allocations of a prefill and of the steps after it.
    const auto count = [&](int64_t num_layers, int64_t prompt_len) {
      const auto config = config_of(num_layers);
      const auto model = random_model(config, 1, DType::kFloat32, store);
      const std::vector<TokenIds> prompts(3, TokenIds(prompt_len, 7));
      KvCache cache(config, 3, prompt_len, DType::kFloat32, at::kCPU);
      const auto input = prompt_input(prompts, cache);
      const auto run = [&] { model.compute_logits(model.forward(input, cache)); };
      run();  // what kernels keep is there then
      const int64_t of_forward = allocations_of(run);
      auto state = prefill(model, prompts, {}, prompt_len + 8);
      std::vector<DecodeRequest> requests(3, {Sampler({}, 0, {}), 8});
      const int64_t of_steps =
          allocations_of([&] { decode(model, std::move(state), requests, {}); });
      return std::pair(of_forward, of_steps);
    };
    for (int64_t prompt_len : {2, 20, 100}) {
      CAPTURE(prompt_len);
      const auto [forward, steps] = count(2, prompt_len);
      CHECK(forward > 0);
      CHECK(forward < 30);
      CHECK(steps > 0);
      CHECK(steps < 7 * 30);
      CHECK(count(6, prompt_len) == std::pair(forward, steps));
    }
  }
}

}  // namespace
}  // namespace prepack
