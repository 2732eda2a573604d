// Models from GGUF files whose weights stay packed: the same as those of the numbers that they
// hold, in float32.

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "prepack/model.h"
#include "prepack/prefill.h"
#include "support/all_close.h"
#include "support/catch.h"
#include "support/gguf_writer.h"
#include "support/random.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"
#include "support/tolerances.h"
#include "weights/dequantize.h"

namespace prepack {
namespace {

using testing::AllClose;
using testing::GgufWriter;
using testing::Random;

constexpr uint32_t kF32 = 0;
constexpr int64_t kHiddenSize = 256;
constexpr int64_t kMlpSize = 512;
constexpr int64_t kVocabSize = 97;
constexpr uint32_t kNumLayers = 2;
constexpr uint32_t kNumHeads = 4;
constexpr uint32_t kNumKvHeads = 2;
constexpr int64_t kHeadDim = kHiddenSize / kNumHeads;

/// A type, ggml's number of it, and where its blocks have float16 numbers.
struct BlockType {
  StoredDType dtype;
  uint32_t number;
  std::vector<size_t> halves;
};

const BlockType kQ4_0{StoredDType::kQ4_0, 2, {0}};
const BlockType kQ4_1{StoredDType::kQ4_1, 3, {0, 2}};
const BlockType kQ5_0{StoredDType::kQ5_0, 6, {0}};
const BlockType kQ5_1{StoredDType::kQ5_1, 7, {0, 2}};
const BlockType kQ8_0{StoredDType::kQ8_0, 8, {0}};
const BlockType kQ4_K{StoredDType::kQ4_K, 12, {0, 2}};
const BlockType kQ5_K{StoredDType::kQ5_K, 13, {0, 2}};
const BlockType kQ6_K{StoredDType::kQ6_K, 14, {208}};
const BlockType kWide{StoredDType::kF32, kF32, {}};

/// Random blocks with scales of one size, so that weights are of about a tenth.
std::string random_blocks(Random& random, const BlockType& type, int64_t num_elements) {
  const auto block = block_of(type.dtype);
  const auto num_blocks = static_cast<uint64_t>(num_elements) / block.num_elements;
  // What the largest value of a block is beside its scale.
  const double largest = type.dtype == StoredDType::kQ8_0   ? 128
                         : type.dtype == StoredDType::kQ6_K ? 32 * 128
                         : block.num_elements == 256        ? 32 * 63
                                                            : 16;
  std::string bytes(num_blocks * block.num_bytes, '\0');
  for (auto& byte : bytes) byte = static_cast<char>(random.integer(0, 255));
  for (uint64_t i = 0; i < num_blocks; ++i) {
    for (const auto place : type.halves) {
      const auto half = at::Half(static_cast<float>(0.2 * random.normal() / largest));
      const auto at = i * block.num_bytes + place;
      bytes[at] = static_cast<char>(half.x & 0xFF);
      bytes[at + 1] = static_cast<char>(half.x >> 8);
    }
  }
  return bytes;
}

std::string random_floats(Random& random, int64_t count, double mean) {
  std::string bytes;
  for (int64_t i = 0; i < count; ++i) {
    bytes += GgufWriter::number(static_cast<float>(mean + 0.1 * random.normal()));
  }
  return bytes;
}

std::string dequantized(const BlockType& type, const std::string& blocks) {
  const auto block = block_of(type.dtype);
  const auto num_blocks = blocks.size() / block.num_bytes;
  std::vector<float> values(num_blocks * block.num_elements);
  dequantize(type.dtype, reinterpret_cast<const std::byte*>(blocks.data()), num_blocks,
             values.data());
  std::string bytes;
  for (const float value : values) bytes += GgufWriter::number(value);
  return bytes;
}

/// What a matrix is stored as, by its name in the file.
using TypeOf = std::function<const BlockType&(const std::string&)>;

struct Files {
  std::string packed;
  std::string wide;  // the same numbers in float32
};

/// What a family's files have that Llama's have not.
struct Family {
  std::string name = "llama";
  bool is_stacked = false;  // attn_qkv, and ffn_up with the gate in it
  bool has_qkv_bias = false;
  bool has_qk_norm = false;
  uint32_t window = 0;
};

Files make_files(uint64_t seed, bool is_tied, const TypeOf& type_of, const Family& family = {}) {
  Random random(seed);
  GgufWriter packed, wide;
  for (auto* writer : {&packed, &wide}) {
    writer->text("general.architecture", family.name)
        .integer(family.name + ".embedding_length", kHiddenSize)
        .integer(family.name + ".feed_forward_length", kMlpSize)
        .integer(family.name + ".block_count", kNumLayers)
        .integer(family.name + ".attention.head_count", kNumHeads)
        .integer(family.name + ".attention.head_count_kv", kNumKvHeads)
        .integer(family.name + ".attention.sliding_window", family.window)
        .integer(family.name + ".context_length", 256)
        .real(family.name + ".attention.layer_norm_rms_epsilon", 1e-5F)
        .real(family.name + ".rope.freq_base", 10000.0F);
    if (family.has_qk_norm) {  // without, 128
      writer->integer(family.name + ".attention.key_length", kHeadDim)
          .integer(family.name + ".attention.value_length", kHeadDim);
    }
  }
  const auto add_matrix = [&](const std::string& name, int64_t num_rows, int64_t num_columns) {
    const std::vector<uint64_t> dimensions = {static_cast<uint64_t>(num_columns),
                                              static_cast<uint64_t>(num_rows)};
    const auto& type = type_of(name);
    const bool is_wide = type.dtype == StoredDType::kF32;
    const auto data = is_wide ? random_floats(random, num_rows * num_columns, 0)
                              : random_blocks(random, type, num_rows * num_columns);
    packed.tensor(name + ".weight", dimensions, type.number, data);
    wide.tensor(name + ".weight", dimensions, kF32, is_wide ? data : dequantized(type, data));
  };
  const auto add_vector = [&](const std::string& name, int64_t size, double mean) {
    const auto data = random_floats(random, size, mean);
    for (auto* writer : {&packed, &wide})
      writer->tensor(name, {static_cast<uint64_t>(size)}, kF32, data);
  };
  const auto add_norm = [&](const std::string& name) {
    add_vector(name + ".weight", kHiddenSize, 1);
  };
  add_matrix("token_embd", kVocabSize, kHiddenSize);
  constexpr int64_t kKeySize = kHeadDim * kNumKvHeads;
  for (uint32_t i = 0; i < kNumLayers; ++i) {
    const auto layer = "blk." + std::to_string(i) + ".";
    add_norm(layer + "attn_norm");
    if (family.is_stacked) {
      add_matrix(layer + "attn_qkv", kHiddenSize + 2 * kKeySize, kHiddenSize);
    } else {
      add_matrix(layer + "attn_q", kHiddenSize, kHiddenSize);
      add_matrix(layer + "attn_k", kKeySize, kHiddenSize);
      add_matrix(layer + "attn_v", kKeySize, kHiddenSize);
    }
    if (family.has_qkv_bias) {
      add_vector(layer + "attn_q.bias", kHiddenSize, 0);
      add_vector(layer + "attn_k.bias", kKeySize, 0);
      add_vector(layer + "attn_v.bias", kKeySize, 0);
    }
    if (family.has_qk_norm) {
      add_vector(layer + "attn_q_norm.weight", kHeadDim, 1);
      add_vector(layer + "attn_k_norm.weight", kHeadDim, 1);
    }
    add_matrix(layer + "attn_output", kHiddenSize, kHiddenSize);
    add_norm(layer + "ffn_norm");
    if (!family.is_stacked) add_matrix(layer + "ffn_gate", kMlpSize, kHiddenSize);
    add_matrix(layer + "ffn_up", (family.is_stacked ? 2 : 1) * kMlpSize, kHiddenSize);
    add_matrix(layer + "ffn_down", kHiddenSize, kMlpSize);
  }
  add_norm("output_norm");
  if (!is_tied) add_matrix("output", kVocabSize, kHiddenSize);
  return {packed.bytes(), wide.bytes()};
}

/// The sizes of random blocks differ so much that float32 rounding alone, summed in another order,
/// moves numbers of the cache by 0.0002.
constexpr double kTolerance = 5e-4;

/// Both files give the same logits and caches, whatever the method.
/// @return the bytes of the packed model's weights in memory
int64_t check_same_model(const Files& files) {
  const testing::TempDir folder;
  const auto packed_path = folder.write("packed.gguf", files.packed);
  const LoadOptions in_float32{.dtype = DType::kFloat32};
  const auto packed = load_model(packed_path, in_float32);
  const auto wide = load_model(folder.write("wide.gguf", files.wide), in_float32);
  CHECK(packed.weight_bytes() == weight_bytes(packed_path, in_float32));
  CHECK(wide.weight_bytes() == 4 * wide.config().num_parameters());
  Random random(1);
  const auto prompts = random.prompts({5, 1, 17, 9}, kVocabSize);
  for (const auto& variant : testing::prefill_variants(prompts)) {
    INFO(variant.name);
    testing::check_same_state(prefill(packed, prompts, variant.options, 40),
                              prefill(wide, prompts, variant.options, 40), kTolerance);
  }
  const auto prompt = random.prompts({1}, kVocabSize);  // one row
  CHECK_THAT(prefill(packed, prompt, {}, 1).logits,
             AllClose(prefill(wide, prompt, {}, 1).logits, kTolerance));
  CHECK(prefill(wide, prompts, {}, 40).logits.std().item<double>() > 0.1);
  return packed.weight_bytes();
}

TEST_CASE("a packed GGUF model is its dequantized self, of every type", "[gguf][quantization]") {
  for (const auto* type : {&kQ4_0, &kQ4_1, &kQ5_0, &kQ5_1, &kQ8_0, &kQ4_K, &kQ5_K, &kQ6_K}) {
    for (const bool is_tied : {true, false}) {
      CAPTURE(to_string(type->dtype), is_tied);
      check_same_model(
          make_files(3, is_tied, [&](const std::string&) -> const BlockType& { return *type; }));
    }
  }
}

TEST_CASE("a packed GGUF model of every family is its dequantized self", "[gguf][quantization]") {
  const std::vector<Family> families = {
      {.name = "qwen2", .has_qkv_bias = true},
      {.name = "qwen3", .has_qk_norm = true},
      {.name = "phi3", .is_stacked = true, .window = 7},
      {.name = "smollm3"},
  };
  for (const auto& family : families) {
    for (const auto* type : {&kQ8_0, &kQ4_K}) {
      CAPTURE(family.name, to_string(type->dtype));
      const auto type_of = [&](const std::string& name) -> const BlockType& {
        return name.ends_with("attn_v") || name.ends_with("ffn_down") ? kQ6_K : *type;
      };
      check_same_model(make_files(10, family.name != "phi3", type_of, family));
    }
  }
}

TEST_CASE("stacked products of different types are exact", "[gguf][quantization]") {
  const auto ends_with_any = [](const std::string& name, const std::vector<std::string>& ends) {
    return std::ranges::any_of(ends, [&](const auto& end) { return name.ends_with(end); });
  };
  // As llama.cpp mixes them, and as it does not.
  check_same_model(make_files(4, false, [&](const std::string& name) -> const BlockType& {
    return ends_with_any(name, {"attn_v", "ffn_down", "output"}) ? kQ6_K : kQ4_K;
  }));
  check_same_model(make_files(5, true, [&](const std::string& name) -> const BlockType& {
    return ends_with_any(name, {"attn_k", "ffn_up"}) ? kQ4_0 : kQ8_0;
  }));
  check_same_model(make_files(6, true, [&](const std::string& name) -> const BlockType& {
    return ends_with_any(name, {"attn_k", "ffn_gate"}) ? kQ5_1 : kQ4_0;
  }));
  check_same_model(make_files(7, false, [&](const std::string& name) -> const BlockType& {
    return ends_with_any(name, {"attn_v", "ffn_up", "token_embd"}) ? kWide : kQ4_1;
  }));
}

TEST_CASE("a packed GGUF model takes the bytes of its values and scales", "[gguf][memory]") {
  const auto bytes = [](const BlockType& type) {
    return check_same_model(
        make_files(8, true, [&](const std::string&) -> const BlockType& { return type; }));
  };
  const int64_t norms = 4 * (2 * kNumLayers + 1) * kHiddenSize;
  const int64_t matrices = kVocabSize * kHiddenSize + kNumLayers * (3 * kHiddenSize * kHiddenSize +
                                                                    3 * kHiddenSize * kMlpSize);
  CHECK(bytes(kQ4_0) == norms + matrices * 5 / 8);
  CHECK(bytes(kQ4_K) == norms + matrices * 6 / 8);
  CHECK(bytes(kQ8_0) == norms + matrices * 17 / 16);
  CHECK(bytes(kQ6_K) == norms + matrices * 10 / 8);
}

TEST_CASE("a packed GGUF model can be quantized anew", "[gguf][quantization]") {
  const auto files =
      make_files(9, false, [](const std::string&) -> const BlockType& { return kQ6_K; });
  const testing::TempDir folder;
  const auto packed_path = folder.write("packed.gguf", files.packed);
  const auto wide_path = folder.write("wide.gguf", files.wide);
  for (const Quantization& quantization :
       {Quantization{.bits = 8}, Quantization{.bits = 4, .group_size = 64}}) {
    const LoadOptions options{
        .dtype = DType::kFloat32, .device = at::kCPU, .quantization = quantization};
    const auto packed = load_model(packed_path, options);
    CHECK(packed.weight_bytes() == weight_bytes(packed_path, options));
    Random random(2);
    const auto prompts = random.prompts({5, 3}, kVocabSize);
    CHECK_THAT(prefill(packed, prompts, {}, 9).logits,
               AllClose(prefill(load_model(wide_path, options), prompts, {}, 9).logits, 1e-4));
  }
}

TEST_CASE("activations of 8 bits need weights that share a scale by 32", "[gguf][quantization]") {
  const testing::TempDir folder;
  const LoadOptions options{.activations = Activations::kInt8};
  const auto write = [&](const BlockType& type) {
    const auto type_of = [&](const std::string& name) -> const BlockType& {
      return name.starts_with("token_embd") ? kQ8_0 : type;  // of which rows are read, no product
    };
    return folder.write("packed.gguf", make_files(9, false, type_of).packed);
  };
  const char* const problem =
      "quantization: activations of int8 are for weights that share a scale by 32 and more, and "
      "the model has none";
  auto path = write(kQ6_K);
  CHECK_THROWS_WITH(load_model(path, options), problem);
  // Known before weights are read.
  CHECK_THROWS_WITH(weight_bytes(path, options), problem);
  path = write(kQ8_0);
  CHECK_NOTHROW(load_model(path, options));
  path = write(kQ4_0);
  CHECK_NOTHROW(load_model(path, options));
}

TEST_CASE("a quantized table of embeddings has no activations", "[gguf][quantization]") {
  const auto type_of = [](const std::string& name) -> const BlockType& {
    return name.starts_with("token_embd") ? kQ8_0 : kWide;
  };
  const testing::TempDir folder;
  const auto bytes = [&](bool is_tied) {
    const auto path = folder.write("packed.gguf", make_files(9, is_tied, type_of).packed);
    return weight_bytes(path, {.activations = Activations::kInt16});
  };
  CHECK_NOTHROW(bytes(true));  // the last product's weight, too
  CHECK_THROWS_WITH(bytes(false),
                    "quantization: activations are quantized for quantized weights, and the model "
                    "has none");
}

}  // namespace
}  // namespace prepack
