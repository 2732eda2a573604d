#include "prepack/quantization.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <filesystem>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "base/scalar_type.h"
#include "kernels/byte_tiles_product.h"
#include "kernels/linear.h"
#include "model/linear.h"
#include "model/random_model.h"
#include "prepack/decode.h"
#include "prepack/error.h"
#include "prepack/memory.h"
#include "prepack/model.h"
#include "prepack/prefill.h"
#include "prepack/sampler.h"
#include "support/all_close.h"
#include "support/catch.h"
#include "support/instruction_sets.h"
#include "support/random.h"
#include "support/reference.h"
#include "support/safetensors_writer.h"
#include "support/temp_dir.h"
#include "support/tensors.h"
#include "support/tiny_model.h"
#include "support/tolerances.h"
#include "weights/quantized_weight.h"
#include "weights/tensor_view.h"
#include "weights/weight_loader.h"

namespace prepack {
namespace {

namespace fs = std::filesystem;
using testing::AllClose;
using testing::BitEqual;
using testing::Random;
using testing::random_tensor;

constexpr Quantization kInt8{.bits = 8};
constexpr Quantization kInt4{.bits = 4, .group_size = 32};
const std::vector<Quantization> kQuantizations = {
    kInt8, kInt4, {.bits = 4, .group_size = 64}, {.bits = 4, .group_size = 128}};

QuantizedWeight quantize(const at::Tensor& weights, const Quantization& quantization) {
  auto quantized = QuantizedWeight::make_empty(weights.size(0), weights.size(1), quantization);
  REQUIRE(quantized.quantize_rows(0, weights));
  return quantized;
}

/// What each group has, for each of its weights: [out_features, in_features].
at::Tensor of_groups(const at::Tensor& numbers, int64_t group_size) {
  return numbers.to(at::kDouble).repeat_interleave(group_size, 1);
}

at::Tensor scales_of(const QuantizedWeight& weight) {
  return of_groups(weight.scales, weight.in_features / weight.scales.size(1));
}

double squared_error(const at::Tensor& weights, const at::Tensor& rounded) {
  return weights.to(at::kDouble).sub(rounded.to(at::kDouble)).square().sum().item<double>();
}

TEST_CASE("scales of 4 bits err less than those that fit the groups' ranges", "[quantization]") {
  Random random(3);
  const auto weights = random_tensor(random, {50, 256});
  for (const int64_t group_size : {32, 64, 128}) {
    const auto quantized = quantize(weights, {.bits = 4, .group_size = group_size});
    const auto groups = weights.view({50, -1, group_size});
    const auto lowest = groups.amin(2, true);
    const auto scales = groups.amax(2, true).sub(lowest).div(15);
    const auto plain =
        groups.sub(lowest).div(scales).round().mul(scales).add(lowest).view({50, 256});
    CHECK(squared_error(weights, quantized.dequantize()) < 0.92 * squared_error(weights, plain));
    // Gaussian weights: known from the search itself, so that it cannot get worse unnoticed.
    CHECK(squared_error(weights, quantized.dequantize()) / weights.numel() <
          (group_size == 32   ? 0.0055
           : group_size == 64 ? 0.0075
                              : 0.0096));
  }
}

TEST_CASE("weights of few values survive 4 bits unchanged", "[quantization]") {
  // As those of a file that was quantized before, whose steps and minimums are float16.
  Random random(4);
  auto weights = at::empty({6, 192});
  for (int64_t group = 0; group < 36; ++group) {
    const auto number = [&] {
      return static_cast<float>(at::Half(static_cast<float>(random.integer(-99, 99)) / 64));
    };
    const float minimum = number();
    const float step = std::abs(number()) + 0.125F;
    for (int64_t i = 0; i < 32; ++i) {
      // The lowest and the highest are there.
      const int64_t value = i < 2 ? 15 * i : random.integer(0, 15);
      weights.data_ptr<float>()[group * 32 + i] = minimum + step * static_cast<float>(value);
    }
  }
  CHECK_THAT(quantize(weights, kInt4).dequantize(), AllClose(weights, 1e-5));
}

TEST_CASE("equal weights keep their value in 4 bits", "[quantization]") {
  CHECK_THAT(quantize(at::full({2, 64}, -0.75), kInt4).dequantize(),
             BitEqual(at::full({2, 64}, -0.75)));
}

TEST_CASE("zeros, and weights too small for a scale, become zeros", "[quantization]") {
  for (const auto& quantization : kQuantizations) {
    for (const double size : {0.0, 1e-44}) {
      const auto quantized = quantize(at::full({3, 128}, size, at::kFloat), quantization);
      CHECK_THAT(quantized.dequantize(), BitEqual(at::zeros({3, 128})));
    }
  }
}

TEST_CASE("weights that are not finite are reported", "[quantization]") {
  for (const auto& quantization : kQuantizations) {
    for (const float value :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
          -std::numeric_limits<float>::infinity()}) {
      auto weights = at::zeros({70, 256});
      weights[69][255] = value;
      auto quantized = QuantizedWeight::make_empty(70, 256, quantization);
      CHECK_FALSE(quantized.quantize_rows(0, weights));
    }
  }
}

TEST_CASE("weights that are too large for a scale of float16 are reported", "[quantization]") {
  auto weights = at::zeros({3, 256});
  weights[2][255] = 1e7;
  for (const auto& quantization : kQuantizations) {
    auto quantized = QuantizedWeight::make_empty(3, 256, quantization);
    CHECK(quantized.quantize_rows(0, weights) == (quantization.bits == 8));
  }
}

TEST_CASE("bfloat16 and float16 weights are rounded as their float32 is", "[quantization]") {
  Random random(5);
  for (const auto& quantization : kQuantizations) {
    for (const auto type : {at::kBFloat16, at::kHalf}) {
      const auto weights = random_tensor(random, {33, 256}, type);
      CHECK_THAT(quantize(weights, quantization).values,
                 BitEqual(quantize(weights.to(at::kFloat), quantization).values));
    }
  }
}

TEST_CASE("rows that are not whole groups get 8 bits", "[quantization]") {
  CHECK(kInt4.for_rows_of(96).bits == 4);
  CHECK(kInt4.for_rows_of(80).bits == 8);
  CHECK(Quantization{.bits = 4, .group_size = 128}.for_rows_of(96).bits == 8);
  CHECK(kInt8.for_rows_of(80).bits == 8);
  CHECK(QuantizedWeight::make_empty(2, 80, kInt4).format.bits == 8);
}

/// Numbers as a quantized file may have them.
struct Parts {
  at::Tensor values;
  at::Tensor scales;
  at::Tensor minimums;
};

Parts random_parts(Random& random, int64_t out_features, int64_t in_features,
                   const PackedFormat& format) {
  const auto values = at::empty({out_features, in_features}, at::kInt);
  const int64_t lowest = format.bits == 8 ? -128 : 0;
  for (int64_t i = 0; i < values.numel(); ++i) {
    values.data_ptr<int>()[i] =
        static_cast<int>(random.integer(lowest, format.bits == 8 ? 127 : 15));
  }
  const auto numbers = [&] {
    return random_tensor(random, {out_features, format.num_groups(in_features)},
                         to_scalar_type(format.scale_dtype));
  };
  return {values.to(at::kChar), numbers(), format.has_minimums ? numbers() : at::Tensor()};
}

const std::vector<PackedFormat> kPackedFormats = {
    {4, 32, DType::kFloat32, true},  {4, 64, DType::kFloat16, true},
    {4, 288, DType::kFloat32, true}, {8, 0, DType::kFloat32, false},
    {8, 16, DType::kFloat32, true},  {8, 32, DType::kFloat16, false},
    {8, 144, DType::kFloat16, true}, {8, 288, DType::kFloat32, false}};

TEST_CASE("a weight made of parts is scale * value + minimum", "[quantization]") {
  Random random(12);
  for (const auto target : testing::instruction_sets()) {
    const testing::OnlyInstructionSet only(target);
    for (const auto& format : kPackedFormats) {
      for (const int64_t in_features : {576, 2880}) {
        CAPTURE(format.bits, format.group_size, in_features);
        const auto parts = random_parts(random, 9, in_features, format);
        auto weight = QuantizedWeight::make_empty(9, in_features, format);
        // In two portions, the second one first.
        for (const auto& [first, count] : {std::pair{4, 5}, std::pair{0, 4}}) {
          const auto rows = [&, first = first, count = count](const at::Tensor& all) {
            return all.defined() ? all.narrow(0, first, count) : all;
          };
          CHECK(
              weight.set_rows(first, rows(parts.values), rows(parts.scales), rows(parts.minimums)));
        }
        const int64_t group_size = in_features / format.num_groups(in_features);
        auto expected = parts.values.to(at::kDouble).mul(of_groups(parts.scales, group_size));
        if (format.has_minimums) expected.add_(of_groups(parts.minimums, group_size));
        CHECK_THAT(weight.dequantize(), AllClose(expected, 1e-6, 1e-6));
        CHECK(weight.format.num_groups(in_features) % format.num_groups(in_features) == 0);
        CHECK(weight.nbytes() == weight.format.bytes(9, in_features));
      }
    }
  }
}

TEST_CASE("parts without minimums have minimums of zero where a weight has them",
          "[quantization]") {
  auto weight = QuantizedWeight::make_empty(2, 32, PackedFormat{8, 16, DType::kFloat32, true});
  CHECK(weight.set_rows(0, at::full({2, 32}, -3, at::kChar), at::full({2, 1}, 0.5)));
  CHECK_THAT(weight.dequantize(), BitEqual(at::full({2, 32}, -1.5)));
}

TEST_CASE("numbers that a format does not hold exactly are reported", "[quantization]") {
  auto weight = QuantizedWeight::make_empty(2, 32, PackedFormat{4, 32, DType::kFloat16, true});
  const auto values = at::full({2, 32}, 5, at::kByte);
  const auto exact = at::full({2, 1}, 0.5);
  for (const double number : {0.1, 70000.0, 1e-9, double{INFINITY}, double{NAN}}) {
    auto inexact = exact.clone();
    inexact[1][0] = number;
    CHECK_FALSE(weight.set_rows(0, values, inexact, exact));
    CHECK_FALSE(weight.set_rows(0, values, exact, inexact));
  }
  CHECK(weight.set_rows(0, values, exact, exact));
}

TEST_CASE("a weight that was quantized is the same when made of its parts", "[quantization]") {
  Random random(13);
  for (const auto& quantization : kQuantizations) {
    const auto quantized = quantize(random_tensor(random, {6, 384}), quantization);
    const auto minimums =
        quantization.bits == 4
            ? of_groups(quantized.minimums, quantization.group_size).to(at::kFloat)
            : at::zeros({6, 384});
    const auto values =
        quantized.dequantize().sub(minimums).div(scales_of(quantized)).round().to(at::kChar);
    auto made = QuantizedWeight::make_empty(6, 384, quantization);
    CHECK(made.set_rows(0, values, quantized.scales, quantized.minimums));
    CHECK_THAT(made.values, BitEqual(quantized.values));
    CHECK_THAT(made.dequantize(), BitEqual(quantized.dequantize()));
  }
}

TEST_CASE("the bytes foretold are those that a weight takes", "[quantization]") {
  for (const auto& quantization : kQuantizations) {
    for (const int64_t in_features : {80, 96, 128, 576, 2048}) {
      CHECK(quantization.bytes(5, in_features) ==
            QuantizedWeight::make_empty(5, in_features, quantization).nbytes());
    }
  }
}

TEST_CASE("products of large, shifted inputs stay near float64", "[quantization]") {
  Random random(7);
  for (const auto& quantization : kQuantizations) {
    const auto weight = quantize(random_tensor(random, {40, 2048}), quantization);
    // As activations are: a few that are far larger than all others, and a mean that is not 0.
    auto x = random_tensor(random, {3, 2048}).add(0.5);
    for (int i = 0; i < 5; ++i) x.select(1, random.integer(0, 2047)).mul_(300);
    const auto wide = weight.dequantize().to(at::kDouble);
    const auto expected = x.to(at::kDouble).matmul(wide.t());
    const double norm = x.norm().item<double>() / std::sqrt(3.0);
    for (const int64_t num_rows : {1, 3}) {
      auto out = at::empty({num_rows, 40});
      multiply_few_rows({.x = x.const_data_ptr<float>(),
                         .weight = weight.rows(),
                         .bias = nullptr,
                         .out = out.data_ptr<float>(),
                         .num_rows = num_rows,
                         .in_features = 2048,
                         .out_stride = 40,
                         .adds_to_out = false},
                        0, 40);
      CHECK_THAT(out, AllClose(expected.narrow(0, 0, num_rows), 4e-6 * norm));
    }
  }
}

TEST_CASE("rounded inputs cost products a small part of their size", "[quantization]") {
  Random random(14);
  for (const auto& quantization : kQuantizations) {
    auto weight = quantize(random_tensor(random, {40, 2048}), quantization);
    const auto wide = weight.dequantize().to(at::kDouble);
    const auto error = [&](const at::Tensor& x, Activations activations) {
      weight.activations = activations;
      const auto expected = x.to(at::kDouble).matmul(wide.t());
      return Linear{weight, {}}(x).to(at::kDouble).sub(expected).norm().item<double>() /
             expected.norm().item<double>();
    };
    for (const int64_t num_rows : {1, 3, 30}) {
      auto x = random_tensor(random, {num_rows, 2048}).add(0.5);
      CHECK(error(x, Activations::kInt16) < 4e-5);
      CHECK(error(x, Activations::kInt8) < 8e-3);
      // As activations are: a few that are far larger than all others.
      for (int i = 0; i < 5; ++i) x.select(1, random.integer(0, 2047)).mul_(300);
      CHECK(error(x, Activations::kInt16) < 1e-4);
      CHECK(error(x, Activations::kInt8) < (can_multiply_byte_tiles() ? 4e-2 : 2e-2));
    }
  }
}

TEST_CASE("names and group sizes of quantizations", "[quantization]") {
  CHECK(to_string(parse_quantization("int8", 32)) == "int8");
  CHECK(to_string(parse_quantization("int4", 64)) == "int4 in groups of 64");
  CHECK_THROWS_WITH(parse_quantization("int5", 32),
                    "quantization: expected int8 or int4, got int5");
  CHECK_THROWS_WITH(parse_quantization("int4", 48),
                    "quantization: expected groups of 32, 64 or 128, got 48");
  CHECK_THROWS_WITH((Quantization{.bits = 3}.validate()),
                    "quantization: expected 8 or 4 bits, got 3");
}

// Models.

/// Whose rows are whole groups of 32, and some of 64: the others get 8 bits.
ModelConfig grouped_config() {
  auto config = testing::tiny_configs().front();
  config.hidden_size = 64;
  config.intermediate_size = 96;
  config.num_heads = 4;
  config.head_dim = 16;
  return config;
}

struct ModelPair {
  std::set<int> bits;  // of the products' weights
  Model quantized;
  Model dequantized;  // the same weights in float32
};

ModelPair model_pair(const ModelConfig& config, const Quantization& quantization) {
  std::set<int> bits;
  const auto quantized = [&](const at::Tensor& weight) -> Weight {
    auto stored = quantize(weight, quantization);
    bits.insert(stored.format.bits);
    return stored;
  };
  const auto dequantized = [&](const at::Tensor& weight) -> Weight {
    return quantize(weight, quantization).dequantize();
  };
  auto model = testing::random_model(config, 1, DType::kFloat32, quantized);
  return {std::move(bits), std::move(model),
          testing::random_model(config, 1, DType::kFloat32, dequantized)};
}

void check_same_prefills(const ModelPair& models, const std::vector<TokenIds>& prompts) {
  for (const auto& variant : testing::prefill_variants(prompts)) {
    INFO(variant.name);
    testing::check_same_state(prefill(models.quantized, prompts, variant.options, 40),
                              prefill(models.dequantized, prompts, variant.options, 40),
                              testing::tolerance(DType::kFloat32).logits);
  }
}

TEST_CASE("a quantized model is its dequantized self, whatever the method", "[quantization]") {
  Random random(8);
  const std::vector<int64_t> lengths = {5, 1, 17, 9, 30, 2};
  for (const auto& quantization : kQuantizations) {
    INFO(to_string(quantization));
    for (const auto& config : testing::tiny_configs()) {
      const bool is_int8 = quantization.bits == 8;
      const auto models =
          model_pair(is_int8 ? config : testing::in_whole_groups(config), quantization);
      // Groups of 128 fit some products only, as in many models.
      const bool is_mixed = quantization.group_size == 128;
      CHECK(models.bits == (is_mixed ? std::set{4, 8} : std::set{quantization.bits}));
      check_same_prefills(models, random.prompts(lengths, config.vocab_size));
    }
    const auto config = grouped_config();
    check_same_prefills(model_pair(config, quantization),
                        random.prompts(lengths, config.vocab_size));
  }
}

TEST_CASE("a quantized model decodes what its dequantized self does", "[quantization]") {
  Random random(9);
  const auto config = grouped_config();
  for (const auto& quantization : kQuantizations) {
    const auto models = model_pair(config, quantization);
    if (quantization.group_size == 32) CHECK(models.bits == std::set{quantization.bits});
    for (const auto& lengths : {std::vector<int64_t>{7}, std::vector<int64_t>{3, 20, 1, 8}}) {
      const auto prompts = random.prompts(lengths, config.vocab_size);
      const PrefillOptions leaves_final{.final_token = FinalToken::kFirstStep};
      auto quantized = prefill(models.quantized, prompts, leaves_final, 64);
      auto dequantized = prefill(models.dequantized, prompts, leaves_final, 64);
      decode_final_tokens(models.quantized, quantized);
      decode_final_tokens(models.dequantized, dequantized);
      CHECK_THAT(quantized.logits,
                 AllClose(dequantized.logits, testing::tolerance(DType::kFloat32).logits));
      const auto greedy = [&](const Model& model, DecodeState state) {
        std::vector<DecodeRequest> requests;
        for (size_t i = 0; i < prompts.size(); ++i) {
          requests.push_back({.sampler = Sampler({}, i, prompts[i]), .max_new_tokens = 30});
        }
        std::vector<TokenIds> texts;
        for (auto& sequence : decode(model, std::move(state), requests)) {
          texts.push_back(std::move(sequence.token_ids));
        }
        return texts;
      };
      CHECK(greedy(models.quantized, std::move(quantized)) ==
            greedy(models.dequantized, std::move(dequantized)));
    }
  }
}

// Loading.

testing::TensorToWrite to_write(const at::Tensor& tensor) {
  const auto contiguous = tensor.contiguous();
  return {contiguous.scalar_type() == at::kFloat ? "F32" : "BF16", contiguous.sizes().vec(),
          std::string(static_cast<const char*>(contiguous.const_data_ptr()), contiguous.nbytes())};
}

TEST_CASE("a model is quantized as it is loaded, its products alone", "[quantization][weights]") {
  for (const auto& reference : testing::tiny_references()) {
    if (!fs::is_directory(reference.model_folder)) continue;  // a GGUF file
    INFO(reference.model_folder);
    // The same folder with the products' weights rounded beforehand.
    const testing::TempDir folder;
    fs::copy(reference.model_folder / "config.json", folder.path() / "config.json");
    std::map<std::string, testing::TensorToWrite> tensors;
    const auto checkpoint = Checkpoint::open_folder(reference.model_folder);
    for (const auto& [name, stored] : checkpoint.tensors()) {
      auto tensor = view_tensor(stored).to(at::kFloat);
      if (name.ends_with("_proj.weight") || name == "lm_head.weight") {
        tensor = quantize(tensor, kInt8).dequantize();
      }
      tensors[name] = to_write(tensor);
    }
    folder.write("model.safetensors", testing::aligned_safetensors_bytes(tensors));
    const auto quantized =
        load_model(reference.model_folder,
                   {.dtype = DType::kFloat32, .device = at::kCPU, .quantization = kInt8});
    CHECK(quantized.quantization()->bits == 8);
    const auto rounded = load_model(folder.path(), {.dtype = DType::kFloat32});
    CHECK_FALSE(rounded.quantization().has_value());
    const auto actual = prefill(quantized, reference.prompts, {}, 200).logits;
    const auto expected = prefill(rounded, reference.prompts, {}, 200).logits;
    CHECK_THAT(actual, AllClose(expected, testing::tolerance(DType::kFloat32).logits));
    // It is another model than the stored one.
    const auto stored = prefill(testing::load_once(reference), reference.prompts, {}, 200).logits;
    CHECK(testing::max_difference(actual, stored) > 1e-3);
  }
}

/// What rounding changes in a reference's logits, as a part of their range.
double change_by(Activations activations, const testing::Reference& reference,
                 const std::optional<Quantization>& quantization = {}) {
  const auto logits = [&](Activations read) {
    const auto model = load_model(reference.model_folder, {.dtype = DType::kFloat32,
                                                           .device = at::kCPU,
                                                           .quantization = quantization,
                                                           .activations = read});
    return prefill(model, reference.prompts, {}, 200).logits;
  };
  const auto exact = logits(Activations::kAsComputed);
  const double range = exact.max().item<double>() - exact.min().item<double>();
  return testing::max_difference(logits(activations), exact) / range;
}

TEST_CASE("activations are rounded where it is asked for", "[quantization]") {
  for (const auto& reference : testing::tiny_references()) {
    if (!fs::is_directory(reference.model_folder)) continue;  // a GGUF file
    INFO(reference.model_folder);
    const double change = change_by(Activations::kInt16, reference, kInt8);
    CHECK(change > 1e-6);
    CHECK(change < 1e-3);
  }
  int num_rougher = 0;
  for (const auto& reference : testing::packed_references()) {
    INFO(reference.model_folder);
    const double of_int16 = change_by(Activations::kInt16, reference);
    CHECK(of_int16 < 1e-3);
    const double of_int8 = change_by(Activations::kInt8, reference);
    CHECK(of_int8 < 5e-2);
    if (of_int8 > 5 * of_int16) ++num_rougher;
  }
  CHECK(num_rougher > 1);
  const double of_int8_weights =
      change_by(Activations::kInt8, testing::tiny_references().front(), kInt8);
  CHECK(of_int8_weights > 1e-4);
  CHECK(of_int8_weights < (can_multiply_byte_tiles() ? 1e-1 : 5e-2));
  CHECK_THROWS_WITH(load_model(testing::tiny_references().front().model_folder,
                               {.activations = Activations::kInt16}),
                    "quantization: activations are quantized for quantized weights, and the model "
                    "has none");
}

TEST_CASE("stacked rows are quantized as one weight", "[quantization][weights]") {
  Random random(11);
  const auto first = random_tensor(random, {5, 128}, at::kBFloat16);
  const auto second = random_tensor(random, {3, 128});
  for (const size_t misalignment : {0, 3}) {
    const testing::TempDir folder;
    folder.write("model.safetensors",
                 testing::aligned_safetensors_bytes(
                     {{"a", to_write(first)}, {"b", to_write(second)}}, misalignment));
    const auto checkpoint = Checkpoint::open_folder(folder.path());
    for (const auto& quantization : kQuantizations) {
      Weight weight;
      WeightLoader loader(checkpoint, at::kFloat);
      loader.bind_quantized_rows(weight, {{"b", 3}, {"a", 5}}, 128, quantization);
      loader.load();
      const auto& loaded = std::get<QuantizedWeight>(weight);
      const auto expected = quantize(at::cat({second, first.to(at::kFloat)}), quantization);
      CHECK_THAT(loaded.values, BitEqual(expected.values));
      CHECK_THAT(loaded.scales, BitEqual(expected.scales));
      if (quantization.bits == 4) CHECK_THAT(loaded.minimums, BitEqual(expected.minimums));
    }
  }
}

TEST_CASE("a tensor that cannot be quantized is named", "[quantization][weights]") {
  const auto refusal = [](float number, const Quantization& quantization) {
    const testing::TempDir folder;
    auto broken = at::zeros({4, 64});
    broken[3][7] = number;
    folder.write("model.safetensors",
                 testing::aligned_safetensors_bytes({{"broken", to_write(broken)}}));
    const auto checkpoint = Checkpoint::open_folder(folder.path());
    Weight loaded;
    WeightLoader loader(checkpoint, at::kFloat);
    loader.bind_quantized_rows(loaded, {{"broken", 4}}, 64, quantization);
    try {
      loader.load();
    } catch (const LoadError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const auto* const expected =
      "broken: has weights that cannot be quantized: not finite, or too large (model.safetensors)";
  for (const auto& quantization : kQuantizations) {
    CHECK(refusal(std::numeric_limits<float>::quiet_NaN(), quantization) == expected);
  }
  // Squares of some overflow, and the difference of the last is infinite.
  for (const float number : {1e6F, 1e30F, -1e37F, 3e38F, -3e38F}) {
    CAPTURE(number);
    CHECK(refusal(number, kInt4) == expected);
  }
}

TEST_CASE("what there is no quantization for is refused", "[quantization]") {
  const auto folder = testing::tiny_references().front().model_folder;
  // Before anything is asked of a GPU.
  CHECK_THROWS_WITH(load_model(folder, {.dtype = {},
                                        .device = at::kCUDA,
                                        .quantization = kInt8,
                                        .activations = Activations::kInt16}),
                    "quantization: activations of int16 are for the CPU, not for cuda");
  for (const auto& quantization : {std::optional(kInt4), std::optional<Quantization>()}) {
    CHECK_THROWS_WITH(load_model(folder, {.dtype = {},
                                          .device = at::kCUDA,
                                          .quantization = quantization,
                                          .activations = Activations::kInt8}),
                      "quantization: on cuda activations of int8 are for weights that are "
                      "quantized to int8 as they are loaded");
  }
  CHECK_THROWS_AS(
      load_model(folder,
                 {.dtype = {}, .device = at::kCPU, .quantization = Quantization{.bits = 2}}),
      InvalidArgument);
}

TEST_CASE("a random model of quantized weights computes, and takes their bytes",
          "[quantization][memory]") {
  auto config = testing::tiny_configs().front();
  config.hidden_size = config.intermediate_size = 256;
  config.tie_word_embeddings = false;
  Random random(3);
  const auto prompts = random.prompts({5, 30}, config.vocab_size);
  for (const auto& quantization : kQuantizations) {
    CAPTURE(to_string(quantization));
    const auto model =
        make_random_model(config, DType::kFloat32, at::kCPU, {quantization, Activations::kInt8});
    const auto logits = prefill(model, prompts, {}, 40).logits;
    CHECK(logits.isfinite().all().item<bool>());
    CHECK(logits.std().item<double>() == Approx(1).margin(0.3));
    const auto memory =
        estimate_memory(config, DType::kFloat32, at::kCPU, {}, {quantization, Activations::kInt8});
    CHECK(model.weight_bytes() == memory.weights);
    CHECK(model.quantization()->bits == quantization.bits);
    CHECK(model.activations() == Activations::kInt8);
  }
}

// Memory.

TEST_CASE("a quantized model of 1.3 billion parameters takes what it is said to",
          "[quantization][memory]") {
  ModelConfig config;  // Sheared-LLaMA-1.3B's
  config.vocab_size = 32000;
  config.hidden_size = 2048;
  config.intermediate_size = 5504;
  config.num_layers = 24;
  config.num_heads = config.num_kv_heads = 16;
  config.head_dim = 128;
  config.dtype = DType::kBFloat16;
  const auto weights = [&](const std::optional<Quantization>& quantization) {
    return estimate_memory(config, DType::kFloat32, at::kCPU, {}, {quantization}).weights;
  };
  CHECK(weights({}) == 2 * config.num_parameters());
  CHECK(weights(kInt4) < 1'000'000'000);
  CHECK(weights(kInt8) < 1'600'000'000);
  const int64_t products = 24 * (4 * 2048 * 2048 + 3 * 2048 * 5504);
  const int64_t lm_head = 32000 * 2048;  // always 8 bits, and a scale for each row
  const int64_t others = 2 * (config.num_parameters() - products - lm_head) + lm_head + 4 * 32000;
  CHECK(weights(kInt4) == others + products * 5 / 8);  // 5 bits each
  CHECK(weights(kInt8) == others + products + 24 * 4 * (4 * 2048 + 2 * 5504 + 2048));
}

}  // namespace
}  // namespace prepack
