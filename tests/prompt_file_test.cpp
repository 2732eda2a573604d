#include "cli/prompt_file.h"

#include <fmt/format.h>

#include "prepack/error.h"
#include "support/catch.h"
#include "support/temp_dir.h"

namespace prepack::cli {
namespace {

std::vector<std::string> texts_of(const std::vector<PromptRecord>& records) {
  std::vector<std::string> texts;
  for (const auto& record : records) texts.push_back(record.text.value());
  return texts;
}

}  // namespace

TEST_CASE("a line of JSONL gives one prompt with its own options", "[prompt_file]") {
  const auto record = parse_prompt_line(
      R"({"prompt": "hi", "id": "a", "max_new_tokens": 3, "stop": ["x", "y"], "temperature": 0.5,
          "top_k": 4, "top_p": 0.9, "min_p": 0.1, "repetition_penalty": 1.5, "seed": 9})",
      "here");
  CHECK(record.text == "hi");
  CHECK(record.id == "\"a\"");
  CHECK(record.overrides.max_new_tokens == 3);
  CHECK(record.overrides.stop == std::vector<std::string>{"x", "y"});
  CHECK(record.overrides.temperature == 0.5F);
  CHECK(record.overrides.top_k == 4);
  CHECK(record.overrides.top_p == 0.9F);
  CHECK(record.overrides.min_p == 0.1F);
  CHECK(record.overrides.repetition_penalty == 1.5F);
  CHECK(record.overrides.seed == 9);
}

TEST_CASE("a null option counts as absent, and unknown fields are ignored", "[prompt_file]") {
  const auto record =
      parse_prompt_line(R"({"prompt": "hi", "stop": null, "id": null, "subject": "x"})", "here");
  CHECK_FALSE(record.overrides.stop.has_value());
  CHECK(record.id.empty());
}

TEST_CASE("numbers that do not fit are errors, not other numbers", "[prompt_file]") {
  for (const auto* line : {
           R"({"prompt": "x", "seed": 18446744073709551616})",
           R"({"prompt": "x", "seed": -1})",
           R"({"prompt": "x", "top_k": 1e30})",
           R"({"prompt": "x", "temperature": 1e300})",
           R"({"prompt": "x", "max_new_tokens": 2.5})",
           R"({"prompt": "x", "max_new_tokens": "2"})",
           R"({"prompt_ids": [4294967296]})",
           R"({"prompt_ids": [1.5]})",
           R"({"prompt": "x", "id": [1]})",
           R"({"prompt": "x", "prompt_ids": [1]})",
           R"(["prompt"])",
           R"({"messages": []})",
           R"({"messages": [{"role": "user"}]})",
       }) {
    CAPTURE(line);
    CHECK_THROWS_AS(parse_prompt_line(line, "here"), InvalidArgument);
  }
}

TEST_CASE("a line with more than JSON can hold is refused, and says why", "[prompt_file]") {
  const auto require_error = [](std::string_view line, const std::string& message) {
    CAPTURE(line);
    CHECK_THROWS_WITH(parse_prompt_line(line, "here"), ContainsSubstring("here: " + message));
  };
  using namespace std::string_view_literals;
  require_error("{\"prompt\":\"a\"}\0{\"prompt\":\"b\"}"sv, "not valid JSON");
  require_error(R"({"prompt": "x", "score": 1e400})", "a number is too large");
  for (const auto* id : {"123456789012345678901234567890", "0.12345678901234567"}) {
    require_error(fmt::format(R"({{"prompt": "x", "id": {}}})", id),
                  "\"id\": the number would be rounded");
  }
  CHECK(parse_prompt_line(R"({"prompt": "x", "id": 18446744073709551615})", "here").id ==
        "18446744073709551615");
  CHECK(parse_prompt_line(R"({"prompt": "x", "id": 7.1})", "here").id == "7.1");
}

TEST_CASE("text files hold one prompt per line, whatever system wrote them", "[prompt_file]") {
  const testing::TempDir folder;
  const auto file = folder.write("p.txt",
                                 "\xEF\xBB\xBF"
                                 "first\r\nsecond\r\nthird");
  int64_t number = 0;
  CHECK(texts_of(read_prompt_file(file.string(), number, {})) ==
        std::vector<std::string>{"first", "second", "third"});
}

TEST_CASE("a prompt without an id gets its number, and bad lines count", "[prompt_file]") {
  const testing::TempDir folder;
  const auto file = folder.write("p.jsonl", "{\"prompt\": \"a\"}\n\nbad\n{\"prompt\": \"b\"}\n");
  int64_t number = 0;
  CHECK_THROWS_WITH(read_prompt_file(file.string(), number, {}),
                    ContainsSubstring("p.jsonl, line 3: not valid JSON"));
  std::vector<std::string> skipped;
  number = 5;  // prompts before this file
  const auto records = read_prompt_file(
      file.string(), number, [&](const std::string& message) { skipped.push_back(message); });
  REQUIRE(records.size() == 2);
  CHECK(skipped.size() == 1);
  CHECK(records[0].id == "5");
  CHECK(records[1].id == "7");
  CHECK(records[1].where == file.string() + ", line 4");
}

}  // namespace prepack::cli
