// Frequencies and attention factors, as transformers computes them (scripts/make_reference.py
// --rope), and those that the length of a sequence chooses.

#include "model/rope_frequencies.h"

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "support/catch.h"
#include "weights/json.h"

namespace prepack {
namespace {

using nlohmann::json;

json rope_data() {
  return read_json_file(std::filesystem::path(PREPACK_SOURCE_DIR) / "tests" / "data" / "rope.json");
}

ModelConfig config_of(const json& entry) {
  return parse_model_config(entry["config"].dump(), "config.json");
}

TEST_CASE("RoPE frequencies and attention factors are those of transformers", "[rope]") {
  std::set<size_t> types;
  for (const auto& entry : rope_data()) {
    const auto config = config_of(entry);
    types.insert(config.rope.scaling.index());
    INFO(entry["name"]);
    CHECK(std::abs(rope_attention_factor(config.rope) - entry["attention_factor"].get<double>()) <=
          1e-12);
    for (const auto& [length, expected] : entry["frequencies"].items()) {
      INFO(length << " tokens");
      const auto frequencies = rope_frequencies(config.rope, config.head_dim, std::stoll(length));
      REQUIRE(frequencies.size() == expected.size());
      for (size_t i = 0; i < expected.size(); ++i) {
        CAPTURE(i);
        CHECK(std::abs(frequencies[i] - expected[i].get<double>()) <=
              1e-6 * expected[i].get<double>());
      }
    }
  }
  // Frequency factors are GGUF's, which transformers does not have.
  CHECK(types.size() + 1 == std::variant_size_v<decltype(RopeConfig::scaling)>);
}

TEST_CASE("lengths have the same frequencies exactly where they are of one class", "[rope]") {
  for (const auto& entry : rope_data()) {
    const auto config = config_of(entry);
    INFO(entry["name"]);
    size_t num_changes = 0;
    std::vector<float> last;
    int64_t last_class = 0;
    for (const int64_t length : {1, 31, 32, 33, 63, 64, 65, 66, 2047, 2048, 2049, 4096, 4097}) {
      CAPTURE(length);
      const auto frequencies = rope_frequencies(config.rope, config.head_dim, length);
      const int64_t length_class = rope_length_class(config.rope, length);
      CHECK(length_class <= length);
      CHECK(rope_frequencies(config.rope, config.head_dim, length_class) == frequencies);
      if (!last.empty()) {
        CHECK((frequencies == last) == (length_class == last_class));
        num_changes += frequencies == last ? 0 : 1;
      }
      last = frequencies;
      last_class = length_class;
    }
    CHECK((num_changes > 0) == config.rope.depends_on_length());
  }
}

}  // namespace
}  // namespace prepack
