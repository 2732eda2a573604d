// The program itself: what it prints, where, and how it ends.

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "support/catch.h"
#include "support/temp_dir.h"

namespace prepack {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

const std::string kModel = std::string(PREPACK_SOURCE_DIR) + "/tests/data/models/llama-grouped";

struct Outcome {
  int exit_code;
  std::string out;
  std::string err;
};

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void write_file(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

/// Runs the program through a shell, so that `arguments` may redirect.
Outcome run(const std::string& arguments, const std::string& input = "") {
  const testing::TempDir folder;
  const auto path = folder.path();
  write_file(path / "in", input);
  const auto command =
      fmt::format("PREPACK_MODEL= '{}' {} <'{}' >'{}' 2>'{}'", PREPACK_PROGRAM, arguments,
                  (path / "in").string(), (path / "out").string(), (path / "err").string());
  const int status = std::system(command.c_str());
  return {WEXITSTATUS(status), read_file(path / "out"), read_file(path / "err")};
}

Outcome run_with_model(const std::string& command, const std::string& arguments,
                       const std::string& input = "") {
  return run(fmt::format("{} --model '{}' {}", command, kModel, arguments), input);
}

std::vector<Json> json_lines(const std::string& text) {
  std::vector<Json> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(Json::parse(line));
  return lines;
}

size_t num_lines(const std::string& text) { return std::ranges::count(text, '\n'); }

const std::string kTwelvePrompts = [] {
  std::string lines;
  for (int i = 0; i < 12; ++i) {
    lines += fmt::format("{{\"prompt\": \"Prompt number {}{}\"}}\n", i, std::string(i * 3, '!'));
  }
  return lines;
}();

/// One bad input: what is wrong with it must be said in one sentence, with a non-zero exit.
void require_failure(const Outcome& outcome, int exit_code, const std::string& message) {
  CAPTURE(outcome.err);
  CHECK(outcome.exit_code == exit_code);
  CHECK_THAT(outcome.err, ContainsSubstring(message));
  CHECK(outcome.out.empty());
}

}  // namespace

TEST_CASE("generate prints one JSON object per prompt, in order, when piped", "[cli]") {
  const auto outcome = run_with_model("generate", "--prompts - --max-new-tokens 5", kTwelvePrompts);
  CAPTURE(outcome.err);
  REQUIRE(outcome.exit_code == 0);
  const auto lines = json_lines(outcome.out);
  REQUIRE(lines.size() == 12);
  for (size_t i = 0; i < lines.size(); ++i) {
    CHECK(lines[i]["id"] == i);
    CHECK_THAT(lines[i]["prompt"].get<std::string>(),
               ContainsSubstring(fmt::format("Prompt number {}", i)));
    CHECK(lines[i]["token_ids"].size() <= 5);
    CHECK(lines[i]["prompt_tokens"].get<int>() > 0);
    CHECK((lines[i]["finish_reason"] == "length" || lines[i]["finish_reason"] == "stop"));
    CHECK(lines[i].contains("text"));
  }
}

TEST_CASE("generate gives the same tokens whatever the method, batch size and token budget",
          "[cli]") {
  const std::string common = "--prompts - --max-new-tokens 8 --dtype float32 --quiet ";
  const auto expected = run_with_model("generate", common + "--batch-size 1", kTwelvePrompts);
  REQUIRE(expected.exit_code == 0);
  for (const auto* options :
       {"--method packed", "--method packed-rows", "--method padded", "--batch-size 5",
        "--token-budget 64", "--method padded --token-budget 100",
        "--packing first-fit-decreasing --token-budget 77", "--threads 1"}) {
    CAPTURE(options);
    CHECK(run_with_model("generate", common + options, kTwelvePrompts).out == expected.out);
  }
}

TEST_CASE("a prompt's sampled tokens depend on the seed, and not on its batch", "[cli]") {
  const std::string common =
      "--prompts - --max-new-tokens 12 --temperature 1 --dtype float32 --ignore-eos --quiet ";
  const auto expected = run_with_model("generate", common + "--seed 5", kTwelvePrompts);
  REQUIRE(expected.exit_code == 0);
  CHECK(run_with_model("generate", common + "--seed 5 --batch-size 3", kTwelvePrompts).out ==
        expected.out);
  CHECK(run_with_model("generate", common + "--seed 6", kTwelvePrompts).out != expected.out);
}

TEST_CASE("a line's own fields take precedence over the command line", "[cli]") {
  const auto outcome = run_with_model(
      "generate", "--prompts - --max-new-tokens 7 --ignore-eos",
      "{\"prompt\": \"one\", \"id\": \"first\", \"max_new_tokens\": 2}\n"
      "{\"prompt_ids\": [5, 6, 7], \"id\": 17}\n"
      "\n"
      "{\"messages\": [{\"role\": \"user\", \"content\": \"hello\"}], \"subject\": \"ignored\"}\n");
  CAPTURE(outcome.err);
  REQUIRE(outcome.exit_code == 0);
  const auto lines = json_lines(outcome.out);
  REQUIRE(lines.size() == 3);
  CHECK(lines[0]["id"] == "first");
  CHECK(lines[0]["token_ids"].size() == 2);
  CHECK(lines[1]["id"] == 17);
  CHECK(lines[1]["prompt_tokens"] == 3);
  CHECK(lines[1]["token_ids"].size() == 7);
  CHECK(lines[2]["id"] == 2);
  CHECK_THAT(lines[2]["prompt"].get<std::string>(),
             ContainsSubstring("<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"));
}

TEST_CASE("a stop text ends the generation and is left out", "[cli]") {
  const auto whole =
      json_lines(run_with_model("generate", "-p 'Hello there' -n 20 --ignore-eos --quiet").out)[0];
  const auto text = whole["text"].get<std::string>();
  REQUIRE(text.size() > 8);
  // Any two neighbouring ASCII characters of the text will do.
  size_t at = 4;
  while (static_cast<unsigned char>(text[at]) > 126 || static_cast<unsigned char>(text[at]) < 40 ||
         text[at] == '\\') {
    ++at;
  }
  const std::string stop(1, text[at]);
  const auto input = Json{{"prompt", "Hello there"}, {"stop", stop}}.dump() + "\n";
  const auto stopped =
      json_lines(run_with_model("generate", "-f - -n 20 --ignore-eos --quiet", input).out)[0];
  CHECK(stopped["text"] == text.substr(0, text.find(stop)));
  CHECK(stopped["finish_reason"] == "stop");
}

TEST_CASE("a job that was killed is continued with no prompt lost or done twice", "[cli]") {
  const testing::TempDir folder;
  const auto whole = (folder.path() / "whole.jsonl").string();
  const auto cut = (folder.path() / "cut.jsonl").string();
  const std::string options = "--prompts - --max-new-tokens 6 --batch-size 4 --quiet --output ";
  REQUIRE(run_with_model("generate", options + whole, kTwelvePrompts).exit_code == 0);
  const auto expected = read_file(whole);
  REQUIRE(num_lines(expected) == 12);
  for (const size_t kept :
       {size_t{0}, size_t{1}, expected.size() / 2, expected.size() - 1, expected.size()}) {
    CAPTURE(kept);
    write_file(cut, expected.substr(0, kept));  // a kill may leave half a line
    const auto outcome = run_with_model("generate", options + cut + " --resume", kTwelvePrompts);
    CAPTURE(outcome.err);
    CHECK(outcome.exit_code == 0);
    CHECK(read_file(cut) == expected);
  }
}

TEST_CASE("a result file of another job is not continued", "[cli]") {
  const testing::TempDir folder;
  const auto file = (folder.path() / "out.jsonl").string();
  write_file(file, "{\"id\": 0, \"prompt\": \"something else\", \"text\": \"\"}\n");
  require_failure(run_with_model("generate", "-f - --resume --output " + file, kTwelvePrompts), 1,
                  "out.jsonl, line 1: the result of another job");
  CHECK(num_lines(read_file(file)) == 1);
  require_failure(run_with_model("generate", "-f - --resume", kTwelvePrompts), 2,
                  "--resume needs --output");
}

TEST_CASE("a file that holds something is not overwritten by mistake", "[cli]") {
  const testing::TempDir folder;
  const auto output = folder.write("out.jsonl", "precious\n").string();
  const auto prompts = folder.write("in.jsonl", kTwelvePrompts).string();
  const std::string options = "-n 2 --quiet -f '" + prompts + "' --output ";
  require_failure(run_with_model("generate", options + output), 2, "holds something already");
  require_failure(run_with_model("generate", options + prompts + " --overwrite"), 2,
                  "is a file of --prompts");
  require_failure(run_with_model("generate", options + output + " --resume"), 1,
                  "out.jsonl, line 1: not a result");
  CHECK(read_file(output) == "precious\n");
  CHECK(read_file(prompts) == kTwelvePrompts);
  write_file(output, "precious");  // without a line end it looks like a write that was cut off
  require_failure(run_with_model("generate", options + output + " --resume"), 1,
                  "not a result of this job");
  CHECK(read_file(output) == "precious");
  // Weights that cannot be loaded lose nothing either.
  const auto model = (folder.path() / "model").string();
  fs::create_directory(model);
  for (const auto* file : {"config.json", "tokenizer.json"}) {
    fs::copy(fs::path(kModel) / file, fs::path(model) / file);
  }
  CHECK(run(fmt::format("generate --model '{}' {}{} --overwrite", model, options, output))
            .exit_code == 1);
  CHECK(read_file(output) == "precious");
  CHECK(run_with_model("generate", options + output + " --overwrite").exit_code == 0);
  CHECK(num_lines(read_file(output)) == 12);
}

TEST_CASE("prompts and stop texts are taken as they are written", "[cli]") {
  for (const auto* text : {"[INST] hi, there [/INST]", "[1, 2, 3]", "[]", "%%", "{}", "a,b"}) {
    CAPTURE(text);
    const auto lines = json_lines(
        run_with_model("generate", fmt::format("-p '{}' -n 1 --quiet --stop '[x,y]'", text)).out);
    REQUIRE(lines.size() == 1);
    CHECK(lines[0]["prompt"] == text);
  }
}

TEST_CASE("a closed standard error does not get into the results", "[cli]") {
  const testing::TempDir folder;
  const auto output = (folder.path() / "out.jsonl").string();
  const auto command = fmt::format("'{}' generate --model '{}' -p a -p b -n 2 --output '{}' 2>&-",
                                   PREPACK_PROGRAM, kModel, output);
  REQUIRE(std::system(command.c_str()) == 0);
  CHECK(json_lines(read_file(output)).size() == 2);
}

TEST_CASE("each bad input is named in one sentence", "[cli]") {
  const auto generate = [](const std::string& arguments, const std::string& input = "") {
    return run_with_model("generate", arguments, input);
  };
  SECTION("bad lines of JSONL") {
    const std::string good = "{\"prompt\": \"fine\"}\n";
    require_failure(generate("-f -", good + "{\"prompt\": \n"), 1,
                    "standard input, line 2: not valid JSON");
    require_failure(generate("-f -", good + good + "{\"text\": \"x\"}\n"), 1,
                    "standard input, line 3: expected one of");
    require_failure(generate("-f -", "{\"prompt\": 5}\n"), 1, "\"prompt\": expected a string");
    require_failure(generate("-f -", "{\"prompt\": \"\"}\n"), 1, "line 1: the prompt is empty");
    require_failure(generate("-f -", "{\"prompt_ids\": []}\n"), 1, "line 1: the prompt is empty");
    require_failure(generate("-f -", "{\"prompt_ids\": [467]}\n"), 1,
                    "line 1: the prompt has token id 467, outside the vocabulary of 467");
    require_failure(generate("-f -", "{\"prompt_ids\": [-1]}\n"), 1, "-1 is not a token id");
    require_failure(generate("-f -", "{\"prompt\": \"x\", \"top_p\": 7}\n"), 1,
                    "line 1: top_p: expected more than 0, at most 1, got 7");
    require_failure(generate("-f -", "{\"prompt\": \"x\", \"max_new_tokens\": 0}\n"), 1,
                    "max_new_tokens: expected at least 1, got 0");
    require_failure(generate("-f -", "{\"prompt\": \"\xff\"}\n"), 1, "line 1: not valid JSON");
  }
  SECTION("bad prompts") {
    require_failure(generate("--prompt fine --prompt ''"), 1, "--prompt 2: the prompt is empty");
    require_failure(generate("--prompt \"$(printf 'ab\\303(')\""), 1, "UTF-8");
    require_failure(generate(""), 2, "no prompts");
    std::string ids = "{\"prompt_ids\": [3";
    for (int i = 0; i < 384; ++i) ids += ", 3";
    require_failure(generate("-f -", ids + "]}\n"), 1,
                    "the prompt has 385 tokens, more than the model's max_position_embeddings of "
                    "384");
    require_failure(generate("-p 'a longer prompt than that' --token-budget 2"), 1,
                    "--prompt 1: the prompt has");
  }
  SECTION("bad options") {
    require_failure(generate("-p x --method fast"), 2, "--method: prefill method: expected packed");
    require_failure(generate("-p x --packing best"), 2, "--packing: packing algorithm: expected");
    require_failure(generate("-p x --dtype float8"), 2, "--dtype: ");
    require_failure(generate("-p x --device tpu"), 2, "--device: device: expected auto, cpu");
    require_failure(generate("-p x --top-p 0"), 2, "top_p: expected more than 0");
    require_failure(generate("-p x --temperature -1"), 2, "temperature: expected 0 or more");
    require_failure(generate("-p x --memory-limit much"), 2, "--memory-limit: expected a size");
    CHECK(generate("-p x --seed -1").exit_code == 2);
    CHECK(generate("-p x --seed 99999999999999999999").exit_code == 2);
    CHECK(generate("-p x --batch-size 0").exit_code == 2);
    CHECK(generate("-p x --no-such-option").exit_code == 2);
    CHECK(run("").exit_code == 2);
  }
  SECTION("bad files") {
    require_failure(generate("-f /no/such/file.jsonl"), 1, "/no/such/file.jsonl: No such file");
    require_failure(generate("-f prompts.csv"), 1, "prompts.csv: expected a file of prompts");
    require_failure(run("generate --model /no/such/model -p x"), 1,
                    "/no/such/model: no such folder");
    const testing::TempDir folder;
    require_failure(run(fmt::format("generate --model '{}' -p x", folder.path().string())), 1,
                    "config.json");
  }
}

TEST_CASE("bad lines are skipped where that is asked for", "[cli]") {
  const auto outcome =
      run_with_model("generate", "-f - --skip-bad-lines -n 2 --quiet",
                     "{\"prompt\": \"one\"}\nnonsense\n{\"prompt\": \"\"}\n{\"prompt\": \"four\"}\n"
                     "{\"prompt\": \"five\", \"temperature\": -1}\n");
  REQUIRE(outcome.exit_code == 0);
  const auto lines = json_lines(outcome.out);
  REQUIRE(lines.size() == 2);
  CHECK(lines[0]["id"] == 0);
  CHECK(lines[1]["id"] == 3);
  CHECK_THAT(outcome.err, ContainsSubstring("skipped: standard input, line 2"));
  CHECK_THAT(outcome.err, ContainsSubstring("skipped: standard input, line 3"));
  CHECK_THAT(outcome.err, ContainsSubstring("skipped: standard input, line 5: temperature"));
}

TEST_CASE("a full disk is an error", "[cli]") {
  const auto to_output = run_with_model("generate", "-p hello -n 2 --output /dev/full");
  CHECK(to_output.exit_code == 1);
  CHECK_THAT(to_output.err, ContainsSubstring("/dev/full: No space left on device"));
  const testing::TempDir folder;
  const auto err = (folder.path() / "err").string();
  const int status =
      std::system(fmt::format("'{}' tokenize --model '{}' -p hello >/dev/full 2>'{}'",
                              PREPACK_PROGRAM, kModel, err)
                      .c_str());
  CHECK(WEXITSTATUS(status) == 1);
  CHECK_THAT(read_file(err), ContainsSubstring("standard output: No space left on device"));
}

TEST_CASE("a job that cannot fit says so before it loads weights", "[cli]") {
  const testing::TempDir folder;
  for (const auto* file : {"config.json", "tokenizer.json"}) {
    fs::copy(fs::path(kModel) / file, folder.path() / file);
  }
  // There are no weights: reaching them would be another error.
  const auto outcome = run(
      fmt::format("generate --model '{}' -p hello --memory-limit 100MB", folder.path().string()));
  require_failure(outcome, 1, "the job needs about");
  CHECK_THAT(outcome.err, ContainsSubstring("100 MB may be used"));
}

TEST_CASE("prefill prints the fields of its JSON", "[cli]") {
  const auto outcome =
      run_with_model("prefill", "--prompts - --repeat 3 --json --method padded", kTwelvePrompts);
  REQUIRE(outcome.exit_code == 0);
  const auto json = Json::parse(outcome.out);
  CHECK(json["prefill_s"].size() == 3);
  CHECK(json["ttft_s"].size() == 3);
  for (int i = 0; i < 3; ++i) CHECK(json["ttft_s"][i] >= json["prefill_s"][i]);
  CHECK(json["load_s"] > 0);
  CHECK(json["prompt_tokens"] < json["computed_tokens"]);
  CHECK(json["num_rows"] == 12);
  CHECK(json["peak_rss_bytes"] > 10'000'000);
  CHECK(json["method"] == "padded");
  CHECK(json["dtype"] == "float32");
  CHECK(json["device"] == "cpu");
  CHECK(json["threads"] > 0);
}

TEST_CASE("prefill saves logits that do not depend on the method", "[cli]") {
  const testing::TempDir folder;
  const auto logits_of = [&](const std::string& options) {
    const auto file = (folder.path() / "logits.safetensors").string();
    const auto outcome =
        run_with_model("prefill", "-f - --save-logits " + file + " " + options, kTwelvePrompts);
    REQUIRE(outcome.exit_code == 0);
    const auto bytes = read_file(file);
    uint64_t header_size = 0;
    std::memcpy(&header_size, bytes.data(), sizeof(header_size));
    const auto header = Json::parse(bytes.substr(8, header_size));
    CHECK(header["logits"]["dtype"] == "F32");
    CHECK(header["logits"]["shape"] == Json{12, 467});
    std::vector<float> logits(12 * 467);
    REQUIRE(bytes.size() == 8 + header_size + logits.size() * sizeof(float));
    std::memcpy(logits.data(), bytes.data() + 8 + header_size, logits.size() * sizeof(float));
    return logits;
  };
  const auto expected = logits_of("--batch-size 1");
  for (const auto* options : {"--method packed", "--method packed-rows", "--method padded",
                              "--batch-size 5 --token-budget 100"}) {
    CAPTURE(options);
    const auto logits = logits_of(options);
    float largest = 0;
    for (size_t i = 0; i < logits.size(); ++i) {
      largest = std::max(largest, std::abs(logits[i] - expected[i]));
    }
    CHECK(largest < 1e-4F);
  }
  const auto full = run_with_model("prefill", "-p hi --save-logits /no/such/folder/x", "");
  CHECK(full.exit_code == 1);
  CHECK_THAT(full.err, ContainsSubstring("/no/such/folder/x"));
  // A device is written to, not replaced.
  CHECK(run_with_model("prefill", "-p hi --save-logits /dev/null").exit_code == 0);
  CHECK(fs::is_character_file("/dev/null"));
  CHECK(run_with_model("prefill", "-p hi --save-logits /dev/full").exit_code == 1);
  CHECK(fs::is_character_file("/dev/full"));
}

TEST_CASE("plan puts every prompt into one bin, and needs no weights", "[cli]") {
  const auto outcome = run_with_model(
      "plan", "-f - --json --method packed-rows --batch-size 7 --token-budget 64", kTwelvePrompts);
  CAPTURE(outcome.err);
  REQUIRE(outcome.exit_code == 0);
  const auto json = Json::parse(outcome.out);
  CHECK(json["num_prompts"] == 12);
  CHECK(json["batches"].size() == 2);
  std::vector<int> seen(12);
  for (const auto& batch : json["batches"]) {
    for (const auto& forward : batch["forwards"]) {
      for (const auto& bin : forward) {
        for (int prompt : bin) ++seen[batch["first_prompt"].get<int>() + prompt];
      }
    }
  }
  CHECK(seen == std::vector<int>(12, 1));

  const auto picture = run_with_model("plan", "-f -", kTwelvePrompts);
  CHECK(picture.exit_code == 0);
  CHECK_THAT(picture.out, ContainsSubstring("█"));
  CHECK_THAT(picture.out, ContainsSubstring("packing efficiency 100.0 %"));
}

TEST_CASE("tokenize prints ids, or pieces, one array per line", "[cli]") {
  const auto ids = json_lines(run_with_model("tokenize", "-p 'Hello 12' -p 'x'").out);
  const auto pieces = json_lines(run_with_model("tokenize", "-p 'Hello 12' -p 'x' --pieces").out);
  REQUIRE(ids.size() == 2);
  REQUIRE(pieces.size() == 2);
  CHECK(ids[0].size() == pieces[0].size());
  std::string spelled;
  for (const auto& piece : pieces[0]) spelled += piece.get<std::string>();
  CHECK(spelled == "HelloĠ12");
}

TEST_CASE("info shows what a folder holds", "[cli]") {
  const auto outcome = run_with_model("info", "--json");
  REQUIRE(outcome.exit_code == 0);
  const auto json = Json::parse(outcome.out);
  CHECK(json["architecture"] == "LlamaForCausalLM");
  CHECK(json["num_kv_heads"] == 2);
  CHECK(json["chat_template"] == "chatml");
  CHECK(json["memory_bytes"]["total"] > json["memory_bytes"]["weights"]);
}

TEST_CASE("help names every option's default", "[cli]") {
  const auto outcome = run("generate --help");
  CHECK(outcome.exit_code == 0);
  for (const auto* part : {"--token-budget", "--batch-size N=32", "--method NAME=packed",
                           "--max-new-tokens N=128", "--resume", "[default:"}) {
    CHECK_THAT(outcome.out, ContainsSubstring(part));
  }
  CHECK(run("--version").exit_code == 0);
}

}  // namespace prepack
