#include "bench/useful_work.h"

#include <cmath>
#include <vector>

#include "bench/ceilings.h"
#include "model/product_shapes.h"
#include "prepack/kv_cache.h"
#include "prepack/prefill.h"
#include "support/catch.h"
#include "support/tiny_model.h"

namespace prepack::bench {
namespace {

using Lengths = std::vector<int64_t>;

/// Products of one token in one layer: 2 * (3 * (4 + 2 + 2) + 4 * 3 + 3 * 10 + 5 * 3) = 162
/// operations, of which its key and value 2 * 3 * 4 = 24. Attention: 4 * 4 = 16 operations for each
/// pair. Logits of a token: 2 * 3 * 7 = 42.
ModelConfig small_config(int64_t num_layers) {
  ModelConfig config;
  config.vocab_size = 7;
  config.hidden_size = 3;
  config.intermediate_size = 5;
  config.num_layers = num_layers;
  config.num_heads = 2;
  config.num_kv_heads = 1;
  config.head_dim = 2;
  return config;
}

TEST_CASE("a prompt of one token needs every product once", "[useful_work]") {
  CHECK(prefill_operations(small_config(1), Lengths{1}) == 162 + 16 + 42);
  CHECK(prefill_operations(small_config(4), Lengths{1}) == 4 * (162 + 16) + 42);
}

TEST_CASE("of the last layer a prompt needs keys and values, and its final token",
          "[useful_work]") {
  // 3 tokens: 6 pairs in a whole layer; 3 keys and values, the rest of one token, and its 3 pairs
  // in the last.
  const double last = 3 * 24 + (162 - 24) + 3 * 16 + 42;
  CHECK(prefill_operations(small_config(1), Lengths{3}) == last);
  CHECK(prefill_operations(small_config(2), Lengths{3}) == 3 * 162 + 6 * 16 + last);
}

TEST_CASE("prompts are counted each by itself, without padding", "[useful_work]") {
  const auto config = small_config(3);
  const double one = prefill_operations(config, Lengths{1});
  const double five = prefill_operations(config, Lengths{5});
  CHECK(prefill_operations(config, Lengths{5, 1, 1}) == five + 2 * one);
  CHECK(prefill_operations(config, Lengths{5, 5, 5}) == 3 * five);
}

TEST_CASE("long prompts need what the cost of a packed prompt says", "[useful_work]") {
  auto config = small_config(200);  // of which the last hardly counts
  const auto cost = prefill_cost(config);
  const double n = 3000;
  const double expected = cost.linear * n + cost.quadratic * n * n;
  CHECK(std::abs(prefill_operations(config, Lengths{3000}) / expected - 1) < 0.01);
}

TEST_CASE("a decode step needs all products of its tokens and attention to all keys",
          "[useful_work]") {
  // The first step's tokens attend to 4 and 2 keys, the second's to 5 and 3.
  const auto config = small_config(2);
  CHECK(decode_operations(config, Lengths{3, 1}, 1) == 2 * (2 * 162 + 42) + (4 + 2) * 2 * 16);
  CHECK(decode_operations(config, Lengths{3, 1}, 2) ==
        4 * (2 * 162 + 42) + (4 + 2 + 5 + 3) * 2 * 16);
  CHECK(decode_operations(config, Lengths{3, 1}, 0) == 0);
}

TEST_CASE("a decode step reads the weights once and each sequence's keys", "[useful_work]") {
  const auto config = small_config(2);
  const double slot = 2 * 2 * 2 * 4;  // keys and values of 2 layers, one head of 2 floats
  const auto bytes = [&](const Lengths& lengths, int64_t steps) {
    return decode_bytes(config, DType::kFloat32, 1000, lengths, steps);
  };
  CHECK(bytes({3}, 1) == 1000 + 4 * slot);
  CHECK(bytes({3, 1}, 2) == 2 * 1000 + (4 + 2 + 5 + 3) * slot);
  // The cache holds what is computed in.
  CHECK(decode_bytes(config, DType::kBFloat16, 1000, Lengths{3}, 1) == 1000 + 4 * slot / 2);
}

TEST_CASE("a decode step reads all weights but an embedding table of its own", "[useful_work]") {
  for (const auto& config : testing::tiny_configs()) {
    for (const auto dtype : {DType::kFloat32, DType::kBFloat16}) {
      const auto model = testing::random_model(config, 1, dtype);
      CHECK(model.weight_bytes() == config.num_parameters() * element_size(dtype));
      const int64_t unread =
          config.tie_word_embeddings ? 0 : config.vocab_size * config.hidden_size;
      CHECK(model.step_weight_bytes() == model.weight_bytes() - unread * element_size(dtype));
    }
  }
}

TEST_CASE("layers with a sliding window need no keys before it", "[useful_work]") {
  auto config = small_config(2);
  const auto without = [&](auto count) {
    auto whole = config;
    whole.sliding_windows.clear();
    return count(whole);
  };
  config.sliding_windows = {2, std::nullopt};
  const auto prefill = [](const ModelConfig& c) { return prefill_operations(c, Lengths{4}); };
  // Of 1 + 2 + 3 + 4 pairs 1 + 2 + 2 + 2 are left; the last layer has no window.
  CHECK(prefill(config) == without(prefill) - 3 * 16);
  config.sliding_windows = {std::nullopt, 3};
  CHECK(prefill(config) == without(prefill) - 1 * 16);
  config.sliding_windows = {9, 9};
  CHECK(prefill(config) == without(prefill));

  // Steps with 4 and 5 keys, of which one layer reads 2.
  config.sliding_windows = {2, std::nullopt};
  const auto decode = [](const ModelConfig& c) { return decode_operations(c, Lengths{3}, 2); };
  CHECK(decode(config) == without(decode) - (2 + 3) * 16);
  const auto bytes = [](const ModelConfig& c) {
    return decode_bytes(c, DType::kFloat32, 1000, Lengths{3}, 2);
  };
  CHECK(bytes(config) == without(bytes) - (2 + 3) * 2 * 2 * 4);
}

TEST_CASE("the products whose ceiling is measured are those of a layer", "[ceilings]") {
  for (const auto& config : testing::tiny_configs()) {
    double operations = 0;
    for (const auto& [out_features, in_features] : layer_products(config)) {
      operations += 2 * static_cast<double>(out_features * in_features);
    }
    CHECK(operations * static_cast<double>(config.num_layers) == prefill_cost(config).linear);
  }
}

TEST_CASE("the higher ceiling counts, with the rows that it was measured with", "[ceilings]") {
  const Ceilings a{.operations_per_s = 5, .num_rows = 512, .bytes_per_s = 1};
  const Ceilings b{.operations_per_s = 3, .num_rows = 2048, .bytes_per_s = 4};
  for (const auto& best : {best_of(a, b), best_of(b, a)}) {
    CHECK(best.operations_per_s == 5);
    CHECK(best.num_rows == 512);
    CHECK(best.bytes_per_s == 4);
  }
}

TEST_CASE("measured ceilings are what a machine can do", "[ceilings]") {
  // A compiler that left the work out would give speeds beyond any processor's, a wrong unit ones
  // below them.
  auto config = testing::tiny_configs().front();
  config.hidden_size = 256;
  config.intermediate_size = 512;
  const auto ceilings = measure_ceilings(config, DType::kFloat32, at::kCPU);
  CHECK(ceilings.operations_per_s > 1e7);
  CHECK(ceilings.operations_per_s < 1e15);
  CHECK(ceilings.bytes_per_s > 1e8);
  CHECK(ceilings.bytes_per_s < 1e13);
  CHECK((ceilings.num_rows == 512 || ceilings.num_rows == 1024 || ceilings.num_rows == 2048));
}

}  // namespace
}  // namespace prepack::bench
