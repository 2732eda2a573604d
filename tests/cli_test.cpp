// The program itself: what it prints, where, and how it ends.

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "support/catch.h"
#include "support/program.h"
#include "support/temp_dir.h"

namespace prepack {

namespace fs = std::filesystem;
using namespace testing;

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
        "--packing first-fit-decreasing --token-budget 77", "--threads 1", "--packing greedy",
        "--packing optimal", "--packing integer-programming --batch-size 4", "--capacity 128",
        "--capacity auto", "--max-segments 2", "--balance --token-budget 128",
        "--final-token first-step", "--method padded --final-token first-step",
        "--method packed-rows --final-token first-step --capacity 120",
        "--batch-size 5 --no-refill"}) {
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

TEST_CASE("prompts and stop texts are taken as they are written", "[cli]") {
  for (const auto* text : {"[INST] hi, there [/INST]", "[1, 2, 3]", "[]", "%%", "{}", "a,b"}) {
    CAPTURE(text);
    const auto lines = json_lines(
        run_with_model("generate", fmt::format("-p '{}' -n 1 --quiet --stop '[x,y]'", text)).out);
    REQUIRE(lines.size() == 1);
    CHECK(lines[0]["prompt"] == text);
  }
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

TEST_CASE("a measured capacity is remembered", "[cli]") {
  const testing::TempDir folder;
  const auto file = folder.path() / "prepack" / "capacities.json";
  const auto capacity = [&](const char* options) {
    const auto outcome =
        run_with_model("prefill", fmt::format("--prompts - --json --capacity auto {}", options),
                       kTwelvePrompts, folder.path());
    CAPTURE(outcome.err);
    REQUIRE(outcome.exit_code == 0);
    return Json::parse(outcome.out)["capacity"].get<int64_t>();
  };
  const auto measured = capacity("");
  auto known = Json::parse(read_file(file));
  REQUIRE(known.size() == 1);
  CHECK(known.front() == measured);
  // A number that no measurement tries.
  known.front() = 300;
  write_file(file, known.dump());
  CHECK(capacity("") == 300);
  CHECK(capacity("--method packed-rows") != 300);
  CHECK(Json::parse(read_file(file)).size() == 2);
  for (const auto* defect : {"{\"a\": ", "[]", ""}) {
    CAPTURE(defect);
    write_file(file, defect);
    CHECK(capacity("") != 300);
    CHECK(Json::parse(read_file(file)).size() == 1);
  }
  // Out of the range that is measured, as a file of another program might say.
  for (const auto& nonsense : {Json(1), Json(-5), Json("300"), Json(1'000'000'000)}) {
    known.front() = nonsense;
    write_file(file, known.dump());
    CHECK(capacity("") != nonsense);
  }
}

/// Two headers, taken in turns, so that neighbours do not begin alike.
std::string prompts_with_shared_headers() {
  std::string prompts;
  for (const auto* tail : {"one", "another", "a third", "the last"}) {
    for (const char header : {'x', 'a'}) {
      prompts += Json{{"prompt", std::string(60, header) + tail}}.dump() + "\n";
    }
  }
  return prompts;
}

TEST_CASE("beginnings that prompts share are computed once where that is asked for", "[cli]") {
  const auto prompts = prompts_with_shared_headers();
  const auto count_of = [&](const char* name, const char* options) {
    const auto outcome =
        run_with_model("prefill", fmt::format("--prompts - --json {}", options), prompts);
    CAPTURE(outcome.err);
    REQUIRE(outcome.exit_code == 0);
    return Json::parse(outcome.out)[name].get<int64_t>();
  };
  const auto computed_tokens = [&](const char* options) {
    return count_of("computed_tokens", options);
  };
  const auto all = computed_tokens("");
  const auto shared = computed_tokens("--share-prefixes");
  CHECK(shared < all / 2);
  // Batches are made of prompts that begin alike, not of neighbours, and end where those do.
  CHECK(computed_tokens("--share-prefixes --batch-size 4") == shared);
  CHECK(computed_tokens("--share-prefixes --batch-size 5") == shared);
  CHECK(computed_tokens("--share-prefixes --batch-size 3") > shared);
  // What is shared is held once. The sum of the memory would not show it: it counts what the
  // process has, which is not the same in every run.
  const auto cache_kilobytes = [&](const char* options) {
    const auto outcome = run_with_model(
        "prefill", fmt::format("--prompts - --memory-limit 1KB {}", options), prompts);
    const std::string_view name = "caches ";
    const auto place = outcome.err.find(name);
    CAPTURE(outcome.err);
    REQUIRE(place != std::string::npos);
    REQUIRE(outcome.err.find(" KB", place) < outcome.err.find(',', place));
    return std::stoi(outcome.err.substr(place + name.size()));
  };
  CHECK(cache_kilobytes("--share-prefixes") < cache_kilobytes(""));
  CHECK(run_with_model("prefill", "-p x --share-prefixes --method padded").exit_code == 2);
}

TEST_CASE("results keep the order of the prompts that share beginnings", "[cli]") {
  const testing::TempDir folder;
  const auto prompts = prompts_with_shared_headers();
  const auto run = [&](const char* command, const std::string& options) {
    const auto outcome = run_with_model(command, "--prompts - --batch-size 3 " + options, prompts);
    CAPTURE(outcome.err);
    REQUIRE(outcome.exit_code == 0);
    return outcome.out;
  };
  const auto expected = run("generate", "-n 8");
  CHECK(run("generate", "-n 8 --share-prefixes") == expected);

  // Every batch has the first prompt that no other has, so that a killed job loses little.
  const auto stopped =
      run_with_model("generate", "--prompts - --batch-size 4 -n 8 --share-prefixes", prompts);
  CHECK(stopped.out == expected);

  const auto file = (folder.path() / "killed.jsonl").string();
  write_file(file, expected.substr(0, expected.size() / 3));
  run("generate", "-n 8 --share-prefixes --resume --output " + file);
  CHECK(read_file(file) == expected);
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
  for (const auto* options :
       {"--method packed", "--method packed-rows", "--method padded",
        "--batch-size 5 --token-budget 100", "--batch-size 5 --share-prefixes"}) {
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

TEST_CASE("a chat template that has the choice is asked for answers without reasoning", "[cli]") {
  const TempDir folder;
  std::filesystem::copy_file(kModel + "/tokenizer.json", folder.path() / "tokenizer.json");
  const auto data =
      Json::parse(read_file(std::string(PREPACK_SOURCE_DIR) + "/tests/data/chat_templates.json"));
  for (const auto& entry : data["templates"]) {
    if (entry["name"] != "Qwen3") continue;
    write_file(folder.path() / "chat_template.jinja", entry["source"].get<std::string>());
  }
  const auto tokens = [&](const std::string& arguments) {
    const auto outcome =
        run(fmt::format("tokenize --model '{}' {}", folder.path().string(), arguments));
    CHECK(outcome.err.empty());
    return Json::parse(outcome.out).get<std::vector<int>>();
  };
  const auto thinking = tokens("--chat -p Hi");
  const auto plain = tokens("--chat --no-thinking -p Hi");
  auto expected = thinking;
  const auto closed = tokens("--no-special-tokens -p '<think>\n\n</think>\n\n'");
  expected.insert(expected.end(), closed.begin(), closed.end());
  CHECK(plain == expected);
}

TEST_CASE("info shows what a folder holds", "[cli]") {
  const auto outcome = run_with_model("info", "--json");
  REQUIRE(outcome.exit_code == 0);
  const auto json = Json::parse(outcome.out);
  CHECK(json["architecture"] == "LlamaForCausalLM");
  CHECK(json["family"] == "llama");
  CHECK(json["num_kv_heads"] == 2);
  CHECK(json["chat_template"] == "Jinja");
  CHECK(json["memory_bytes"]["total"] > json["memory_bytes"]["weights"]);
}

TEST_CASE("info predicts no more than a job can take", "[cli]") {
  const auto memory = [](const std::string& model, const std::string& options) {
    const auto outcome = run(fmt::format("info --json --model '{}' {}", model, options));
    CAPTURE(outcome.err);
    REQUIRE(outcome.exit_code == 0);
    return Json::parse(outcome.out)["memory_bytes"];
  };
  // The model has 384 positions; the last new token takes none.
  CHECK(memory(kModel, "--prompt-tokens 84 -n 1000000")["cache"] ==
        memory(kModel, "--prompt-tokens 84 -n 301")["cache"]);
  // 2^33 tokens of 30 layers with 3 heads of 64 for keys, and as many for values.
  const auto huge = memory(std::string(PREPACK_SOURCE_DIR) + "/models/smollm2-135m-instruct",
                           "--batch-size 1048576 --prompt-tokens 4096 -n 16777216 --dtype float32");
  CHECK(huge["cache"] == (int64_t{1} << 33) * 30 * 2 * 3 * 64 * 4);
  CHECK(huge["total"] > huge["cache"]);
}

TEST_CASE("info shows a path that is not UTF-8", "[cli]") {
  const testing::TempDir folder;
  const auto model = folder.path() / "model\xff";
  fs::create_directory(model);
  fs::copy(fs::path(kModel) / "config.json", model / "config.json");
  const auto outcome = run(fmt::format("info --json --model '{}'", model.string()));
  CAPTURE(outcome.err);
  REQUIRE(outcome.exit_code == 0);
  CHECK_THAT(Json::parse(outcome.out)["weights"].get<std::string>(),
             ContainsSubstring("model\uFFFD"));
}

TEST_CASE("numbers are decimal", "[cli]") {
  const auto outcome = run_with_model("prefill", "--prompt a --batch-size 010 --json");
  CHECK(Json::parse(outcome.out)["batch_size"] == 10);
}

TEST_CASE("info shows what is odd about a family, also where there are no weights", "[cli]") {
  const std::string root = PREPACK_SOURCE_DIR;
  const auto table = run("info --model " + root + "/models/smollm3-3b");
  REQUIRE(table.exit_code == 0);
  CHECK_THAT(table.out, ContainsSubstring("SmolLM3ForCausalLM, family smollm3"));
  CHECK_THAT(table.out, ContainsSubstring("3075.1 million"));
  CHECK_THAT(table.out, ContainsSubstring("causal, without RoPE in 9 of 36 layers\n"));
  const auto outcome = run("info --json --model " + root + "/tests/data/models/qwen3-mixed");
  REQUIRE(outcome.exit_code == 0);
  const auto json = Json::parse(outcome.out);
  CHECK(json["qk_norm"] == true);
  CHECK(json["layers"][0]["sliding_window"] == 7);
  CHECK(json["layers"][1]["sliding_window"].is_null());
  CHECK(json["layers"][1]["rope"] == true);
}

namespace {

/// The folder of the model that tests/data/gguf/llama-biased.gguf was made from.
void write_folder_of_gguf(const fs::path& folder) {
  const fs::path data = std::string(PREPACK_SOURCE_DIR) + "/tests/data";
  for (const auto* file : {"config.json", "generation_config.json", "model.safetensors"}) {
    fs::copy(data / "models/llama-biased" / file, folder / file);
  }
  for (const auto* file : {"tokenizer.json", "tokenizer_config.json"}) {
    fs::copy(data / "gguf/llama-biased" / file, folder / file);
  }
}

const std::string kGguf = std::string(PREPACK_SOURCE_DIR) + "/tests/data/gguf/llama-biased.gguf";

}  // namespace

TEST_CASE("a GGUF file gives the tokens and texts of its folder", "[cli]") {
  const TempDir folder;
  write_folder_of_gguf(folder.path());
  const auto run_both = [&](const std::string& arguments, const std::string& input) {
    const auto separator = arguments.find(' ');
    const auto with_model = [&](const std::string& model) {
      return run(fmt::format("{} --model '{}'{}", arguments.substr(0, separator), model,
                             arguments.substr(separator)),
                 input);
    };
    const auto expected = with_model(folder.path().string());
    CAPTURE(expected.err);
    REQUIRE(expected.exit_code == 0);
    const auto got = with_model(kGguf);
    CAPTURE(got.err);
    REQUIRE(got.exit_code == 0);
    CHECK(got.out == expected.out);
    CHECK_FALSE(got.out.empty());
  };
  run_both("tokenize --prompts -", kTwelvePrompts);
  run_both("tokenize --prompts - --chat --pieces", kTwelvePrompts);
  run_both("generate --prompts - --max-new-tokens 8 --dtype float32 --quiet", kTwelvePrompts);
  run_both("generate --prompts - --chat --max-new-tokens 8 --dtype float32 --quiet",
           kTwelvePrompts);
}

TEST_CASE("PREPACK_MODEL may name a GGUF file", "[cli]") {
  const auto by_option = run("tokenize -p 'he said' --model '" + kGguf + "'");
  const auto by_variable = run("--version >/dev/null; PREPACK_MODEL='" + kGguf + "' '" +
                               PREPACK_PROGRAM + "' tokenize -p 'he said'");
  CHECK(by_option.exit_code == 0);
  CHECK_FALSE(by_option.out.empty());
  CHECK(by_variable.out == by_option.out);
}

TEST_CASE("every command takes a GGUF file", "[cli]") {
  for (const auto* arguments :
       {"prefill --prompts -", "plan --prompts -", "verify --prompts -",
        "compare --prompts - --batch-size 4 --metrics prefill --methods packed,padded"}) {
    CAPTURE(arguments);
    const std::string command(arguments);
    const auto separator = command.find(' ');
    const auto outcome = run(fmt::format("{} --model '{}'{}", command.substr(0, separator), kGguf,
                                         command.substr(separator)),
                             kTwelvePrompts);
    CAPTURE(outcome.err);
    CHECK(outcome.exit_code == 0);
  }
}

TEST_CASE("info shows the types of a GGUF file's tensors", "[cli]") {
  const auto json = Json::parse(run("info --json --model '" + kGguf + "'").out);
  CHECK(json["architecture"] == "LlamaForCausalLM");
  CHECK(json["format"] == "GGUF");
  CHECK(json["stored_dtype"] == "F32");
  CHECK(json["stored_types"]["F32"]["tensors"] == 34);
  CHECK(json["stored_types"]["F32"]["bytes"] == 84080);
  CHECK(json["chat_template"] == "Jinja");
  CHECK_THAT(run("info --model '" + kGguf + "'").out,
             ContainsSubstring("34 tensors in GGUF: 34 of F32, 84 KB"));
}

TEST_CASE("info shows how a GPTQ or AWQ folder is quantized, and the memory it takes so",
          "[cli][packed]") {
  const auto models = std::string(PREPACK_SOURCE_DIR) + "/tests/data/models/";
  const auto info = [&](const std::string& name) {
    return Json::parse(run("info --json --dtype float32 --model " + models + name).out);
  };
  const auto gptq = info("llama-gptq");
  CHECK(gptq["stored_dtype"] == "GPTQ, 4 bits in groups of 32");
  // Of each layer 4 bits, in rows of whole blocks of 64, and 8 bytes for each 32 features of a row;
  // the embeddings and the projection to the vocabulary in float16, as stored; norms in float32.
  const int64_t num_rows = 64 + 32 + 32 + 64 + 96 + 96;  // of 64, and those of down_proj of 96
  const int64_t values = (num_rows * 64 + 64 * 128) / 2;
  const int64_t scales = (num_rows * 64 + 64 * 96) / 32 * 8;
  const int64_t norms = 5 * 64;
  CHECK(gptq["memory_bytes"]["weights"] == 2 * (values + scales) + 2 * (2 * 97 * 64) + 4 * norms);
  CHECK(info("qwen2-awq")["stored_dtype"] == "AWQ, 4 bits in groups of 64");
  CHECK_THAT(run("info --model " + models + "phi3-awq").out,
             ContainsSubstring("stored in AWQ, 4 bits in whole rows"));
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
