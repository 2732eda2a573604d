// Every way to prefill gives each prompt's own state with a trained model: on the prompts of the
// data sets that the paper measures, where they are there, and on short texts of the tests' own.

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "prepack/decode.h"
#include "prepack/tokenizer.h"
#include "support/catch.h"
#include "support/reference.h"
#include "support/tiny_model.h"
#include "support/tolerances.h"

namespace prepack {
namespace {

namespace fs = std::filesystem;
using testing::check_same_state;
using testing::prefill_alone;

const double kTolerance = testing::tolerance(DType::kFloat32).logits;

/// A trained model and the tokenizer it was trained with.
struct Subject {
  const Model& model;
  const Tokenizer& tokenizer;
};

void for_default_model(const std::function<void(const Subject&)>& check) {
  const auto reference = testing::default_reference();
  if (!reference) return;
  const auto tokenizer = load_tokenizer(reference->model_folder);
  check({testing::load_once(*reference), *tokenizer});
}

/// Slots beyond the longest prompt, which must stay zero.
constexpr int64_t kFreeSlots = 3;

int64_t longest(const std::vector<TokenIds>& prompts) {
  return static_cast<int64_t>(std::ranges::max_element(prompts, {}, &TokenIds::size)->size());
}

/// Each method's state is that of each prompt run alone.
/// @param capacity  of the bins; 0: the method's default
void check_methods(const Model& model, const std::vector<TokenIds>& prompts, int64_t capacity = 0) {
  const int64_t num_slots = longest(prompts) + kFreeSlots;
  const auto alone = prefill_alone(model, prompts, num_slots);
  for (auto method : {PrefillMethod::kPacked, PrefillMethod::kPackedRows, PrefillMethod::kPadded}) {
    INFO(to_string(method));
    check_same_state(prefill(model, prompts, {.method = method, .capacity = capacity}, num_slots),
                     alone, kTolerance);
  }
  INFO("packed into several forwards, the final tokens by the first decode step");
  auto state = prefill(model, prompts,
                       {.method = PrefillMethod::kPacked,
                        .token_budget = longest(prompts),
                        .final_token = FinalToken::kFirstStep},
                       num_slots);
  decode_final_tokens(model, state);
  check_same_state(state, alone, kTolerance);
}

/// Where the data sets are: not a part of the project, so they may be absent.
fs::path prompts_folder() {
  if (const char* folder = std::getenv("PREPACK_PROMPTS")) return folder;
  return fs::path(PREPACK_SOURCE_DIR) / ".." / "shared" / "prompts";
}

std::vector<TokenIds> read_prompts(const fs::path& file, const Tokenizer& tokenizer) {
  std::vector<TokenIds> prompts;
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    prompts.push_back(
        tokenizer.encode(nlohmann::json::parse(line).at("prompt").get<std::string>()));
  }
  return prompts;
}

/// Few prompts, so that a file takes seconds, of all lengths: the shortest, the longest that is not
/// too long, and some in between. The order is that of neither the file nor the lengths.
std::vector<TokenIds> choose_prompts(std::vector<TokenIds> prompts) {
  std::erase_if(prompts, [](const auto& prompt) { return prompt.size() > 250; });
  std::ranges::stable_sort(prompts, {}, &TokenIds::size);
  const size_t last = prompts.size() - 1;
  return {prompts.at(last / 2), prompts.at(0),        prompts.at(last),
          prompts.at(last / 8), prompts.at(last / 3), prompts.at(last / 4)};
}

void check_file(const std::string& name) {
  const auto file = prompts_folder() / name;
  if (!fs::exists(file)) {
    WARN("not there, so only the tests' own texts are compared: " << file);
    return;
  }
  for_default_model([&](const Subject& subject) {
    check_methods(subject.model, choose_prompts(read_prompts(file, subject.tokenizer)));
  });
}

TEST_CASE("every method gives the state of each prompt of mmlu alone",
          "[real-prompts][default-model]") {
  check_file("mmlu.jsonl");
}
TEST_CASE("every method gives the state of each prompt of wikitext256 alone",
          "[real-prompts][default-model]") {
  check_file("wikitext256.jsonl");
}
TEST_CASE("every method gives the state of each prompt of wikitext512 alone",
          "[real-prompts][default-model]") {
  check_file("wikitext512.jsonl");
}
TEST_CASE("every method gives the state of each prompt of rlhf alone",
          "[real-prompts][default-model]") {
  check_file("rlhf.jsonl");
}
TEST_CASE("every method gives the state of each prompt of alpaca alone",
          "[real-prompts][default-model]") {
  check_file("alpaca.jsonl");
}
TEST_CASE("every method gives the state of each prompt of samsum alone",
          "[real-prompts][default-model]") {
  check_file("samsum.jsonl");
}

const std::vector<std::string> kTexts = {
    "Hello",
    "Why?",
    "The tide turns twice a day because",
    "Translate into French: The bakery on the corner opens at six, and by seven it has sold out.",
    "def mean(values):\n    \"\"\"Returns the arithmetic mean.\"\"\"\n    return",
    "Question: A train leaves at 9:40 and arrives at 13:05. How long does it travel?\nAnswer:",
    "A letter to the landlord. The heating in the kitchen has not worked since the first week of "
    "November. I have written twice already, on the 4th and on the 19th, and nobody has come. I "
    "would be grateful if you could send somebody before the weekend, because frost is expected. "
    "I am at home every day until noon.\nSummary:",
    "1, 1, 2, 3, 5, 8, 13,",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.",
    "Ada: did you bring the tent?\nBen: it is in the car. And you the stove?\nAda: ... the stove.",
};

std::vector<TokenIds> own_prompts(const Tokenizer& tokenizer) {
  std::vector<TokenIds> prompts;
  for (const auto& text : kTexts) prompts.push_back(tokenizer.encode(text));
  return prompts;
}

TEST_CASE("every method gives the state of each of the tests' own texts alone",
          "[real-prompts][default-model]") {
  for_default_model(
      [](const Subject& subject) { check_methods(subject.model, own_prompts(subject.tokenizer)); });
}

TEST_CASE("a trained model prefills prompts of one token and duplicates with every method",
          "[real-prompts][default-model]") {
  for_default_model([](const Subject& subject) {
    const auto prompts = own_prompts(subject.tokenizer);
    const TokenIds word = subject.tokenizer.encode("Hello");
    REQUIRE(word.size() == 1);
    check_methods(subject.model, {word, word, word});
    check_methods(subject.model, {word, prompts[3], word, prompts[5], prompts[3], prompts[3]});
  });
}

TEST_CASE("a trained model prefills a prompt alone with every method",
          "[real-prompts][default-model]") {
  for_default_model([](const Subject& subject) {
    check_methods(subject.model, {own_prompts(subject.tokenizer)[6]});
    check_methods(subject.model, {subject.tokenizer.encode("Hello")});
  });
}

TEST_CASE("a trained model prefills prompts of one length with every method",
          "[real-prompts][default-model]") {
  for_default_model([](const Subject& subject) {
    std::vector<TokenIds> prompts;
    for (auto& prompt : own_prompts(subject.tokenizer)) {
      if (prompt.size() < 12) continue;
      prompt.resize(12);
      prompts.push_back(std::move(prompt));
    }
    REQUIRE(prompts.size() >= 4);
    check_methods(subject.model, prompts);
  });
}

TEST_CASE("a trained model prefills a prompt that fills a bin with every method",
          "[real-prompts][default-model]") {
  for_default_model([](const Subject& subject) {
    const auto prompts = own_prompts(subject.tokenizer);
    check_methods(subject.model, prompts, longest(prompts));
  });
}

}  // namespace
}  // namespace prepack
