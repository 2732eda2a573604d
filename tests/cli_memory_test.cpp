// The memory that the program predicts, and what it takes.

#include <fmt/format.h>

#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.h"
#include "support/family_model.h"
#include "support/program.h"
#include "support/random.h"
#include "support/safetensors_writer.h"
#include "support/temp_dir.h"

namespace prepack {

namespace fs = std::filesystem;
using namespace testing;

/// Writes a model folder whose weights all are the same number: what memory they take does not
/// depend on what they are. In one go, as the system may then cache the file in large pages.
/// @param dtype   of the format
/// @param number  one element's bytes
void write_constant_model(const fs::path& folder, Json config, const std::string& dtype,
                          std::string_view number) {
  write_config(folder, config);
  Json header = Json::object();
  size_t size = 0;
  for (const auto& tensor : checkpoint_tensors(load_model_config(folder))) {
    const size_t end = size + static_cast<size_t>(tensor.numel()) * number.size();
    header[tensor.name] = {
        {"dtype", dtype}, {"shape", tensor.shape}, {"data_offsets", {size, end}}};
    size = end;
  }
  auto text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // so that the data is aligned
  std::string data(size, '\0');
  for (size_t i = 0; i < size; i += number.size()) {
    std::memcpy(data.data() + i, number.data(), number.size());
  }
  write_file(folder / "model.safetensors", safetensors_bytes(text, data));
}

TEST_CASE("a job of many forwards takes the memory that is predicted", "[cli][memory]") {
  // Most of the memory is what a token needs in a layer: 50 KB, beside 13 MB of weights.
  auto config = resized_config(kModel, {.vocab_size = 467,
                                        .hidden_size = 64,
                                        .intermediate_size = 4096,
                                        .num_layers = 4,
                                        .num_heads = 4,
                                        .num_kv_heads = 4,
                                        .head_dim = 16});
  config["max_position_embeddings"] = 4096;
  config["tie_word_embeddings"] = true;
  const testing::TempDir folder;
  write_constant_model(folder.path(), config, "F32", bytes_of(std::vector{0.01F}));
  // A forward each, so that what one frees seldom fits the next.
  std::string prompts;
  for (int64_t length : {150,  600,  300, 900,  450, 1200, 200, 750,  1500, 350,
                         1050, 1800, 500, 1350, 250, 2000, 700, 1650, 400,  1950}) {
    prompts += Json{{"prompt_ids", std::vector<int>(length, 5)}}.dump() + "\n";
  }
  for (const auto* options :
       {"--method packed", "--method packed-rows", "--dtype bfloat16", "--dtype float16"}) {
    CAPTURE(options);
    const auto outcome = run(fmt::format("prefill --model '{}' --prompts - --batch-size 1 --json "
                                         "--threads 1 {}",
                                         folder.path().string(), options),
                             prompts);
    CAPTURE(outcome.err);
    REQUIRE(outcome.exit_code == 0);
    const auto json = Json::parse(outcome.out);
    REQUIRE(json["num_forwards"] == 20);
    const auto peak = json["peak_rss_bytes"].get<double>();
    const auto predicted = json["predicted_peak_bytes"].get<double>();
    CHECK(predicted > 0.95 * peak);
    CHECK(predicted < 1.1 * peak);
  }
}

TEST_CASE("a model of every family takes the memory that info and prefill predict, within 5 %",
          "[cli][memory][families]") {
  Random random(20);
  std::string prompts;
  for (int i = 0; i < 4; ++i) {
    prompts += Json{{"prompt_ids", random.tokens(200, 32000)}}.dump() + "\n";
  }
  const auto tiny_models = fs::path(kModel).parent_path();
  for (const auto* name : {"llama-grouped", "mistral-windowed", "qwen2-mixed", "qwen3-mixed",
                           "phi3-fused", "smollm3-nope"}) {
    CAPTURE(name);
    // 250 to 310 MB.
    auto config = resized_config(tiny_models / name, {.vocab_size = 32000,
                                                      .hidden_size = 1024,
                                                      .intermediate_size = 2816,
                                                      .num_layers = 8,
                                                      .num_heads = 16,
                                                      .num_kv_heads = 4,
                                                      .head_dim = 64});
    config.erase("torch_dtype");
    config["dtype"] = "bfloat16";
    const testing::TempDir folder;
    const auto path = folder.path();
    write_constant_model(path, config, "BF16", bytes_of(std::vector<uint16_t>{0x3C24}));  // 0.01
    for (const auto* method : {"packed", "packed-rows", "padded"}) {
      CAPTURE(method);
      const auto options = fmt::format("--model '{}' --method {} --batch-size 4 --threads 1 --json",
                                       path.string(), method);
      const auto prefilled = run("prefill --prompts - " + options, prompts);
      CAPTURE(prefilled.err);
      REQUIRE(prefilled.exit_code == 0);
      const auto json = Json::parse(prefilled.out);
      const auto peak = json["peak_rss_bytes"].get<double>();
      CHECK(json["predicted_peak_bytes"].get<double>() == Approx(peak).epsilon(0.05));
      const auto described = run("info --prompt-tokens 200 --max-new-tokens 0 " + options);
      CAPTURE(described.err);
      REQUIRE(described.exit_code == 0);
      const auto memory = Json::parse(described.out)["memory_bytes"];
      CHECK(memory["total"].get<double>() == Approx(peak).epsilon(0.05));
      CHECK(memory["weights"].get<double>() > 0.5 * peak);
      // Beside the program and the libraries, nothing is held twice.
      const auto weights = static_cast<double>(fs::file_size(path / "model.safetensors"));
      constexpr double kCache = 4 * 200 * 8 * 2 * 4 * 64 * sizeof(float);
      CHECK(peak < 1.05 * (weights + kCache + memory["activations"].get<double>()) + 300e6);
    }
  }
}

}  // namespace prepack
