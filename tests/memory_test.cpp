#include "prepack/memory.h"

#include <optional>
#include <utility>
#include <vector>

#include "kernels/many_rows.h"
#include "model/layer_buffers.h"
#include "model/native_products.h"
#include "model/packed_product.h"
#include "model/quantized_gpu_product.h"
#include "model/wide_product.h"
#include "prepack/device.h"
#include "support/catch.h"
#include "support/tiny_model.h"

namespace prepack {
namespace {

constexpr PrefillMethod kMethods[] = {PrefillMethod::kPacked, PrefillMethod::kPackedRows,
                                      PrefillMethod::kPadded};

ModelConfig config() { return testing::tiny_configs().front(); }

constexpr BatchShape kShape{
    .num_prompts = 5, .cache_slots = 350, .max_forward_tokens = 300, .max_mask_elements = 20'000};

TEST_CASE("the total is the sum of the estimate's parts", "[memory]") {
  const auto estimate = estimate_memory(config(), DType::kFloat32, at::kCPU, kShape);
  CHECK(estimate.total() == estimate.weights + estimate.cache + estimate.activations +
                                estimate.logits + estimate.libraries);
  for (auto part : {estimate.weights, estimate.cache, estimate.activations, estimate.logits,
                    estimate.libraries}) {
    CHECK(part > 0);
  }
}

TEST_CASE("weights and cache take the bytes of their elements", "[memory]") {
  for (auto dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
    const auto estimate = estimate_memory(config(), dtype, at::kCPU, kShape);
    CHECK(estimate.weights == config().num_parameters() * element_size(dtype));
    // 3 layers of keys and values in 2 heads of 10.
    CHECK(estimate.cache == 350 * (3 * 2 * 2 * 10) * element_size(dtype));
  }
}

TEST_CASE("weights stored in fewer bytes than they are computed in take those, on a CPU",
          "[memory]") {
  auto stored_half = config();
  stored_half.dtype = DType::kBFloat16;
  const auto weights = [&](DType dtype, at::Device device) {
    return estimate_memory(stored_half, dtype, device, kShape).weights;
  };
  CHECK(weights(DType::kFloat32, at::kCPU) == 2 * stored_half.num_parameters());
  CHECK(weights(DType::kFloat16, at::kCPU) == 2 * stored_half.num_parameters());
  CHECK(weights(DType::kFloat32, at::kCUDA) == 4 * stored_half.num_parameters());
}

TEST_CASE("embeddings that stay in the file take memory for the tokens that are read", "[memory]") {
  auto large = config();
  large.vocab_size = 100'000;
  large.hidden_size = 1'000;
  large.dtype = DType::kBFloat16;
  large.tie_word_embeddings = false;
  const int64_t all = estimate_memory(large, DType::kBFloat16, at::kCPU, kShape).weights;
  const auto unread = [&](DType dtype, at::Device device, int64_t num_tokens) {
    auto shape = kShape;
    const int64_t all_read = estimate_memory(large, dtype, device, shape).weights;
    shape.num_tokens = num_tokens;
    return all_read - estimate_memory(large, dtype, device, shape).weights;
  };
  CHECK(all == 2 * large.num_parameters());
  CHECK(unread(DType::kBFloat16, at::kCPU, 0) == 200'000'000);
  CHECK(unread(DType::kBFloat16, at::kCPU, 100) == 200'000'000 - 100 * 65'536);
  CHECK(unread(DType::kFloat32, at::kCPU, 100) == 200'000'000 - 100 * 65'536);
  CHECK(unread(DType::kBFloat16, at::kCPU, 100'000) == 0);
  // Copies.
  CHECK(unread(DType::kFloat16, at::kCPU, 100) == 0);
  CHECK(unread(DType::kBFloat16, at::kCUDA, 100) == 0);
  large.has_quantized_tensors = true;
  CHECK(unread(DType::kBFloat16, at::kCPU, 100) == 0);
  large.has_quantized_tensors = false;
  large.tie_word_embeddings = true;  // read as a whole for logits
  CHECK(unread(DType::kBFloat16, at::kCPU, 100) == 0);
}

TEST_CASE("what is known of weights and program takes the place of what is guessed", "[memory]") {
  const auto estimate = [](int64_t tokens, at::Device device, const KnownBytes& known) {
    return estimate_memory(config(), DType::kFloat32, device, {.max_forward_tokens = tokens}, {},
                           known);
  };
  CHECK(estimate(1, at::kCPU, {.weights = 12345}).weights == 12345);
  const KnownBytes known{.program = 100'000'000};
  const int64_t of_one = estimate(1, at::kCPU, known).libraries;
  CHECK(of_one > 100'000'000);  // and what the first forward adds
  CHECK(estimate(1, at::kCPU, {.program = 200'000'000}).libraries == of_one + 100'000'000);
  const KnownBytes no_tokenizer{.program = 100'000'000, .has_tokenizer = false};
  CHECK(estimate(1, at::kCPU, no_tokenizer).libraries == of_one + 300 * config().vocab_size);
  // Buffers of products of many tokens, which do not grow with them.
  const int64_t of_many = estimate(1'000'000, at::kCPU, known).libraries;
  CHECK(of_many > of_one);
  CHECK(estimate(2'000'000, at::kCPU, known).libraries == of_many);
  CHECK(estimate(1000, at::kCUDA, known).libraries == of_one);
}

TEST_CASE("resident memory grows with what is written, and its peak stays", "[memory]") {
  constexpr int64_t kSize = int64_t{64} << 20;
  const int64_t before = resident_memory();
  int64_t with = 0;
  {
    const std::vector<char> bytes(kSize, 'x');
    with = resident_memory();
    CHECK(bytes.back() == 'x');
  }
  CHECK(before > 0);
  CHECK(with >= before + kSize / 2);  // some of it may have been there and free
  CHECK(peak_resident_memory() >= with - (int64_t{1} << 20));  // counted a little apart
}

TEST_CASE("the cache grows with the slots that take memory, and with nothing else", "[memory]") {
  const auto cache = [](BatchShape shape) {
    return estimate_memory(config(), DType::kFloat32, at::kCPU, shape).cache;
  };
  auto larger = kShape;
  larger.cache_slots *= 2;
  CHECK(cache(larger) == 2 * cache(kShape));
  larger.num_prompts *= 2;
  larger.max_forward_tokens *= 2;
  larger.max_mask_elements *= 2;
  CHECK(cache(larger) == 2 * cache(kShape));
}

TEST_CASE("activations grow with the tokens of a forward and with its mask", "[memory]") {
  const auto activations = [](int64_t tokens, int64_t mask_elements) {
    auto shape = kShape;
    shape.max_forward_tokens = tokens;
    shape.max_mask_elements = mask_elements;
    return estimate_memory(config(), DType::kFloat32, at::kCPU, shape).activations;
  };
  CHECK(activations(0, 0) == 0);
  CHECK(activations(600, 0) == 2 * activations(300, 0));
  CHECK(activations(0, 600) == 2 * activations(0, 300));
  CHECK(activations(300, 600) == activations(300, 0) + activations(0, 600));
}

TEST_CASE("what products keep is counted, and no more for jobs of many tokens", "[memory]") {
  const auto kept = [](int64_t tokens) {
    const BatchShape shape{.max_forward_tokens = tokens};
    return estimate_memory(config(), DType::kFloat32, at::kCPU, shape, {}, {.program = 0})
        .libraries;
  };
  CHECK(kept(16) < kept(600));
  CHECK(kept(3'000'000) == kept(30'000'000));
  if (!has_fast_many_rows()) return;
  CHECK(kept(max_stored_rows()) < kept(max_stored_rows() + 1));
  CHECK(kept(600) - kept(16) >=
        packed_rows_bytes(600, config().intermediate_size, DType::kFloat32));
}

TEST_CASE("dense masks are counted once for each length of sliding window", "[memory]") {
  const auto mask_bytes = [](std::vector<std::optional<int64_t>> windows, int64_t mask_elements,
                             int64_t row_len) {
    auto windowed = config();
    windowed.sliding_windows = std::move(windows);
    const BatchShape shape{.max_mask_elements = mask_elements, .max_row_len = row_len};
    return estimate_memory(windowed, DType::kFloat32, at::kCPU, shape).activations;
  };
  // In bool each, and one in float32 at a time.
  CHECK(mask_bytes({}, 1000, 10) == 5 * 1000);
  CHECK(mask_bytes({7, std::nullopt, 7}, 1000, 10) == 6 * 1000);
  CHECK(mask_bytes({7, 8, std::nullopt}, 1000, 10) == 7 * 1000);
  // Whole rows need a mask for windows alone, the same for all of them.
  CHECK(mask_bytes({}, 0, 10) == 0);
  CHECK(mask_bytes({7, std::nullopt, 7}, 0, 10) == 6 * 10 * 10);
}

TEST_CASE("a token's row of the mask counts among its activations", "[memory]") {
  const auto without = activation_bytes_per_token(config(), DType::kFloat32, at::kCPU, 0);
  // One mask of one row: row_len tokens, row_len^2 elements.
  const int64_t row_len = 33;
  auto shape = kShape;
  shape.max_forward_tokens = row_len;
  shape.max_mask_elements = row_len * row_len;
  shape.max_row_len = row_len;
  CHECK(row_len * activation_bytes_per_token(config(), DType::kFloat32, at::kCPU, row_len) ==
        estimate_memory(config(), DType::kFloat32, at::kCPU, shape).activations);
  CHECK(activation_bytes_per_token(config(), DType::kFloat32, at::kCPU, row_len) > without);
}

TEST_CASE("tensors that stay quantized are multiplied in float32 if the dtype is float16",
          "[memory]") {
  auto packed = config();
  packed.has_quantized_tensors = true;
  const auto bytes = [](const ModelConfig& of, at::Device device, const Rounding& rounding = {}) {
    return estimate_memory(of, DType::kFloat16, device, kShape, rounding).activations;
  };
  // As with those that are quantized when they are loaded.
  CHECK(bytes(packed, at::kCPU) == bytes(config(), at::kCPU, {.quantization = Quantization{}}));
  CHECK(bytes(packed, at::kCPU) >
        kShape.max_forward_tokens *
            activation_bytes_per_token(packed, DType::kFloat16, at::kCPU, /*row_len=*/0));
  // A GPU widens slices of them, and has products of float16.
  const int64_t most = kGpuSliceBytes + config().hidden_size * 256 * 2;
  CHECK(bytes(packed, at::kCUDA) > bytes(config(), at::kCUDA));
  CHECK(bytes(packed, at::kCUDA) <= bytes(config(), at::kCUDA) + most);
}

TEST_CASE("products of integers on a GPU are counted with the rows that they round", "[memory]") {
  auto shape = kShape;
  shape.max_forward_tokens = 5000;
  const auto bytes = [&](Activations activations) {
    return estimate_memory(config(), DType::kBFloat16, at::kCUDA, shape,
                           {Quantization{}, activations})
        .activations;
  };
  CHECK(bytes(Activations::kInt8) >=
        bytes(Activations::kAsComputed) + shape.max_forward_tokens * config().intermediate_size);
}

TEST_CASE("tensors that stay quantized are multiplied in bfloat16 where the CPU can", "[memory]") {
  auto packed = config();
  packed.has_quantized_tensors = true;
  const auto bytes = [](const ModelConfig& of) {
    return estimate_memory(of, DType::kBFloat16, at::kCPU, kShape).activations;
  };
  CHECK(bytes(packed) == bytes(config()));  // without such instructions plain ones are widened, too
}

TEST_CASE("products that round their input make no copies in float32", "[memory]") {
  auto shape = kShape;
  const auto bytes = [&](Activations activations) {
    return estimate_memory(config(), DType::kFloat16, at::kCPU, shape,
                           {Quantization{}, activations})
        .activations;
  };
  for (auto activations : {Activations::kInt8, Activations::kInt16}) {
    CHECK(bytes(activations) < bytes(Activations::kAsComputed));
  }
  // They are made of slices: of more tokens they take no more.
  const auto of_copies = [&](int64_t num_tokens) {
    shape.max_forward_tokens = num_tokens;
    return bytes(Activations::kAsComputed) -
           num_tokens * activation_bytes_per_token(config(), DType::kFloat16, at::kCPU, 0);
  };
  CHECK(of_copies(1 << 20) == of_copies(1 << 21));
  CHECK(of_copies(100) < of_copies(1 << 20));
}

TEST_CASE("a product that reads its input in an order of its own reads a copy", "[memory]") {
  auto plain = config();
  plain.intermediate_size = 1000;  // more than attention takes
  plain.checkpoint_quantization = CheckpointQuantization{};
  auto ordered = plain;
  ordered.checkpoint_quantization->has_own_order = true;
  for (auto dtype : {DType::kFloat32, DType::kBFloat16}) {
    const auto bytes = [&](const ModelConfig& of, at::Device device) {
      return activation_bytes_per_token(of, dtype, device, /*row_len=*/0);
    };
    CHECK(bytes(ordered, at::kCPU) ==
          bytes(plain, at::kCPU) + plain.intermediate_size * element_size(dtype));
    CHECK(bytes(ordered, at::kCUDA) ==
          bytes(plain, at::kCUDA) + plain.intermediate_size * element_size(dtype));
  }
}

TEST_CASE("half precision takes half the weights and cache, and the same logits", "[memory]") {
  auto shape = kShape;
  shape.max_mask_elements = 0;
  const auto full = estimate_memory(config(), DType::kFloat32, at::kCPU, shape);
  const auto half = estimate_memory(config(), DType::kBFloat16, at::kCPU, shape);
  CHECK(full.weights == 2 * half.weights);
  CHECK(full.cache == 2 * half.cache);
  // On a CPU products in float32 may take what is saved.
  const auto activations_on_gpu = [&](DType dtype) {
    return estimate_memory(config(), dtype, at::kCUDA, shape).activations;
  };
  CHECK(activations_on_gpu(DType::kFloat32) > activations_on_gpu(DType::kBFloat16));
  CHECK(full.logits == half.logits);
}

TEST_CASE("logits are counted in float32 for every prompt", "[memory]") {
  CHECK(estimate_memory(config(), DType::kBFloat16, at::kCPU, kShape).logits >=
        5 * config().vocab_size * static_cast<int64_t>(sizeof(float)));
}

TEST_CASE("logits that are scored and forgotten take the place of activations", "[memory]") {
  const auto total = [](int64_t tokens, int64_t num_scored) {
    return estimate_memory(config(), DType::kFloat32, at::kCPU,
                           {.max_forward_tokens = tokens, .num_scored = num_scored})
        .total();
  };
  const int64_t row = config().vocab_size * static_cast<int64_t>(sizeof(float));
  CHECK(total(100, 1) == total(100, 0));
  CHECK(total(0, 1000) == total(0, 0) + 1000 * row);
  CHECK(total(1, 1000) == total(0, 1000));
}

TEST_CASE("buffers of a forward begin where vectors of any size may", "[memory]") {
  auto config = testing::tiny_configs().front();
  config.hidden_size = 25;
  for (const int64_t num_tokens : {1, 3, 64}) {
    const LayerBuffers buffers(config, num_tokens, at::TensorOptions(at::kBFloat16));
    for (const auto* buffer :
         {&buffers.normed, &buffers.qkv, &buffers.attended, &buffers.gate_up, &buffers.gated}) {
      CHECK(buffer->size(0) == num_tokens);
      CHECK((buffer->storage_offset() * buffer->element_size()) % 128 == 0);
    }
    const auto end = [](const at::Tensor& t) { return t.storage_offset() + t.numel(); };
    CHECK(end(buffers.normed) <= buffers.qkv.storage_offset());
    CHECK(end(buffers.qkv) <= buffers.attended.storage_offset());
    CHECK(end(buffers.normed) <= buffers.gate_up.storage_offset());
    CHECK(end(buffers.gate_up) <= buffers.gated.storage_offset());
  }
}

TEST_CASE("where products write SwiGLU, a forward has no gates and ups", "[memory]") {
  auto config = testing::tiny_configs().front();
  config.intermediate_size = 1000;  // more than attention takes
  const at::TensorOptions options(at::kFloat);
  const LayerBuffers without(config, 7, options, /*has_gate_up=*/false);
  CHECK_FALSE(without.gate_up.defined());
  CHECK_FALSE(without.first(3).gate_up.defined());
  CHECK(without.first(3).gated.size(0) == 3);
  const LayerBuffers with(config, 7, options);
  CHECK(with.gated.storage().nbytes() >= without.gated.storage().nbytes() + 7 * 2000 * 4);
  const auto predicted = [&](DType dtype, const Rounding& rounding) {
    return activation_bytes_per_token(config, dtype, at::kCPU, /*row_len=*/0, rounding);
  };
  const Rounding rounded = {Quantization{}, Activations::kInt8};
  const int64_t of_both = 2 * 1000 * 2;
  CHECK(predicted(DType::kFloat16, {}) == predicted(DType::kFloat16, rounded) + of_both);
  CHECK(predicted(DType::kBFloat16, rounded) == predicted(DType::kFloat16, rounded));
  // With weights of 4 bits a matrix unit multiplies bfloat16 instead, by LibTorch.
  const Rounding of_4_bits = {Quantization{.bits = 4}, Activations::kInt8};
  CHECK(predicted(DType::kBFloat16, of_4_bits) ==
        predicted(DType::kFloat16, of_4_bits) + (has_amx() ? of_both : 0));
}

TEST_CASE("the default budget fits half of the free memory", "[memory]") {
  const int64_t longest = 100;
  for (auto method : kMethods) {
    const int64_t row_len = method == PrefillMethod::kPacked ? 0 : longest;
    const auto bytes = activation_bytes_per_token(config(), DType::kFloat32, at::kCPU, row_len);
    for (int64_t tokens : {257, 1000, 2047}) {
      const auto budget = default_token_budget(config(), DType::kFloat32, at::kCPU, method, longest,
                                               2 * tokens * bytes);
      CHECK(budget == tokens);
      CHECK(default_token_budget(config(), DType::kFloat32, at::kCPU, method, longest,
                                 2 * tokens * bytes - 1) == tokens - 1);
    }
  }
}

TEST_CASE("the default budget is 2,048 tokens where memory is plenty", "[memory]") {
  for (auto method : kMethods) {
    CHECK(default_token_budget(config(), DType::kFloat32, at::kCPU, method, 10, int64_t{1} << 45) ==
          2048);
  }
}

TEST_CASE("the default budget of a GPU is 16,384 tokens where its memory is plenty", "[memory]") {
  const auto budget = [](int64_t free_bytes) {
    return default_token_budget(config(), DType::kBFloat16, at::kCUDA, PrefillMethod::kPacked, 10,
                                free_bytes);
  };
  CHECK(budget(int64_t{1} << 45) == 16384);
  const int64_t of_token =
      activation_bytes_per_token(config(), DType::kBFloat16, at::kCUDA, /*row_len=*/0);
  CHECK(budget(2 * 5000 * of_token) == 5000);
}

TEST_CASE("the default budget always holds the longest prompt", "[memory]") {
  for (auto method : kMethods) {
    for (int64_t free_bytes :
         {int64_t{-1'000'000}, int64_t{0}, int64_t{1} << 20, int64_t{1} << 45}) {
      for (int64_t longest : {1, 300, 5000, 100'000}) {
        CHECK(default_token_budget(config(), DType::kFloat32, at::kCPU, method, longest,
                                   free_bytes) >= longest);
      }
    }
    CHECK(default_token_budget(config(), DType::kFloat32, at::kCPU, method, 5000,
                               int64_t{1} << 45) == 5000);
  }
}

TEST_CASE("the default budget never shrinks when there is more memory", "[memory]") {
  for (auto method : kMethods) {
    int64_t before = 0;
    for (int64_t free_bytes = 0; free_bytes < (int64_t{1} << 26); free_bytes += 100'003) {
      const auto budget =
          default_token_budget(config(), DType::kFloat32, at::kCPU, method, 200, free_bytes);
      REQUIRE(budget >= before);
      before = budget;
    }
  }
}

}  // namespace
}  // namespace prepack
