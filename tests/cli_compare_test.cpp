// prepack compare, as a user runs it.

#include <filesystem>

#include "support/catch.h"
#include "support/program.h"
#include "support/temp_dir.h"

namespace prepack {
namespace {

using testing::Json;
using testing::kTwelvePrompts;
using testing::read_file;
using testing::run_with_model;
using testing::TempDir;
using testing::write_file;

TEST_CASE("compare writes a table, JSON and CSV of the same results", "[cli]") {
  const TempDir folder;
  const auto path = folder.path().string();
  write_file(folder.path() / "twelve.jsonl", kTwelvePrompts);
  const auto outcome = run_with_model(
      "compare", fmt::format("--prompts '{0}/twelve.jsonl' --random-lengths 2:9 --num-prompts 10 "
                             "--metrics prefill,ttft,generate -n 2 --batch-size 4,6 --runs 2 "
                             "--json '{0}/out.json' --csv '{0}/out.csv'",
                             path));
  REQUIRE(outcome.exit_code == 0);
  CHECK_THAT(outcome.out, ContainsSubstring("twelve, batch size 4: time to first token"));
  CHECK_THAT(outcome.out, ContainsSubstring("random-2-9, batch size 6: time to generate"));
  CHECK_THAT(outcome.out, ContainsSubstring("speed-up"));
  const auto json = Json::parse(read_file(folder.path() / "out.json"));
  CHECK(json["environment"]["model"] == "llama-grouped");
  CHECK(json["environment"]["runs"] == 2);
  CHECK(json["datasets"].size() == 2);
  CHECK(json["datasets"][1]["num_prompts"] == 10);
  CHECK(json["results"].size() == 2 * 3 * 2 * 5);
  for (const auto& row : json["results"]) {
    CHECK(row["error"].is_null());
    CHECK(row["samples_s"].size() == 2 * row["num_batches"].get<size_t>());
    CHECK(row["mean_s"].get<double>() > 0);
  }
  CHECK(testing::num_lines(read_file(folder.path() / "out.csv")) == 1 + 2 * 3 * 2 * 5);
}

TEST_CASE("a comparison uses part of a data set, and the same part again", "[cli]") {
  const TempDir folder;
  const auto path = folder.path().string();
  write_file(folder.path() / "twelve.jsonl", kTwelvePrompts);
  const auto tokens = [&](const std::string& options) {
    const auto outcome = run_with_model(
        "compare", fmt::format("--prompts '{0}/twelve.jsonl' --max-prompts 5 --methods packed "
                               "--metrics ttft --runs 1 -q --json '{0}/out.json' {1}",
                               path, options));
    REQUIRE(outcome.exit_code == 0);
    CHECK(outcome.out.empty());
    const auto json = Json::parse(read_file(folder.path() / "out.json"));
    CHECK(json["datasets"][0]["num_prompts"] == 5);
    CHECK(json["results"].size() == 1);
    CHECK(json["results"][0]["speedup"].is_null());
    return json["datasets"][0]["lengths"].dump();
  };
  CHECK(tokens("--seed 1") == tokens("--seed 1"));
  CHECK(tokens("--seed 1") != tokens("--seed 4"));
}

TEST_CASE("a method that needs too much memory is a row of the comparison", "[cli]") {
  const TempDir folder;
  const auto path = folder.path().string();
  const auto outcome = run_with_model(
      "compare", fmt::format("--random-lengths 1:100 --num-prompts 64 --batch-size 64 --runs 1 "
                             "--methods padded,packed --metrics ttft --memory-limit 211MB "
                             "--json '{}/out.json'",
                             path));
  REQUIRE(outcome.exit_code == 0);
  CHECK_THAT(outcome.out, ContainsSubstring("out of memory: needs about"));
  const auto rows = Json::parse(read_file(folder.path() / "out.json"))["results"];
  CHECK(rows[0]["error"].is_string());
  CHECK(rows[0]["mean_s"].is_null());
  CHECK(rows[1]["error"].is_null());
  CHECK(rows[1]["mean_s"].get<double>() > 0);
}

TEST_CASE("compare names the option that cannot be", "[cli]") {
  const std::pair<std::string, std::string> bad[] = {
      {"--prompt Hi --methods packed,none", "--methods: expected packed"},
      {"--prompt Hi --metrics speed", "--metrics: expected prefill"},
      {"--random-lengths 9:2", "--random-lengths: expected SHORTEST:LONGEST"},
      {"--random-lengths 1:100000", "the model's positions"},
      {"", "no data set"},
      {"--prompt Hi --batch-size 0", "--batch-size"},
      {"--prompt Hi --capacity auto", "--capacity auto"},
      {"--random-lengths 9:9 --token-budget 8", "--token-budget 8: prompt 0 of random-9-9"},
      {"--random-lengths 9:9 --capacity 8", "--capacity 8: prompt 0 of random-9-9"},
      {"--random-lengths 9:9 --capacity 30 --token-budget 20", "--capacity: is more"},
      {"--prompt Hi --json out --csv out", "out is given twice"},
      {"--prompt Hi --json out --csv ./out", "./out is given twice"},
      {"--prompt Hi --seed -1", "--seed: expected a whole number from 0 to 2^64 - 1"},
      {"--prompts a/same.txt --json a/same.txt", "a/same.txt is given twice"},
      {"--prompts a/same.txt --prompts b/same.txt", "two data sets are called same"},
  };
  const TempDir folder;
  for (const auto* name : {"a", "b"}) {
    std::filesystem::create_directory(folder.path() / name);
    write_file(folder.path() / name / "same.txt", "Hello\n");
  }
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  for (const auto& [arguments, message] : bad) {
    INFO(arguments);
    const auto outcome = run_with_model("compare", arguments);
    CHECK(outcome.exit_code == 2);
    CHECK_THAT(outcome.err, ContainsSubstring(message));
    CHECK(outcome.out.empty());
  }
  std::filesystem::current_path(before);
}

}  // namespace
}  // namespace prepack
