// GPTQ and AWQ folders: their words, what becomes of them, and what is wrong with them.

#include "weights/word_packed_weight.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <string>
#include <variant>

#include "prepack/error.h"
#include "prepack/model.h"
#include "support/all_close.h"
#include "support/catch.h"
#include "support/random.h"
#include "support/reference.h"
#include "support/safetensors_writer.h"
#include "support/temp_dir.h"
#include "weights/weight_loader.h"

namespace prepack {
namespace {

namespace fs = std::filesystem;
using Method = CheckpointQuantization::Method;
using testing::BitEqual;
using testing::Random;
using Tensors = std::map<std::string, testing::TensorToWrite>;

constexpr int64_t kOut = 24;

/// 4 and 8 bits, both ways to store zeros, groups and whole rows.
std::vector<CheckpointQuantization> quantizations() {
  return {{.method = Method::kGptq, .bits = 4, .group_size = 32, .stores_zeros_less_1 = true},
          {.method = Method::kGptq, .bits = 4, .group_size = 64, .has_own_order = true},
          {.method = Method::kGptq, .bits = 4, .group_size = -1, .stores_zeros_less_1 = true},
          {.method = Method::kGptq, .bits = 8, .group_size = 32, .has_own_order = true},
          {.method = Method::kGptq, .bits = 8, .group_size = 128, .stores_zeros_less_1 = true},
          {.method = Method::kAwq, .bits = 4, .group_size = 32},
          {.method = Method::kAwq, .bits = 4, .group_size = -1}};
}

at::Tensor random_words(Random& random, int64_t num_rows, int64_t num_columns) {
  auto words = at::empty({num_rows, num_columns}, at::kInt);
  for (int64_t i = 0; i < words.numel(); ++i) {
    words.data_ptr<int32_t>()[i] = static_cast<int32_t>(random.integer(INT32_MIN, INT32_MAX));
  }
  return words;
}

at::Tensor random_scales(Random& random, int64_t num_rows, int64_t num_columns) {
  auto scales = at::empty({num_rows, num_columns}, at::kHalf);
  for (int64_t i = 0; i < scales.numel(); ++i) {
    scales.data_ptr<at::Half>()[i] = static_cast<float>(random.uniform() / 16 + 0.001);
  }
  return scales;
}

/// Any words are a weight.
WordPackedWeight random_weight(Random& random, const CheckpointQuantization& quantization,
                               int64_t out_features, int64_t in_features) {
  const auto tensors = word_packed_tensors(quantization, out_features, in_features);
  const auto words = [&](size_t i) {
    return random_words(random, tensors[i].shape[0], tensors[i].shape[1]);
  };
  WordPackedWeight weight{words(0), words(1), {}, {}};
  weight.scales = random_scales(random, tensors[2].shape[0], tensors[2].shape[1]);
  if (quantization.has_own_order) {
    std::vector<int64_t> groups;
    for (int64_t i = 0; i < in_features; ++i) groups.push_back(i / quantization.group_size);
    random.shuffle(groups);
    weight.g_idx = at::tensor(at::ArrayRef<int64_t>(groups), at::kInt);
  }
  return weight;
}

/// One integer of a matrix of words, by the formats' definitions.
/// @param added  to the word before
int64_t integer_of(const at::Tensor& words, int bits, int64_t row, int64_t column, bool is_down,
                   bool is_interleaved, uint32_t added = 0) {
  const int64_t num_packed = 32 / bits;
  const auto index = is_down ? row % num_packed : column % num_packed;
  const int64_t place = is_interleaved ? index % 2 * 4 + index / 2 : index;
  const auto place_of_word = is_down ? row / num_packed * words.size(1) + column
                                     : row * words.size(1) + column / num_packed;
  const auto word = static_cast<uint32_t>(words.const_data_ptr<int32_t>()[place_of_word]) + added;
  return word >> (place * bits) & ((1 << bits) - 1);
}

/// [out_features, in_features] float32: scale * (value - zero), element by element.
at::Tensor by_definition(const CheckpointQuantization& quantization,
                         const WordPackedWeight& packed) {
  const bool is_gptq = quantization.method == Method::kGptq;
  const int bits = quantization.bits;
  const uint32_t missing = !quantization.stores_zeros_less_1 ? 0
                           : bits == 4                       ? 0x11111111
                                                             : 0x01010101;
  const int64_t group_size = quantization.group_size == -1 ? 1 << 30 : quantization.group_size;
  const int64_t out_features = packed.scales.size(1);
  const int64_t in_features = packed.qweight.size(0) * (is_gptq ? 32 / bits : 1);
  const auto scales = packed.scales.to(at::kFloat);
  auto weight = at::empty({out_features, in_features});
  for (int64_t out = 0; out < out_features; ++out) {
    for (int64_t in = 0; in < in_features; ++in) {
      const int64_t group =
          packed.g_idx.defined() ? packed.g_idx.const_data_ptr<int32_t>()[in] : in / group_size;
      const auto value = integer_of(packed.qweight, bits, in, out, is_gptq, !is_gptq);
      const auto zero = integer_of(packed.qzeros, bits, group, out, false, !is_gptq, missing);
      const float scale = scales.const_data_ptr<float>()[group * out_features + out];
      weight.data_ptr<float>()[out * in_features + in] = scale * static_cast<float>(value - zero);
    }
  }
  return weight;
}

TEST_CASE("words of GPTQ and AWQ are the weights of their definitions", "[packed]") {
  Random random(1);
  for (const auto& quantization : quantizations()) {
    for (const int64_t in_features : {128, 256}) {
      INFO(to_string(quantization) << ", " << in_features);
      const auto packed = random_weight(random, quantization, kOut, in_features);
      CHECK_THAT(unpack(quantization, packed).dequantize(),
                 BitEqual(by_definition(quantization, packed)));
    }
  }
}

TEST_CASE("a last group may be smaller", "[packed]") {
  Random random(2);
  const CheckpointQuantization quantization{
      .method = Method::kGptq, .bits = 4, .group_size = 128, .stores_zeros_less_1 = true};
  const auto packed = random_weight(random, quantization, kOut, 160);
  REQUIRE(packed.scales.size(0) == 2);
  CHECK_THAT(unpack(quantization, packed).dequantize(),
             BitEqual(by_definition(quantization, packed)));
}

TEST_CASE("scales of bfloat16 are widened", "[packed]") {
  Random random(3);
  const auto quantization = quantizations().front();
  auto packed = random_weight(random, quantization, kOut, 64);
  packed.scales = packed.scales.to(at::kBFloat16);
  CHECK_THAT(unpack(quantization, packed).dequantize(),
             BitEqual(by_definition(quantization, packed)));
}

// The order of columns.

std::vector<int64_t> repeated(std::initializer_list<int64_t> groups, int64_t count) {
  std::vector<int64_t> result;
  for (int64_t group : groups) result.insert(result.end(), static_cast<size_t>(count), group);
  return result;
}

std::optional<ColumnGroups> column_groups(std::vector<std::vector<int64_t>> groups) {
  return find_column_groups(groups);
}

TEST_CASE("columns in order stay so, in the largest groups that products take", "[packed]") {
  for (const auto& [groups, group_size] : {std::pair{repeated({0, 1, 2}, 32), 32},
                                           {repeated({0, 1}, 64), 64},
                                           {repeated({0, 1}, 128), 128},
                                           {repeated({0}, 256), 128},
                                           {repeated({0}, 96), 32},
                                           {repeated({0, 0, 0, 0, 1}, 32), 32}}) {
    const auto columns = column_groups({groups});
    REQUIRE(columns.has_value());
    CHECK_FALSE(columns->order.defined());
    CHECK(columns->group_size == group_size);
  }
  CHECK_FALSE(column_groups({repeated({0}, 48)}).has_value());
}

TEST_CASE("columns are put into the order of their groups", "[packed]") {
  auto groups = repeated({0, 1, 2, 3}, 64);
  Random(4).shuffle(groups);
  const auto columns = column_groups({groups});
  REQUIRE(columns.has_value());
  CHECK(columns->group_size == 64);
  REQUIRE(columns->order.numel() == 256);
  for (int64_t i = 0; i < 256; ++i) CHECK(groups[columns->order[i].item<int64_t>()] == i / 64);
}

TEST_CASE("weights of one product need groups of the same columns", "[packed]") {
  auto groups = repeated({0, 1, 2, 3}, 32);
  Random(5).shuffle(groups);
  auto others = groups;
  for (auto& group : others) group = (group + 1) % 4;  // the same columns, of other numbers
  CHECK(column_groups({groups, groups, others}).has_value());
  Random(6).shuffle(others);
  CHECK_FALSE(column_groups({groups, others}).has_value());
  CHECK_FALSE(column_groups({repeated({0, 1, 2, 3}, 32), groups}).has_value());
}

TEST_CASE("groups of uneven sizes have no order", "[packed]") {
  auto groups = repeated({0, 1}, 64);
  groups[0] = 1;
  CHECK_FALSE(column_groups({groups}).has_value());
}

// Loading.

std::string bytes_of(const at::Tensor& tensor) {
  const auto contiguous = tensor.contiguous();
  return {static_cast<const char*>(contiguous.const_data_ptr()), contiguous.nbytes()};
}

testing::TensorToWrite to_write(const at::Tensor& tensor) {
  const auto dtype = tensor.scalar_type();
  return {dtype == at::kInt    ? "I32"
          : dtype == at::kHalf ? "F16"
                               : "F32",
          tensor.sizes().vec(), bytes_of(tensor)};
}

void add(Tensors& tensors, const std::string& name, const WordPackedWeight& packed) {
  tensors[name + ".qweight"] = to_write(packed.qweight);
  tensors[name + ".qzeros"] = to_write(packed.qzeros);
  tensors[name + ".scales"] = to_write(packed.scales);
  if (packed.g_idx.defined()) tensors[name + ".g_idx"] = to_write(packed.g_idx);
}

struct Loaded {
  Weight weight;
  std::optional<at::Tensor> input_order;

  bool is_packed() const { return std::holds_alternative<QuantizedWeight>(weight); }

  /// In the order of the input.
  at::Tensor dequantize() const {
    if (!is_packed()) return std::get<at::Tensor>(weight);
    const auto wide = std::get<QuantizedWeight>(weight).dequantize();
    if (!input_order) return wide;
    return at::empty_like(wide).index_copy_(1, *input_order, wide);
  }
};

Loaded load(const Tensors& tensors, const std::vector<StackedRows>& parts, int64_t in_features,
            const CheckpointQuantization& quantization, size_t misalignment = 0) {
  const testing::TempDir folder;
  folder.write("model.safetensors", testing::aligned_safetensors_bytes(tensors, misalignment));
  const auto checkpoint = Checkpoint::open_folder(folder.path());
  Loaded loaded;
  WeightLoader loader(checkpoint, at::kFloat);
  loader.bind_word_packed_rows(loaded.weight, loaded.input_order, parts, in_features, quantization);
  for (const auto& part : parts) loader.tolerate_zeros(part.name + ".bias", {part.num_rows});
  const auto formats = loader.product_formats();  // which is known before it is loaded
  loader.load();
  REQUIRE(formats.size() == (loaded.is_packed() ? 1 : 0));
  if (loaded.is_packed()) CHECK(formats[0] == std::get<QuantizedWeight>(loaded.weight).format);
  return loaded;
}

std::string problem_of(const Tensors& tensors, const std::vector<StackedRows>& parts,
                       int64_t in_features, const CheckpointQuantization& quantization) {
  try {
    load(tensors, parts, in_features, quantization);
  } catch (const LoadError& error) {
    return error.what();
  }
  return "loaded";
}

TEST_CASE("stacked weights stay packed, and stand for the same numbers", "[packed][weights]") {
  Random random(7);
  for (const auto& quantization : quantizations()) {
    for (const size_t misalignment : {0, 2}) {
      INFO(to_string(quantization));
      const auto first = random_weight(random, quantization, 16, 256);
      auto second = random_weight(random, quantization, kOut, 256);
      second.g_idx = first.g_idx;
      Tensors tensors;
      add(tensors, "a", first);
      add(tensors, "b", second);
      const auto loaded = load(tensors, {{"b", kOut}, {"a", 16}}, 256, quantization, misalignment);
      CHECK(loaded.is_packed());
      CHECK(loaded.input_order.has_value() == quantization.has_own_order);
      CHECK_THAT(loaded.dequantize(), BitEqual(at::cat({by_definition(quantization, second),
                                                        by_definition(quantization, first)})));
    }
  }
}

TEST_CASE("packed weights take their bits, and scale and minimum of each group",
          "[packed][weights]") {
  Random random(8);
  for (const auto& quantization : quantizations()) {
    Tensors tensors;
    add(tensors, "a", random_weight(random, quantization, kOut, 256));
    const auto loaded = load(tensors, {{"a", kOut}}, 256, quantization);
    REQUIRE(loaded.is_packed());
    const int64_t group = quantization.group_size == -1 ? 128 : quantization.group_size;
    CHECK(std::get<QuantizedWeight>(loaded.weight).nbytes() ==
          kOut * (256 * quantization.bits / 8 + 256 / group * 8));
  }
}

TEST_CASE("weights of one product in different orders are widened exactly", "[packed][weights]") {
  Random random(9);
  const auto quantization = quantizations()[1];
  const auto first = random_weight(random, quantization, 16, 256);
  const auto second = random_weight(random, quantization, 8, 256);
  Tensors tensors;
  add(tensors, "a", first);
  add(tensors, "b", second);
  const auto loaded = load(tensors, {{"a", 16}, {"b", 8}}, 256, quantization);
  REQUIRE_FALSE(loaded.is_packed());
  CHECK_FALSE(loaded.input_order.has_value());
  CHECK(std::get<at::Tensor>(loaded.weight).scalar_type() == at::kFloat);
  CHECK_THAT(
      loaded.dequantize(),
      BitEqual(at::cat({by_definition(quantization, first), by_definition(quantization, second)})));
}

TEST_CASE("a weight that was left out is beside packed ones, or by itself", "[packed][weights]") {
  Random random(10);
  const auto quantization = quantizations().front();
  const auto packed = random_weight(random, quantization, 16, 64);
  const auto plain = random_scales(random, 8, 64);
  Tensors tensors{{"b.weight", to_write(plain)}};
  const auto alone = load(tensors, {{"b", 8}}, 64, quantization);
  CHECK_THAT(alone.dequantize(), BitEqual(plain));  // float16, as it is stored
  add(tensors, "a", packed);
  const auto loaded = load(tensors, {{"a", 16}, {"b", 8}}, 64, quantization);
  CHECK_THAT(loaded.dequantize(),
             BitEqual(at::cat({by_definition(quantization, packed), plain.to(at::kFloat)})));
}

TEST_CASE("what is wrong with packed tensors is reported as of others", "[packed][weights]") {
  Random random(11);
  const auto quantization = quantizations()[1];
  Tensors tensors;
  add(tensors, "a", random_weight(random, quantization, 16, 128));
  const auto problem = [&](const std::string& name, const at::Tensor& tensor) {
    auto changed = tensors;
    changed.erase(name);
    if (tensor.defined()) changed[name] = to_write(tensor);
    return problem_of(changed, {{"a", 16}}, 128, quantization);
  };
  CHECK(problem("a.bias", at::zeros({16}, at::kHalf)) == "loaded");
  CHECK_THAT(problem("a.qweight", {}),
             ContainsSubstring("a.qweight: expected [16, 16], got none (model.safetensors)"));
  CHECK_THAT(problem("a.qweight", at::zeros({15, 16}, at::kInt)),
             ContainsSubstring("a.qweight: expected [16, 16], got [15, 16]"));
  CHECK_THAT(problem("a.qweight", at::zeros({16, 16})),
             ContainsSubstring("a.qweight: expected I32, got F32"));
  CHECK_THAT(problem("a.qzeros", at::zeros({2, 16}, at::kInt)),
             ContainsSubstring("a.qzeros: expected [2, 2], got [2, 16]"));
  CHECK_THAT(problem("a.scales", at::zeros({2, 16})),
             ContainsSubstring("a.scales: expected F16 or BF16, got F32"));
  CHECK_THAT(problem("a.g_idx", {}), ContainsSubstring("a.g_idx: expected [128], got none"));
  CHECK_THAT(problem("a.extra", at::zeros({1})),
             ContainsSubstring("a.extra: expected none, got [1]"));
  for (const double number : {INFINITY, NAN}) {
    auto scales = at::ones({2, 16}, at::kHalf);
    scales[1][3] = number;
    CHECK(problem("a.scales", scales) ==
          "a.scales: has scales that are not finite (model.safetensors)");
  }
  auto groups = at::zeros({128}, at::kInt);
  groups[77] = 2;
  CHECK(problem("a.g_idx", groups) ==
        "a.g_idx: expected groups from 0 to 1, got 2 for input feature 77 (model.safetensors)");
  groups[77] = -1;
  CHECK_THAT(problem("a.g_idx", groups), ContainsSubstring("got -1 for input feature 77"));
  CHECK(problem("a.bias", at::zeros({16}).add(1)) ==
        "a.bias: expected none, or zeros, got [16] of other numbers (model.safetensors)");
  CHECK_THAT(problem("a.bias", at::zeros({8})),
             ContainsSubstring("a.bias: expected [16], got [8]"));
  CHECK(problem_of(tensors, {{"a", 12}}, 128, quantization) ==
        "a: a weight of [12, 128] is not whole words of GPTQ, 4 bits in groups of 64");
}

TEST_CASE("groups that are in order need no g_idx", "[packed][weights]") {
  Random random(12);
  const auto quantization = quantizations().front();
  const auto packed = random_weight(random, quantization, 16, 128);
  Tensors tensors;
  add(tensors, "a", packed);
  REQUIRE_FALSE(tensors.contains("a.g_idx"));
  CHECK_THAT(load(tensors, {{"a", 16}}, 128, quantization).dequantize(),
             BitEqual(by_definition(quantization, packed)));
}

TEST_CASE("a truncated file of packed weights is refused", "[packed][weights]") {
  const auto folder = testing::packed_references().front().model_folder;
  const testing::TempDir copy;
  fs::copy(folder / "config.json", copy.path() / "config.json");
  fs::copy(folder / "model.safetensors", copy.path() / "model.safetensors");
  CHECK_NOTHROW(load_model(copy.path()));
  fs::resize_file(copy.path() / "model.safetensors",
                  fs::file_size(folder / "model.safetensors") - 1);
  CHECK_THROWS_AS(load_model(copy.path()), LoadError);
}

TEST_CASE("the bytes foretold of packed folders are those that they take", "[packed][memory]") {
  const LoadOptions in_float32{.dtype = DType::kFloat32};
  for (const auto& reference : testing::packed_references()) {
    INFO(reference.model_folder);
    CHECK(load_model(reference.model_folder, in_float32).weight_bytes() ==
          weight_bytes(reference.model_folder, in_float32));
  }
}

TEST_CASE("a model that is quantized already is not quantized again", "[packed]") {
  const auto folder = testing::packed_references().front().model_folder;
  CHECK_THROWS_WITH(
      load_model(folder, {.dtype = {}, .device = at::kCPU, .quantization = Quantization{}}),
      "quantization: the model's weights are quantized already: GPTQ, 4 bits in groups of 32");
}

}  // namespace
}  // namespace prepack
