// `prepack verify` as a program: its table, its JSON, and how it ends.

#include <filesystem>
#include <nlohmann/json.hpp>

#include "support/catch.h"
#include "support/program.h"
#include "support/temp_dir.h"

namespace prepack {

namespace fs = std::filesystem;
using namespace testing;

TEST_CASE("verify prints a row for every method and a verdict", "[cli][verification]") {
  const auto outcome = run_with_model("verify", "-f - --batch-size 5 -n 6", kTwelvePrompts);
  CAPTURE(outcome.err, outcome.out);
  REQUIRE(outcome.exit_code == 0);
  CHECK(outcome.err.empty());
  for (const auto* part :
       {"12 prompts in batches of at most 5", "packed      prefill", "packed-rows first-step",
        "padded      first-step", "12/12",
        "normal in float32: ", "verdict: equivalent, with greedy texts of at most 6 tokens"}) {
    CHECK_THAT(outcome.out, ContainsSubstring(part));
  }
}

TEST_CASE("verify prints the fields of its JSON", "[cli][verification]") {
  const auto outcome = run_with_model("verify", "-f - --json", kTwelvePrompts);
  CAPTURE(outcome.err);
  REQUIRE(outcome.exit_code == 0);
  const auto json = Json::parse(outcome.out);
  CHECK(json["equivalent"] == true);
  CHECK(json["failures"] == Json::array());
  CHECK(json["normal"].is_string());
  CHECK(json["num_prompts"] == 12);
  CHECK(json["max_new_tokens"] == 16);
  CHECK(json["batch_size"] == 32);
  CHECK(json["token_budget"] > 0);
  CHECK(json["dtype"] == "float32");
  CHECK(json["device"] == "cpu");
  CHECK(json["threads"] > 0);
  REQUIRE(json["variants"].size() == 6);
  CHECK(json["variants"][0]["method"] == "packed");
  CHECK(json["variants"][0]["final_token"] == "prefill");
  for (const auto& variant : json["variants"]) {
    for (const auto* field :
         {"max_logit_difference", "max_cache_difference", "max_relative_cache_difference"}) {
      CHECK(variant[field] <= 1e-4);
    }
    CHECK(variant["mean_logit_difference"] <= variant["max_logit_difference"]);
    CHECK(variant["mean_divergence"] <= variant["max_divergence"]);
    CHECK(variant["num_same_texts"] == 12);
    CHECK(variant["num_same_top_tokens"] == 12);
  }
}

TEST_CASE("verify says what is normal in bfloat16, where texts may part", "[cli][verification]") {
  const auto outcome = run_with_model("verify", "-f - -n 4 --dtype bfloat16", kTwelvePrompts);
  CAPTURE(outcome.err, outcome.out);
  CHECK(outcome.exit_code == 0);
  CHECK_THAT(outcome.out, ContainsSubstring("normal in bfloat16: "));
}

TEST_CASE("verify fails, and says where, when what it compares is not a number",
          "[cli][verification]") {
  const testing::TempDir folder;
  fs::copy(kModel, folder.path());
  for (const auto& file : fs::directory_iterator(folder.path())) {
    if (file.path().filename().string().starts_with("model-")) {
      // All bits set is NaN in every dtype.
      auto weights = read_file(file.path());
      write_file(file.path(), weights.replace(weights.size() - 4, 4, 4, '\xff'));
    }
  }
  const auto model = folder.path().string();
  const auto outcome = run(fmt::format("verify --model '{}' -p one -p two", model));
  CAPTURE(outcome.err, outcome.out);
  CHECK(outcome.exit_code == 1);
  CHECK_THAT(outcome.err, ContainsSubstring("not equivalent to each prompt run alone: packed, "
                                            "final token by prefill: prompt 0: logits differ by "
                                            "inf"));
  CHECK(num_lines(outcome.err) == 1);
  CHECK_THAT(outcome.out, ContainsSubstring("verdict: not equivalent"));

  const auto json = run(fmt::format("verify --model '{}' -p one -p two --json", model));
  CHECK(json.exit_code == 1);
  CHECK(Json::parse(json.out)["equivalent"] == false);
  CHECK(Json::parse(json.out)["failures"].size() >= 6);
}

TEST_CASE("verify refuses options that choose one method", "[cli][verification]") {
  for (const auto* options : {"-p x --method packed", "-p x --final-token prefill", "-p x -n 0",
                              "-p x --capacity auto", ""}) {
    CAPTURE(options);
    const auto outcome = run_with_model("verify", options);
    CHECK(outcome.exit_code == 2);
    CHECK(outcome.out.empty());
  }
}

}  // namespace prepack
