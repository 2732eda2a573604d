// `prepack score` as a program, and --quantize in every one.

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "support/catch.h"
#include "support/family_model.h"
#include "support/program.h"
#include "support/temp_dir.h"

namespace prepack {

using namespace testing;

namespace {

void require_failure(const Outcome& outcome, int exit_code, const std::string& message) {
  CAPTURE(outcome.err);
  CHECK(outcome.exit_code == exit_code);
  CHECK_THAT(outcome.err, ContainsSubstring(message));
  CHECK(outcome.out.empty());
}

Json perplexity_of(const std::string& arguments, const std::string& input = "") {
  const auto outcome = run_with_model("score", arguments + " --json", input);
  CAPTURE(outcome.err);
  REQUIRE(outcome.exit_code == 0);
  return Json::parse(outcome.out);
}

std::string words(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += fmt::format("word {} of many. ", i * i);
  return text;
}

}  // namespace

TEST_CASE("score prints the perplexity of prompts", "[cli][score]") {
  const auto json = perplexity_of("-f -", kTwelvePrompts);
  CHECK(json["num_sequences"] == 12);
  CHECK(json["num_tokens"] > 12);
  CHECK(json["perplexity"] > 1);
  CHECK(std::abs(json["perplexity"].get<double>() - std::exp(-json["log_likelihood"].get<double>() /
                                                             json["num_tokens"].get<double>())) <
        1e-9);
  CHECK(json["weights"] == "as stored");
  // Another packing computes the same.
  const auto alone = perplexity_of("-f - --max-segments 1", kTwelvePrompts);
  CHECK(std::abs(json["log_likelihood"].get<double>() - alone["log_likelihood"].get<double>()) <
        1e-4 * json["num_tokens"].get<double>());
  const auto table = run_with_model("score", "-f -", kTwelvePrompts);
  CHECK_THAT(table.out, ContainsSubstring("perplexity ") && ContainsSubstring("12 sequences"));
}

TEST_CASE("score prints the perplexity of a text, in windows", "[cli][score]") {
  const TempDir folder;
  const auto file = folder.write("text", words(60)).string();
  const auto whole = perplexity_of("--text " + file + " --context 384");
  const auto cut = perplexity_of("--text " + file + " --context 20");
  const auto strided = perplexity_of("--text " + file + " --context 20 --stride 5");
  for (const auto& json : {cut, strided}) CHECK(json["num_tokens"] == whole["num_tokens"]);
  CHECK(whole["num_sequences"] < cut["num_sequences"]);
  CHECK(cut["num_sequences"] < strided["num_sequences"]);
  CHECK(cut["log_likelihood"] != strided["log_likelihood"]);
}

TEST_CASE("score prints a line for every continuation, in order", "[cli][score]") {
  const TempDir folder;
  const std::string lines =
      "{\"prompt\": \"The capital of France is\", \"continuation\": \" Paris\"}\n\n"
      "{\"prompt\": \"One two\", \"continuation\": \" three four\", \"id\": \"count\"}\n"
      "{\"prompt\": \"One two \", \"continuation\": \"three four\", \"id\": 7.5}\n";
  const auto file = folder.write("lines.jsonl", lines).string();
  const auto outcome = run_with_model("score", "--continuations " + file);
  CAPTURE(outcome.err);
  REQUIRE(outcome.exit_code == 0);
  const auto results = json_lines(outcome.out);
  REQUIRE(results.size() == 3);
  CHECK(results[0]["id"] == 0);
  CHECK(results[1]["id"] == "count");
  CHECK(results[2]["id"] == 7.5);
  for (const auto& result : results) {
    CHECK(result["log_likelihood"] < 0);
    CHECK(result["num_tokens"] > 0);
    CHECK(result["is_greedy"].is_boolean());
  }
  // The space at the end of a prompt is the continuation's.
  CHECK(std::abs(results[1]["log_likelihood"].get<double>() -
                 results[2]["log_likelihood"].get<double>()) < 1e-3);
}

TEST_CASE("prompts can be scored by their token ids", "[cli][score]") {
  const auto by_text = perplexity_of("-p 'One two three'");
  const auto ids = run_with_model("tokenize", "-p 'One two three'").out;
  const auto by_ids =
      perplexity_of("-f -", "{\"prompt_ids\": " + ids.substr(0, ids.find('\n')) + "}");
  CHECK(by_ids["num_tokens"] == by_text["num_tokens"]);
  CHECK(by_ids["log_likelihood"] == by_text["log_likelihood"]);
}

TEST_CASE("each thing that score cannot do is named in one sentence", "[cli][score]") {
  const TempDir folder;
  const auto score = [&](const std::string& arguments) {
    return run_with_model("score", arguments);
  };
  const auto continuations = [&](const std::string& lines) {
    return score("--continuations " + folder.write("lines.jsonl", lines).string());
  };
  const auto text = folder.write("text", words(3)).string();
  require_failure(score(""), 2, "expected one of --text, --continuations and prompts");
  require_failure(score("-p x --text " + text), 2, "expected one of");
  require_failure(score("-p x"), 1, "no prompt has two tokens");
  require_failure(score("-p 'one two' --context 5"), 2, "only a --text is cut into windows");
  require_failure(score("--text " + text + " --context 4000"), 2,
                  "--context: the model takes at most 384");
  require_failure(score("--text " + text + " --context 5 --stride 6"), 2,
                  "--stride: expected at most the context, 5, got 6");
  require_failure(score("--text /no/such/text"), 1, "/no/such/text: No such file");
  require_failure(score("--text " + folder.path().string()), 1, "is a folder");
  require_failure(score("--text " + folder.write("empty", "").string()), 1, "has none to score");
  require_failure(score("--text " + text + " --token-budget 3"), 2,
                  "--token-budget: the longest sequence has");
  require_failure(score("--text " + text + " --capacity auto"), 2, "--capacity auto:");
  require_failure(continuations(""), 1, "there is not a single line");
  require_failure(continuations("{\"prompt\": \"a\", \"continuation\": \" b\"}\n{"), 1,
                  "lines.jsonl, line 2: not valid JSON");
  require_failure(
      continuations(std::string("{\"prompt\": \"a\", \"continuation\": \" b\"}") + '\0'), 1,
      "line 1: not valid JSON");
  require_failure(continuations("{\"prompt\": \"a\", \"continuation\": \" b\", \"id\": 1e30}"), 1,
                  "line 1: \"id\": the number would be rounded");
  require_failure(continuations("{\"prompt\": \"a\"}"), 1,
                  "line 1: \"continuation\": expected a string");
  require_failure(continuations("{\"continuation\": \"a\", \"prompt\": 5}"), 1,
                  "line 1: \"prompt\": expected a string");
  require_failure(continuations("{\"prompt\": \"a\", \"continuation\": \"\"}"), 1,
                  "line 1: the continuation has no tokens");
  require_failure(score("--text " + text + " --memory-limit 100MB"), 1, "the job needs about");
}

TEST_CASE("quantized weights run in every command that loads a model", "[cli][quantization]") {
  const TempDir folder;
  write_random_model(folder.path(), config_in_whole_groups(kModel));
  for (const auto* quantize : {"--quantize int8", "--quantize int4 --quantize-group 64",
                               "--quantize int8 --quantize-activations int16"}) {
    CAPTURE(quantize);
    const auto run_quantized = [&](const char* command, const char* arguments) {
      return run(fmt::format("{} --model '{}' -f - {} {}", command, folder.path().string(),
                             arguments, quantize),
                 kTwelvePrompts);
    };
    const auto generated = run_quantized("generate", "-n 4 --quiet");
    CHECK(generated.exit_code == 0);
    CHECK(json_lines(generated.out).size() == 12);
    const auto verified = run_quantized("verify", "-n 4");
    CAPTURE(verified.out, verified.err);
    CHECK(verified.exit_code == 0);
    const auto prefilled = run_quantized("prefill", "--json");
    CHECK(Json::parse(prefilled.out)["quantization"].is_string());
    const auto scored = Json::parse(run_quantized("score", "--json").out);
    CHECK(scored["weights"].get<std::string>().starts_with("int"));
  }
}

TEST_CASE("info shows the memory of quantized weights", "[cli][quantization]") {
  const auto weights = [](const std::string& arguments) {
    const auto outcome = run_with_model("info", "--json " + arguments);
    REQUIRE(outcome.exit_code == 0);
    return Json::parse(outcome.out)["memory_bytes"]["weights"].get<int64_t>();
  };
  CHECK(weights("--quantize int8") < weights(""));
  CHECK(weights("--quantize int8 --quantize-activations int16") == weights("--quantize int8"));
  CHECK(weights("--quantize int8 --quantize-activations int8") == weights("--quantize int8"));
  CHECK_THAT(run_with_model("info", "--quantize int4 --quantize-group 128").out,
             ContainsSubstring(", weights int4 in groups of 128:"));
}

TEST_CASE("quantizations that there are not are usage errors", "[cli][quantization]") {
  require_failure(run_with_model("generate", "-p x --quantize int3"), 2,
                  "--quantize: quantization: expected int8 or int4, got int3");
  require_failure(run_with_model("info", "--quantize int4 --quantize-group 48"), 2,
                  "expected groups of 32, 64 or 128, got 48");
  require_failure(run_with_model("info", "--quantize int4 --quantize-activations int4"), 2,
                  "--quantize-activations: activations: expected int16 or int8, got int4");
  CHECK(run_with_model("generate", "-p x --quantize-group 64").exit_code == 2);
  for (const auto* command : {"generate -p x", "info"}) {
    require_failure(
        run_with_model(command, "--quantize-activations int16"), 1,
        "quantization: activations are quantized for quantized weights, and the model has none");
  }
}

}  // namespace prepack
