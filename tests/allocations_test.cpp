// What a forward asks LibTorch's allocator for: memory for its tokens, and none for its layers.

#include <cstdint>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "kernels/many_rows.h"
#include "model/weight.h"
#include "prepack/decode.h"
#include "prepack/prefill.h"
#include "support/catch.h"
#include "support/forward_inputs.h"
#include "support/tiny_model.h"
#include "support/watched_allocator.h"

namespace prepack {
namespace {

struct Allocations {
  int64_t count = 0;
  size_t num_bytes = 0;

  bool operator==(const Allocations&) const = default;
};

/// Of what is asked for while `work` runs.
Allocations allocations_of(const std::function<void()>& work) {
  Allocations sum;
  testing::WatchedAllocator memory;
  memory.set_watch([&](size_t num_bytes) {
    ++sum.count;
    sum.num_bytes += num_bytes;
  });
  work();
  return sum;
}

std::function<Weight(const at::Tensor&)> rounded_to(int bits, Activations activations) {
  return [=](const at::Tensor& weight) -> Weight {
    auto rounded =
        QuantizedWeight::make_empty(weight.size(0), weight.size(1), Quantization{.bits = bits});
    REQUIRE(rounded.quantize_rows(0, weight.contiguous()));
    rounded.activations = activations;
    return rounded;
  };
}

struct Storage {
  const char* name;
  std::function<Weight(const at::Tensor&)> store;
};

std::vector<Storage> storages() {
  return {{"float32", {}},
          {"bfloat16", [](const at::Tensor& weight) { return weight.to(at::kBFloat16); }},
          {"int8", rounded_to(8, Activations::kAsComputed)},
          {"int4", rounded_to(4, Activations::kAsComputed)},
          {"int8 times int8", rounded_to(8, Activations::kInt8)},
          {"int4 times int8", rounded_to(4, Activations::kInt8)},
          {"int4 times int16", rounded_to(4, Activations::kInt16)}};
}

/// Of a forward of three prompts, and of the steps after it.
std::pair<Allocations, Allocations> allocations_of_model(const Storage& storage, int64_t num_layers,
                                                         int64_t prompt_len) {
  constexpr int64_t kNewTokens = 8;
  auto config = testing::in_whole_groups(testing::tiny_configs().front());
  config.num_layers = num_layers;
  const auto model = testing::random_model(config, 1, DType::kFloat32, storage.store);
  const std::vector<TokenIds> prompts(3, TokenIds(prompt_len, 7));
  KvCache cache(config, 3, prompt_len, DType::kFloat32, at::kCPU);
  const auto input = testing::prompt_input(prompts, cache);
  const auto forward = [&] { model.compute_logits(model.forward(input, cache)); };
  const auto decode_prompts = [&](DecodeState state) {
    std::vector<DecodeRequest> requests(3, {Sampler({}, 0, {}), kNewTokens});
    decode(model, std::move(state), requests, {});
  };
  const auto prefilled = [&] { return prefill(model, prompts, {}, prompt_len + kNewTokens); };
  // What kernels keep for later calls is there then.
  forward();
  decode_prompts(prefilled());
  auto state = prefilled();
  return {allocations_of(forward), allocations_of([&] { decode_prompts(std::move(state)); })};
}

TEST_CASE("layers take no memory of their own", "[allocations]") {
  for (const auto& storage : storages()) {
    for (const int64_t prompt_len : {2, 20, 100}) {
      CAPTURE(storage.name, prompt_len);
      // What LibTorch's products take for themselves is theirs to say.
      if (!has_fast_many_rows() && prompt_len == 100) continue;
      const auto [forward, steps] = allocations_of_model(storage, 2, prompt_len);
      // What becomes of the tokens' gates and ups is held.
      const auto num_tokens = static_cast<size_t>(3 * prompt_len);
      CHECK(forward.num_bytes > num_tokens * 192 * sizeof(float));
      CHECK(forward.count < 30);
      CHECK(steps.count > 0);
      CHECK(steps.count < 7 * 30);
      CHECK((allocations_of_model(storage, 6, prompt_len) == std::pair(forward, steps)));
    }
  }
}

}  // namespace
}  // namespace prepack
