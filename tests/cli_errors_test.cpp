// What the program refuses, and that nothing is lost when it does.

#include <fmt/format.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "model/blocked_products.h"
#include "support/catch.h"
#include "support/program.h"
#include "support/temp_dir.h"

namespace prepack {

namespace fs = std::filesystem;
using namespace testing;

namespace {

/// One bad input: what is wrong with it must be said in one sentence, with a non-zero exit.
void require_failure(const Outcome& outcome, int exit_code, const std::string& message) {
  CAPTURE(outcome.err);
  CHECK(outcome.exit_code == exit_code);
  CHECK_THAT(outcome.err, ContainsSubstring(message));
  CHECK(outcome.out.empty());
}

}  // namespace

TEST_CASE("what is no command or option is named", "[cli]") {
  require_failure(run("frobnicate --prompt hi"), 2, "frobnicate: no such command");
  require_failure(run(""), 2, "subcommand is required");
  require_failure(run("--frobnicate"), 2, "--frobnicate: no such option");
  CHECK(run("--help").exit_code == 0);
  CHECK(run("-h").exit_code == 0);
  CHECK(run("--version").exit_code == 0);
}

TEST_CASE("a result file of another job is not continued", "[cli]") {
  const testing::TempDir folder;
  const auto file = (folder.path() / "out.jsonl").string();
  write_file(file, "{\"id\": 0, \"prompt\": \"something else\", \"text\": \"\"}\n");
  require_failure(run_with_model("generate", "-f - --resume --output " + file, kTwelvePrompts), 1,
                  "out.jsonl, line 1: the result of another job");
  CHECK(num_lines(read_file(file)) == 1);
  write_file(file, std::string("{\"id\":0,\"prompt\":\"Prompt number 0\"}") + '\0' + "more\n");
  require_failure(run_with_model("generate", "-f - --resume --output " + file, kTwelvePrompts), 1,
                  "out.jsonl, line 1: not a result");
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
  require_failure(run_with_model("prefill", "-f '" + prompts + "' --save-logits " + prompts), 2,
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
    CHECK(generate("-p x --top-k 99999999999999999999").exit_code == 2);
    require_failure(generate("-p x --temperature ''"), 2, "--temperature: expected a number");
    require_failure(run_with_model("info", "--method padded --capacity 4"), 2, "has no bins");
    require_failure(run_with_model("info", "--capacity auto"), 2, "--capacity auto: ");
    CHECK(generate("-p x --no-such-option").exit_code == 2);
    CHECK(run("").exit_code == 2);
  }
  SECTION("bad files") {
    require_failure(generate("-f /no/such/file.jsonl"), 1, "/no/such/file.jsonl: No such file");
    require_failure(generate("-f prompts.csv"), 1, "prompts.csv: expected a file of prompts");
    require_failure(run("generate --model /no/such/model -p x"), 1,
                    "/no/such/model: no such folder or GGUF file");
    require_failure(run("generate --model '" + kModel + "/config.json' -p x"), 1,
                    "config.json: expected a model's folder or a GGUF file");
    const testing::TempDir folder;
    require_failure(run(fmt::format("generate --model '{}' -p x", folder.path().string())), 1,
                    "config.json");
    fs::create_symlink("loop", folder.path() / "loop");
    const auto loop = (folder.path() / "loop").string();
    require_failure(run(fmt::format("generate --model '{}' -p x", loop)), 1,
                    "prepack: " + loop + ": Too many levels of symbolic links");
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
  for (const auto& arguments : {fmt::format("tokenize --model '{}' -p hello", kModel),
                                std::string("generate --help"), std::string("--version")}) {
    CAPTURE(arguments);
    const auto command = fmt::format("'{}' {} >/dev/full 2>'{}'", PREPACK_PROGRAM, arguments, err);
    const int status = std::system(command.c_str());
    CHECK(WEXITSTATUS(status) == 1);
    CHECK_THAT(read_file(err), ContainsSubstring("standard output: No space left on device"));
  }
}

TEST_CASE("standard input that cannot be read is an error", "[cli]") {
  const testing::TempDir folder;
  const auto err = (folder.path() / "err").string();
  const auto command = fmt::format("'{}' tokenize --model '{}' -f - <'{}' 2>'{}'", PREPACK_PROGRAM,
                                   kModel, folder.path().string(), err);
  const int status = std::system(command.c_str());
  CHECK(WEXITSTATUS(status) == 1);
  CHECK_THAT(read_file(err), ContainsSubstring("standard input: Is a directory"));
}

TEST_CASE("the scripts that install refuse what they do not know", "[cli]") {
  for (const auto* script : {"setup.sh", "quickstart.sh"}) {
    CAPTURE(script);
    const auto command =
        fmt::format("'{}/scripts/{}' --frobnicate 2>&1", PREPACK_SOURCE_DIR, script);
    const int status = std::system((command + " | grep -q -e --frobnicate").c_str());
    CHECK(WEXITSTATUS(status) == 0);
  }
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

TEST_CASE("a layout of weights that there is not, or not for this model, is refused",
          "[cli][blocked]") {
  const auto models = std::string(PREPACK_SOURCE_DIR) + "/tests/data/models/";
  const auto outcome = [&](const char* command, const char* layout, const char* model) {
    return run(fmt::format("{} --dtype float32 --weight-layout {} --model {}{}", command, layout,
                           models, model));
  };
  for (const auto* command : {"info", "prefill --prompt a"}) {
    require_failure(outcome(command, "packed", "llama-yarn"), 2,
                    "--weight-layout: weight layout: expected auto, plain or blocked, got packed");
  }
  require_failure(outcome("info", "blocked", "llama-biased"), 1,
                  "weight layout: no product's weight is of the dtype computed in, float32");
  if (has_blocked_products(at::kFloat)) {
    CHECK(outcome("info", "blocked", "llama-yarn").exit_code == 0);
  }
}

TEST_CASE("a folder that is quantized already is not quantized again", "[cli][packed]") {
  const auto model = std::string(PREPACK_SOURCE_DIR) + "/tests/data/models/qwen2-awq";
  for (const auto* command : {"info", "generate --prompt a", "score --prompt a"}) {
    require_failure(run(fmt::format("{} --quantize int8 --model {}", command, model)), 2,
                    "--quantize: the model's weights are quantized already: AWQ, 4 bits in groups "
                    "of 64");
  }
}

}  // namespace prepack
