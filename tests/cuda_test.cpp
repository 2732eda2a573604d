// What computes on a GPU, against the CPU. Where there is none, these tests are skipped.

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>

#include "base/scalar_type.h"
#include "base/upload.h"
#include "model/linear.h"
#include "model/quantized_gpu_product.h"
#include "model/rms_norm.h"
#include "model/rope.h"
#include "model/swiglu.h"
#include "model/turn_and_store.h"
#include "prepack/decode.h"
#include "prepack/error.h"
#include "prepack/prefill.h"
#include "runtime/forward_arrays.h"
#include "runtime/forward_graphs.h"
#include "support/all_close.h"
#include "support/forward_inputs.h"
#include "support/gpu.h"
#include "support/libtorch_twins.h"
#include "support/naive_attention.h"
#include "support/random.h"
#include "support/random_quantized.h"
#include "support/safetensors_writer.h"
#include "support/temp_dir.h"
#include "support/tensors.h"
#include "support/tiny_model.h"
#include "support/tolerances.h"
#include "support/varlen.h"
#include "weights/checkpoint.h"
#include "weights/weight_loader.h"

namespace prepack {
namespace {

using testing::AllClose;
using testing::BitEqual;
using testing::Random;
using testing::random_model;
using testing::random_tensor;
using testing::tiny_configs;
using testing::tolerance;

constexpr DType kDTypes[] = {DType::kFloat32, DType::kBFloat16, DType::kFloat16};
constexpr c10::DeviceType kGpu = c10::kCUDA;

at::Device gpu() { return {kGpu, 0}; }

/// Kullback-Leibler, of the next-token distributions of each row.
at::Tensor divergence(const at::Tensor& expected, const at::Tensor& logits) {
  const auto p = at::log_softmax(expected.cpu(), 1);
  return p.exp().mul(p.sub(at::log_softmax(logits.cpu(), 1))).sum(1);
}

/// Compares next-token distributions in half precision.
void check_same_distributions(const at::Tensor& logits, const at::Tensor& expected, DType dtype) {
  const auto difference = divergence(expected, logits);
  CHECK_THAT(difference,
             AllClose(at::zeros_like(difference), 2 * tolerance(dtype, kGpu).divergence));
}

TEST_CASE("tensors arrive on a GPU as they were", "[cuda]") {
  PREPACK_NEEDS_GPU();
  Random random(1);
  for (int i = 0; i < 100; ++i) {  // pinned memory is used again while copies are under way
    const auto ids = random.integers(random.integer(0, 5000), 0, 1 << 30);
    const auto longs = at::tensor(ids, at::kLong);
    const auto ints = at::tensor(std::vector<int32_t>(ids.begin(), ids.end()), at::kInt);
    const auto uploaded = upload({ints, longs}, gpu());
    REQUIRE_THAT(uploaded[0], BitEqual(ints));
    REQUIRE_THAT(uploaded[1], BitEqual(longs));
  }
}

TEST_CASE("rms_norm on a GPU equals LibTorch's", "[cuda]") {
  PREPACK_NEEDS_GPU();
  Random random(2);
  for (auto dtype : kDTypes) {
    for (int64_t size : {39, 64, 576, 2048, 4096}) {
      CAPTURE(to_string(dtype), size);
      const auto type = to_scalar_type(dtype);
      const auto weight = random_tensor(random, {size}, type);
      const RmsNorm norm{weight.to(gpu()), 1e-5};
      const auto input = random_tensor(random, {33, size}, type);
      CHECK_THAT(norm(input.to(gpu())), AllClose(testing::plain_rms_norm(input, weight, 1e-5),
                                                 3 * tolerance(dtype, kGpu).op));
      const auto heads = random_tensor(random, {17, 5, size}, type);
      const auto on_gpu = heads.to(gpu());
      norm.normalise_heads(on_gpu.narrow(1, 1, 3));
      CHECK_THAT(on_gpu.narrow(1, 1, 3),
                 AllClose(testing::plain_rms_norm(heads.narrow(1, 1, 3), weight, 1e-5),
                          3 * tolerance(dtype, kGpu).op));
      CHECK_THAT(on_gpu.select(1, 0), BitEqual(heads.select(1, 0)));
      CHECK_THAT(on_gpu.select(1, 4), BitEqual(heads.select(1, 4)));
    }
  }
}

TEST_CASE("SwiGLU on a GPU equals LibTorch's operators", "[cuda]") {
  PREPACK_NEEDS_GPU();
  Random random(3);
  for (auto dtype : kDTypes) {
    for (int64_t size : {33, 64, 1536, 8192}) {
      CAPTURE(to_string(dtype), size);
      const auto gate_up = random_tensor(random, {70, 2 * size}, to_scalar_type(dtype)).mul(3);
      const auto gated = at::empty({70, size}, gate_up.options().device(gpu()));
      swiglu(gate_up.to(gpu()), gated);
      CHECK_THAT(gated, AllClose(testing::plain_swiglu(gate_up), 20 * tolerance(dtype, kGpu).op));
    }
  }
}

TEST_CASE("a GPU turns queries and keys, and writes keys and values to the cache", "[cuda]") {
  PREPACK_NEEDS_GPU();
  Random random(4);
  for (auto dtype : kDTypes) {
    for (int64_t head_dim : {10, 64, 80, 128}) {
      CAPTURE(to_string(dtype), head_dim);
      auto config = tiny_configs().front();
      config.head_dim = head_dim;
      const int64_t num_heads = config.num_heads + 2 * config.num_kv_heads;
      const int64_t num_turned = config.num_heads + config.num_kv_heads;
      const auto heads = random_tensor(random, {9, num_heads, head_dim}, to_scalar_type(dtype));
      const RopeTable table{random_tensor(random, {9, head_dim / 2}),
                            random_tensor(random, {9, head_dim / 2})};
      const std::vector<int64_t> slots = {3, 4, 5, 11, -1, 10, 0, 1, 7};
      KvCache cache(config, 3, 4, dtype, gpu());
      const auto on_gpu = heads.to(gpu());
      const RopeTable gpu_table{table.cos.to(gpu()), table.sin.to(gpu())};
      turn_and_store(on_gpu, config.num_heads, &gpu_table, cache, 1,
                     {.tokens = {}, .slots = at::tensor(slots, at::kLong).to(gpu())});
      CHECK_THAT(on_gpu, AllClose(testing::plain_rope(heads, num_turned, table.cos, table.sin),
                                  4 * tolerance(dtype, kGpu).op));
      auto keys = at::zeros_like(cache.keys(1).cpu());
      auto values = at::zeros_like(keys);
      const auto turned = on_gpu.cpu();
      for (size_t token = 0; token < slots.size(); ++token) {
        if (slots[token] < 0) continue;
        const auto of_token = turned[static_cast<int64_t>(token)];
        keys[slots[token]].copy_(of_token.narrow(0, config.num_heads, config.num_kv_heads));
        values[slots[token]].copy_(of_token.narrow(0, num_turned, config.num_kv_heads));
      }
      CHECK_THAT(cache.keys(1), BitEqual(keys));
      CHECK_THAT(cache.values(1), BitEqual(values));
      CHECK_THAT(cache.keys(0), BitEqual(at::zeros_like(keys)));
    }
  }
}

/// Whole prompts, rests, decode steps and what fills a batch up, with keys in any order and gaps.
struct Batch {
  at::Tensor queries;
  at::Tensor keys;
  at::Tensor values;
  VarlenAttention spec;

  Batch(Random& random, int64_t num_kv_heads, int64_t group, int64_t head_dim, bool has_one_query,
        int64_t window, DType dtype) {
    spec = {.cu_seqlens = {0}, .first_keys = {}, .num_keys = {}};
    int64_t num_slots = 3;
    for (int i = 0; i < 9; ++i) {
      const int64_t num_keys = i == 8 ? 0 : random.integer(1, 300);
      const int64_t num_queries = has_one_query ? 1 : i == 8 ? 0 : random.integer(0, num_keys);
      spec.first_keys.push_back(num_keys == 0 ? 0 : num_slots);
      spec.num_keys.push_back(num_keys);
      spec.cu_seqlens.push_back(spec.cu_seqlens.back() + static_cast<int32_t>(num_queries));
      num_slots += num_keys + random.integer(0, 5);
    }
    std::swap(spec.first_keys[1], spec.first_keys[6]);
    std::swap(spec.num_keys[1], spec.num_keys[6]);
    for (size_t i : {1, 6}) {  // so that queries fit again
      spec.num_keys[i] =
          std::max<int64_t>(spec.num_keys[i], spec.cu_seqlens[i + 1] - spec.cu_seqlens[i]);
    }
    num_slots += 300;
    spec.window = window;
    const auto type = to_scalar_type(dtype);
    queries = random_tensor(random, {spec.cu_seqlens.back(), num_kv_heads * group, head_dim}, type);
    keys = random_tensor(random, {num_slots, num_kv_heads, head_dim}, type);
    values = random_tensor(random, {num_slots, num_kv_heads, head_dim}, type);
  }
};

TEST_CASE("attention on a GPU equals its definition, wherever keys lie", "[cuda]") {
  PREPACK_NEEDS_GPU();
  Random random(5);
  for (auto dtype : kDTypes) {
    for (int64_t head_dim : {20, 64, 128}) {
      for (int64_t group : {1, 4}) {
        for (bool has_one_query : {false, true}) {
          for (int64_t window : {kNoWindow, int64_t{33}}) {
            for (auto kernel : {VarlenKernel::kFastest, VarlenKernel::kBySequence}) {
              CAPTURE(to_string(dtype), head_dim, group, has_one_query, window,
                      kernel == VarlenKernel::kFastest);
              Batch batch(random, 2, group, head_dim, has_one_query, window, dtype);
              batch.spec.kernel = kernel;
              const auto expected = testing::naive_attention(
                  batch.queries, batch.keys, batch.values, testing::visible_keys(batch.spec));
              CHECK_THAT(attend(batch.queries.to(gpu()), batch.keys.to(gpu()),
                                batch.values.to(gpu()), batch.spec),
                         AllClose(expected, 2 * tolerance(dtype, kGpu).op));
            }
          }
        }
      }
    }
  }
}

TEST_CASE("a GPU draws the tokens that the CPU draws", "[cuda]") {
  PREPACK_NEEDS_GPU();
  Random random(6);
  for (int64_t vocab_size : {61, 32'000, 128'256}) {
    auto logits = random_tensor(random, {24, vocab_size}).mul(3);
    std::vector<Sampler> on_cpu;
    for (int64_t row = 0; row < logits.size(0); ++row) {
      on_cpu.emplace_back(SamplingParams{.temperature = row % 4 == 0 ? 0.0F : 0.8F,
                                         .top_k = row % 3 == 0 ? 50 : 0,
                                         .top_p = row % 2 == 0 ? 0.9F : 1.0F,
                                         .min_p = row % 5 == 0 ? 0.05F : 0.0F,
                                         .seed = 7},
                          row, TokenIds{});
    }
    auto on_gpu = on_cpu;
    std::vector<Sampler*> cpu_samplers;
    std::vector<Sampler*> gpu_samplers;
    for (size_t row = 0; row < on_cpu.size(); ++row) {
      cpu_samplers.push_back(&on_cpu[row]);
      gpu_samplers.push_back(&on_gpu[row]);
    }
    auto gpu_logits = logits.to(gpu());
    CHECK(sample_rows(gpu_logits, gpu_samplers) == sample_rows(logits, cpu_samplers));
  }
}

/// Shapes that a GPU's attention has a kernel for, beside those of all tests.
std::vector<ModelConfig> gpu_configs() {
  auto configs = tiny_configs();
  for (auto& config : tiny_configs()) {
    config.head_dim = 16;
    config.rotary_dim = config.rotary_dim == 6 ? 8 : 16;
    if (std::holds_alternative<LongRopeScaling>(config.rope.scaling)) continue;
    configs.push_back(config);
  }
  return configs;
}

TEST_CASE("every prefill on a GPU gives the CPU's logits", "[cuda]") {
  PREPACK_NEEDS_GPU();
  uint64_t seed = 0;
  for (const auto& config : gpu_configs()) {
    CAPTURE(++seed, config.num_heads, config.head_dim);
    Random random(seed);
    const auto prompts = random.prompts(random.integers(12, 1, 40), config.vocab_size);
    const auto expected = prefill(random_model(config, seed), prompts, {}, 50).logits;
    for (auto dtype : kDTypes) {
      const auto model = random_model(config, seed, dtype, {}, gpu());
      for (const auto& [name, options] : testing::prefill_variants(prompts)) {
        CAPTURE(to_string(dtype), name);
        const auto logits = prefill(model, prompts, options, 50).logits.cpu();
        if (dtype == DType::kFloat32) {
          CHECK_THAT(logits, AllClose(expected, tolerance(dtype, kGpu).logits));
          continue;
        }
        check_same_distributions(logits, expected, dtype);
      }
    }
  }
}

TEST_CASE("a GPU generates the CPU's tokens in float32", "[cuda]") {
  PREPACK_NEEDS_GPU();
  for (const auto& config : gpu_configs()) {
    CAPTURE(config.num_heads, config.head_dim);
    Random random(8);
    const auto prompts = random.prompts(random.integers(9, 1, 30), config.vocab_size);
    const auto generate = [&](const Model& model) {
      std::vector<DecodeRequest> requests;
      for (size_t i = 0; i < prompts.size(); ++i) {
        requests.push_back(
            {.sampler = Sampler({}, i, {}), .max_new_tokens = 3 + static_cast<int64_t>(i)});
      }
      std::vector<TokenIds> tokens;
      RunStats stats;
      auto state = prefill(model, prompts, {}, 50, &stats);
      for (auto& sequence : decode(model, std::move(state), requests, {}, &stats)) {
        tokens.push_back(std::move(sequence.token_ids));
      }
      CHECK(stats.graph_failure == "");
      return tokens;
    };
    CHECK(generate(random_model(config, 5, DType::kFloat32, {}, gpu())) ==
          generate(random_model(config, 5)));
  }
}

TEST_CASE("in half precision a GPU's decode steps equal the prefill of the longer prompts",
          "[cuda]") {
  PREPACK_NEEDS_GPU();
  for (const auto& config : gpu_configs()) {
    if (config.rope.depends_on_length()) continue;  // keys in the cache keep their frequencies
    CAPTURE(config.num_heads, config.head_dim);
    Random random(9);
    const auto prompts = random.prompts(random.integers(9, 2, 30), config.vocab_size);
    const auto model = random_model(config, 5, DType::kBFloat16, {}, gpu());
    auto state = prefill(model, prompts, {.final_token = FinalToken::kFirstStep}, 50);
    decode_final_tokens(model, state);
    check_same_distributions(state.logits, prefill(model, prompts, {}, 50).logits,
                             DType::kBFloat16);
  }
}

TEST_CASE("graphs replayed with other lengths, numbers and rows compute what eager forwards do",
          "[cuda]") {
  PREPACK_NEEDS_GPU();
  uint64_t seed = 0;
  for (const auto& config : gpu_configs()) {
    for (auto dtype : {DType::kBFloat16, DType::kFloat16}) {
      const auto model = random_model(config, ++seed, dtype, {}, gpu());
      KvCache cache(config, 12, 80, dtype, gpu());
      KvCache eager_cache(config, 12, 80, dtype, gpu());
      const auto graphs = make_forward_graphs(model, cache);
      const bool can_be_recorded = config.head_dim % 8 == 0 && !config.rope.depends_on_length();
      CHECK((graphs != nullptr) == can_be_recorded);
      if (graphs == nullptr) continue;
      CAPTURE(seed, config.num_heads, config.head_dim, to_string(dtype));
      Random random(seed);
      const auto check = [&](const ForwardInput& input) {
        const auto logits = graphs->compute(input).clone();
        check_same_distributions(
            logits, model.compute_logits(model.forward(to_device(input, gpu()), eager_cache)),
            dtype);
      };
      for (int i = 0; i < 12; ++i) {
        std::vector<int64_t> lengths;
        for (int64_t rest = random.integer(112, 120); rest > 0; rest -= lengths.back()) {
          lengths.push_back(std::min(rest, random.integer(15, 60)));
        }
        check(testing::prompt_input(random.prompts(lengths, config.vocab_size), cache));
      }
      CHECK(graphs->stats().graph_failure == "");
      CHECK(graphs->stats().num_replays >= 6);
      const int64_t before = graphs->stats().num_replays;
      for (int i = 0; i < 12; ++i) {
        std::vector<int64_t> rows = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
        random.shuffle(rows);
        rows.resize(random.integer(9, 10));
        check(testing::step_input(rows, random.integers(std::ssize(rows), 0, 79), cache, random,
                                  config.vocab_size));
      }
      CHECK(graphs->stats().num_replays == before + 10);
    }
  }
}

/// Every kind of quantized weight that a GPU has a kernel for.
constexpr PackedFormat kFormats[] = {{},
                                     {8, 16, DType::kFloat16, false},
                                     {8, 32, DType::kFloat32, true},
                                     {4, 32, DType::kFloat16, true},
                                     {4, 128, DType::kFloat32, true}};

TEST_CASE("a GPU's products with quantized weights are those with what they stand for", "[cuda]") {
  PREPACK_NEEDS_GPU();
  Random random(11);
  for (auto dtype : kDTypes) {
    const auto type = to_scalar_type(dtype);
    for (const auto& format : kFormats) {
      for (int64_t num_rows : {1, 2, 3, 8, 16, 17, 300}) {
        CAPTURE(to_string(dtype), format.bits, format.group_size, num_rows);
        const int64_t in_features = 128 * random.integer(1, 9);
        const int64_t out_features = 8 * random.integer(1, 90);
        const auto weight = testing::random_quantized(random, out_features, in_features, format);
        const auto wide = weight.dequantize().to(at::kDouble);
        const auto bias = random_tensor(random, {out_features}, type);
        const auto x = random_tensor(random, {num_rows, in_features}, type);
        auto sum = random_tensor(random, {num_rows, out_features}, type);
        const auto product = x.to(at::kDouble).mm(wide.t()).add_(bias);
        const auto expected = product.add(sum);
        const double size = std::sqrt(static_cast<double>(in_features));
        sum = sum.to(gpu());
        Linear linear{weight.to(gpu()), bias.to(gpu())};
        linear.add_to(x.to(gpu()), sum);
        CHECK_THAT(sum, AllClose(expected, size * 8 * tolerance(dtype, kGpu).op));
        std::get<QuantizedWeight>(linear.weight).activations = Activations::kInt8;
        const bool is_rounded = format.bits == 8 && format.group_size == 0 && num_rows > 16;
        CHECK_THAT(linear(x.to(gpu())), AllClose(product, size * (8 * tolerance(dtype, kGpu).op +
                                                                  (is_rounded ? 0.06 : 0.0))));
      }
    }
  }
}

TEST_CASE("slices of a GPU's products are written, or added, where they belong", "[cuda]") {
  PREPACK_NEEDS_GPU();
  Random random(13);
  for (auto dtype : kDTypes) {
    const auto type = to_scalar_type(dtype);
    for (const auto& format : kFormats) {
      for (auto activations : {Activations::kAsComputed, Activations::kInt8}) {
        CAPTURE(to_string(dtype), format.bits, format.group_size, to_string(activations));
        auto weight = testing::random_quantized(random, 600, 128, format);
        weight.activations = activations;
        const auto bias = random_tensor(random, {600}, type);
        const auto x = random_tensor(random, {40, 128}, type);
        auto expected = x.to(at::kDouble).mm(weight.dequantize().to(at::kDouble).t()).add_(bias);
        const bool is_rounded =
            activations == Activations::kInt8 && has_integer_gpu_product(weight);
        const double allowed =
            std::sqrt(128.0) * (8 * tolerance(dtype, kGpu).op + (is_rounded ? 0.06 : 0.0));
        const auto all = at::full({40, 700}, NAN, x.options().device(gpu()));
        const auto out = all.narrow(1, 16, 600);
        const auto there = weight.to(gpu());
        for (bool adds : {false, true}) {
          quantized_gpu_product(cuda_half(), x.to(gpu()), there, bias.to(gpu()), out, adds,
                                /*slice_bytes=*/1);
          CHECK_THAT(out, AllClose(expected, adds ? 2 * allowed : allowed));
          CHECK(all.isnan().sum().item<int64_t>() == 100 * 40);  // beside it
          expected.mul_(2);
        }
      }
    }
  }
}

TEST_CASE("a model of quantized weights has the CPU's logits on a GPU, eager and replayed",
          "[cuda]") {
  PREPACK_NEEDS_GPU();
  uint64_t seed = 20;
  for (auto config : gpu_configs()) {
    if (config.head_dim == 16) {  // rows of whole groups, and of whole chunks of 16 bytes
      config.hidden_size = 64;
      config.intermediate_size = 96;
    }
    for (const auto& quantization :
         {Quantization{.bits = 8}, Quantization{.bits = 4, .group_size = 32}}) {
      CAPTURE(++seed, config.num_heads, config.head_dim, quantization.bits);
      auto activations = Activations::kAsComputed;
      const auto quantized = [&](const at::Tensor& weight) {
        auto rounded = QuantizedWeight::make_empty(weight.size(0), weight.size(1), quantization);
        REQUIRE(rounded.quantize_rows(0, weight.to(at::kCPU, at::kFloat)));
        rounded.activations = activations;
        return Weight(rounded.to(weight.device()));
      };
      Random random(seed);
      const auto lengths = random.integers(12, 1, 40);
      const auto prompts = random.prompts(lengths, config.vocab_size);
      const auto expected =
          prefill(random_model(config, seed, DType::kFloat32, quantized), prompts, {}, 50).logits;
      const auto model = random_model(config, seed, DType::kFloat32, quantized, gpu());
      for (const auto& [name, options] : testing::prefill_variants(prompts)) {
        CAPTURE(name);
        CHECK_THAT(prefill(model, prompts, options, 50).logits,
                   AllClose(expected, tolerance(DType::kFloat32, kGpu).logits));
      }
      activations = Activations::kInt8;
      const auto half = random_model(config, seed, DType::kBFloat16, quantized, gpu());
      KvCache cache(config, 12, 80, DType::kBFloat16, gpu());
      const auto graphs = make_forward_graphs(half, cache);
      if (graphs == nullptr) continue;
      const auto check_replays = [&](const ForwardInput& input) {
        const auto eager = graphs->compute(input).clone();
        graphs->compute(input);  // filled up; the next one is recorded
        for (int i = 0; i < 2; ++i) {
          check_same_distributions(graphs->compute(input), eager, DType::kBFloat16);
        }
      };
      check_replays(testing::prompt_input(prompts, cache));
      check_replays(testing::step_input({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, lengths, cache,
                                        random, config.vocab_size));
      CHECK(graphs->stats().graph_failure == "");
      CHECK(graphs->stats().num_replays == 4);
    }
  }
}

TEST_CASE("weights are quantized on their way to a GPU", "[cuda]") {
  PREPACK_NEEDS_GPU();
  Random random(12);
  const auto weight = random_tensor(random, {24, 96});
  const testing::TempDir folder;
  const auto rows = [&](int64_t first, int64_t count) {
    const auto part = weight.narrow(0, first, count);
    return testing::TensorToWrite{
        "F32", part.sizes().vec(),
        std::string(static_cast<const char*>(part.const_data_ptr()), part.nbytes())};
  };
  folder.write("model.safetensors", testing::aligned_safetensors_bytes(
                                        {{"first", rows(0, 8)}, {"second", rows(8, 16)}}));
  const auto checkpoint = Checkpoint::open_folder(folder.path());
  for (const auto& quantization :
       {Quantization{.bits = 8}, Quantization{.bits = 4, .group_size = 32}}) {
    Weight loaded;
    WeightLoader loader(checkpoint, at::kBFloat16, gpu());
    loader.bind_quantized_rows(loaded, {{"first", 8}, {"second", 16}}, 96, quantization);
    loader.load();
    auto expected = QuantizedWeight::make_empty(24, 96, quantization);
    REQUIRE(expected.quantize_rows(0, weight));
    const auto& quantized = std::get<QuantizedWeight>(loaded);
    CHECK_THAT(quantized.values, BitEqual(expected.values));
    CHECK_THAT(quantized.scales, BitEqual(expected.scales));
    CHECK(loader.nbytes() == nbytes(loaded));
    const auto ids = at::tensor({3, 0, 23}, at::kLong);
    CHECK_THAT(embed(loaded, ids.to(gpu())),
               AllClose(expected.dequantize().index_select(0, ids), 1e-6));
  }
}

TEST_CASE("caches that do not fit a GPU are an error of their own", "[cuda]") {
  PREPACK_NEEDS_GPU();
  const auto config = tiny_configs().front();
  const auto model = random_model(config, 1, DType::kFloat32, {}, gpu());
  Random random(10);
  const auto prompts = random.prompts({3, 4}, config.vocab_size);
  CHECK_THROWS_AS(prefill(model, prompts, {}, int64_t{1} << 36), OutOfMemory);
  CHECK(prefill(model, prompts, {}, 10).logits.isfinite().all().item<bool>());  // nothing is kept
}

}  // namespace
}  // namespace prepack
