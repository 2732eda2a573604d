// prepack bench, as a user runs it.

#include <string>
#include <utility>

#include "support/catch.h"
#include "support/program.h"
#include "support/temp_dir.h"

namespace prepack {
namespace {

using testing::Json;
using testing::read_file;
using testing::run_with_model;
using testing::TempDir;

TEST_CASE("bench measures throughput, ceilings and where the time goes", "[cli]") {
  const TempDir folder;
  const auto path = (folder.path() / "out.json").string();
  const auto outcome = run_with_model(
      "bench", fmt::format("--prompt-tokens 3,9,3 --batch-size 2,1 --decode-tokens 4 --runs 2 "
                           "--threads 1 --profile --json '{}'",
                           path));
  REQUIRE(outcome.exit_code == 0);
  CHECK(outcome.err.empty());
  for (const auto* text :
       {"llama-grouped, ", "start-up  ", "ceilings  products ", "memory ", "prefill: median of 2",
        "decode: 4 steps", "where the time of prefill goes", "where the time of decode goes",
        "2 x 9", "gate_up_proj", " predicted\n"}) {
    CHECK_THAT(outcome.out, ContainsSubstring(text));
  }
  const auto json = Json::parse(read_file(path));
  CHECK(json["environment"]["model"] == "llama-grouped");
  CHECK(json["environment"]["threads"] == 1);
  CHECK(json["start_up"]["load_s"].get<double>() > 0);
  CHECK(json["start_up"]["first_token_s"].get<double>() > json["start_up"]["load_s"].get<double>());
  CHECK(json["start_up"]["prompt_tokens"] == 3);
  CHECK(json["memory"]["predicted_bytes"].get<int64_t>() > 0);
  for (const auto* when : {"before", "after"}) {
    CHECK(json["ceilings"][when]["operations_per_s"].get<double>() > 0);
    CHECK(json["ceilings"][when]["bytes_per_s"].get<double>() > 0);
  }
  const std::pair<int64_t, int64_t> cells[] = {{2, 3}, {2, 9}, {1, 3}, {1, 9}};
  for (const auto* list : {"prefill", "decode"}) {
    REQUIRE(json[list].size() == 4);
    for (size_t i = 0; i < 4; ++i) {
      const auto& row = json[list][i];
      CHECK(row["batch_size"] == cells[i].first);
      CHECK(row["prompt_tokens"] == cells[i].second);
      CHECK(row["samples_s"].size() == 2);
      double by_part = 0;
      for (const auto& seconds : row["seconds_by_part"]) by_part += seconds.get<double>();
      double sampled = 0;
      for (const auto& seconds : row["samples_s"]) sampled += seconds.get<double>();
      CHECK(by_part >= sampled * (1 - 1e-9));
      CHECK(by_part < sampled + 0.05);
      const int64_t tokens = cells[i].first * (list[0] == 'p' ? cells[i].second : 4);
      const double rate = static_cast<double>(tokens) / row["median_s"].get<double>();
      CHECK(std::abs(row["tokens_per_s"].get<double>() / rate - 1) < 1e-9);
    }
  }
}

TEST_CASE("bench leaves memory that measures the ceilings out of the peak", "[cli]") {
  const TempDir folder;
  const auto path = (folder.path() / "out.json").string();
  const auto outcome = run_with_model(
      "bench", fmt::format("--prompt-tokens 2 --batch-size 1 --decode-tokens 0 --runs 1 "
                           "--json '{}'",
                           path));
  REQUIRE(outcome.exit_code == 0);
  CHECK_THAT(outcome.out, !ContainsSubstring("decode:"));
  CHECK_THAT(outcome.out, !ContainsSubstring("where the time of"));
  const auto json = Json::parse(read_file(path));
  CHECK(json["decode"].empty());
  CHECK(json["prefill"][0]["seconds_by_part"].is_null());
  const auto& peak = json["memory"]["peak_bytes"];
  if (peak.is_null()) {
    WARN("the system does not reset peaks of memory");
    return;
  }
  CHECK(peak.get<int64_t>() > 20'000'000);   // the program
  CHECK(peak.get<int64_t>() < 500'000'000);  // with the ceilings' memory more
}

TEST_CASE("bench names the option that cannot be", "[cli]") {
  const std::pair<std::string, std::string> bad[] = {
      {"--prompt-tokens 0", "--prompt-tokens"},
      {"--prompt-tokens 5,x", "--prompt-tokens"},
      {"--prompt-tokens 5,100000", "--prompt-tokens 100000: the model takes at most"},
      {"--prompt-tokens 5 --decode-tokens 100000", "--decode-tokens 100000: after prompts of 5"},
      {"--decode-tokens -1", "--decode-tokens"},
      {"--batch-size 4,0", "--batch-size"},
      {"--runs 0", "--runs"},
      {"--dtype int8", "--dtype: "},
      {"--device abacus", "--device: "},
  };
  for (const auto& [arguments, message] : bad) {
    INFO(arguments);
    const auto outcome = run_with_model("bench", arguments);
    CHECK(outcome.exit_code == 2);
    CHECK_THAT(outcome.err, ContainsSubstring(message));
    CHECK(outcome.out.empty());
  }
}

TEST_CASE("bench refuses what memory does not suffice for", "[cli]") {
  const auto outcome = run_with_model("bench", "--memory-limit 300MB --prompt-tokens 3");
  CHECK(outcome.exit_code == 1);
  CHECK_THAT(outcome.err, ContainsSubstring("measuring needs about"));
  CHECK(outcome.out.empty());
}

}  // namespace
}  // namespace prepack
