// Models of every family, with what is odd about it, whose products' weights are all of 4 bits.

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "prepack/decode.h"
#include "prepack/model.h"
#include "prepack/prefill.h"
#include "support/all_close.h"
#include "support/catch.h"
#include "support/family_model.h"
#include "support/program.h"
#include "support/random.h"
#include "support/reference.h"
#include "support/safetensors_writer.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"
#include "support/tolerances.h"
#include "weights/quantized_weight.h"
#include "weights/tensor_view.h"

namespace prepack {
namespace {

namespace fs = std::filesystem;
using testing::AllClose;

constexpr Quantization kInt8{.bits = 8};
constexpr int64_t kLongest = 70;  // prompt, with the tiny models' original contexts of 64
constexpr int64_t kNumTokens = 16;
const double kTolerance = testing::tolerance(DType::kFloat32).logits;

/// The folders of the tiny models, of which some are of one family.
std::vector<fs::path> family_folders() {
  std::vector<fs::path> folders;
  for (const auto& reference : testing::tiny_references()) {
    if (fs::is_directory(reference.model_folder)) folders.push_back(reference.model_folder);
  }
  return folders;
}

/// Writes the folder once more, with the products' weights rounded.
/// @return bytes of the weights as they are in memory when they are quantized
int64_t write_rounded(const fs::path& folder, const Quantization& quantization,
                      const fs::path& rounded_folder) {
  int64_t num_bytes = 0;
  std::map<std::string, testing::TensorToWrite> tensors;
  const auto checkpoint = Checkpoint::open_folder(folder);
  for (const auto& [name, stored] : checkpoint.tensors()) {
    auto tensor = view_tensor(stored).contiguous();
    const bool is_product = name.ends_with("_proj.weight");
    if (is_product || name == "lm_head.weight") {
      auto weight = QuantizedWeight::make_empty(tensor.size(0), tensor.size(1),
                                                is_product ? quantization : kInt8);
      INFO(name);
      REQUIRE(weight.format.bits == (is_product ? 4 : 8));
      REQUIRE((!is_product || weight.format.group_size == quantization.group_size));
      REQUIRE(weight.quantize_rows(0, tensor));
      num_bytes += weight.nbytes();
      tensor = weight.dequantize();
    } else {
      num_bytes += static_cast<int64_t>(tensor.nbytes());
    }
    tensors[name] = {
        "F32", tensor.sizes().vec(),
        std::string(static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes())};
  }
  fs::copy(folder / "config.json", rounded_folder / "config.json");
  testing::write_file(rounded_folder / "model.safetensors",
                      testing::aligned_safetensors_bytes(tensors));
  return num_bytes;
}

std::vector<TokenIds> decode_greedily(const Model& model, DecodeState state) {
  std::vector<DecodeRequest> requests(
      state.lengths.size(), {.sampler = Sampler({}, 0, {}), .max_new_tokens = kNumTokens});
  std::vector<TokenIds> texts;
  for (auto& sequence : decode(model, std::move(state), requests)) {
    texts.push_back(std::move(sequence.token_ids));
  }
  return texts;
}

/// Prefill of whole prompts; and of all but their final tokens, which are a decode step then, and
/// the steps that follow.
void check_same_model(const Model& model, const Model& expected,
                      const std::vector<TokenIds>& prompts, int64_t capacity) {
  for (auto method : {PrefillMethod::kPacked, PrefillMethod::kPackedRows, PrefillMethod::kPadded}) {
    INFO(to_string(method));
    PrefillOptions options{.method = method};
    testing::check_same_state(prefill(model, prompts, options, capacity),
                              prefill(expected, prompts, options, capacity), kTolerance);
    options.final_token = FinalToken::kFirstStep;
    options.token_budget = kLongest;  // several forwards
    auto state = prefill(model, prompts, options, capacity);
    auto expected_state = prefill(expected, prompts, options, capacity);
    decode_final_tokens(model, state);
    decode_final_tokens(expected, expected_state);
    CHECK_THAT(state.logits, AllClose(expected_state.logits, kTolerance));
    CHECK(decode_greedily(model, std::move(state)) ==
          decode_greedily(expected, std::move(expected_state)));
  }
}

TEST_CASE("every family's model of 4 bits is the model of its rounded weights, whatever the method",
          "[quantization][families]") {
  testing::Random random(18);
  // Shorter and longer than windows and original contexts.
  const std::vector<int64_t> lengths = {5, 1, 17, 9, kLongest, 2};
  const int64_t capacity = kLongest + kNumTokens;
  for (const auto& folder : family_folders()) {
    const testing::TempDir written;
    testing::write_random_model(written.path(), testing::config_in_whole_groups(folder));
    for (const int64_t group_size : {32, 64}) {
      INFO(folder << ", groups of " << group_size);
      const Quantization quantization{.bits = 4, .group_size = group_size};
      const testing::TempDir rounded;
      const int64_t num_bytes = write_rounded(written.path(), quantization, rounded.path());
      const LoadOptions options{.dtype = DType::kFloat32, .device = at::kCPU};
      auto quantized_options = options;
      quantized_options.quantization = quantization;
      const auto model = load_model(written.path(), quantized_options);
      const auto expected = load_model(rounded.path(), options);
      CHECK(model.weight_bytes() == num_bytes);
      const auto prompts = random.prompts(lengths, model.config().vocab_size);
      check_same_model(model, expected, prompts, capacity);
      // It is another model than the stored one.
      const auto stored = load_model(written.path(), options);
      CHECK(testing::max_difference(prefill(model, prompts, {}, capacity).logits,
                                    prefill(stored, prompts, {}, capacity).logits) > 1e-3);
    }
  }
}

TEST_CASE("activations of every family's model of 4 bits are rounded where it is asked for",
          "[quantization][families]") {
  testing::Random random(19);
  for (const auto& folder : family_folders()) {
    const testing::TempDir written;
    testing::write_random_model(written.path(), testing::config_in_whole_groups(folder));
    for (const int64_t group_size : {32, 64}) {
      INFO(folder << ", groups of " << group_size);
      const auto prompts =
          random.prompts({5, 1, 17, 9, 40, 2}, load_model_config(folder).vocab_size);
      const auto logits = [&](Activations activations) {
        const auto model = load_model(written.path(), {.dtype = DType::kFloat32,
                                                       .device = at::kCPU,
                                                       .quantization = Quantization{4, group_size},
                                                       .activations = activations});
        return prefill(model, prompts, {}, 40).logits;
      };
      const auto exact = logits(Activations::kAsComputed);
      const double range = exact.max().item<double>() - exact.min().item<double>();
      const double of_int16 = testing::max_difference(logits(Activations::kInt16), exact) / range;
      CHECK(of_int16 > 1e-6);
      CHECK(of_int16 < 1e-3);
      const double of_int8 = testing::max_difference(logits(Activations::kInt8), exact) / range;
      CHECK(of_int8 > 5 * of_int16);
      CHECK(of_int8 < 5e-2);
    }
  }
}

}  // namespace
}  // namespace prepack
