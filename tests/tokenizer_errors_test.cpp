// Tokenizer files that are damaged, or use what is not supported.

#include <filesystem>
#include <nlohmann/json.hpp>

#include "prepack/error.h"
#include "prepack/tokenizer.h"
#include "support/catch.h"
#include "support/small_tokenizer.h"
#include "text/component.h"
#include "text/regex.h"
#include "text/sentencepiece_tokenizer.h"
#include "text/tokenizer_file.h"

namespace prepack {
namespace {

using nlohmann::json;
using testing::kTokenizerData;
using testing::load_error;
using testing::parse;
using testing::small_tokenizer;

TEST_CASE("what is not supported is named", "[tokenizer]") {
  const auto with = [](const char* pointer, const json& value) {
    json tokenizer = small_tokenizer();
    tokenizer[json::json_pointer(pointer)] = value;
    return load_error(tokenizer);
  };
  CHECK(load_error(small_tokenizer()) == "no error");
  CHECK(with("/model/type", "WordPiece") ==
        "x/tokenizer.json: model: type \"WordPiece\" is not supported");
  CHECK(with("/normalizer", {{"type", "Lowercase"}}) ==
        "x/tokenizer.json: normalizer: type \"Lowercase\" is not supported");
  CHECK(with("/pre_tokenizer",
             {{"type", "Sequence"}, {"pretokenizers", {{{"type", "BertPreTokenizer"}}}}}) ==
        "x/tokenizer.json: pre_tokenizer.pretokenizers[0]: type \"BertPreTokenizer\" is not "
        "supported");
  CHECK(with("/post_processor", {{"type", "BertProcessing"}}) ==
        "x/tokenizer.json: post_processor: type \"BertProcessing\" is not supported");
  CHECK(with("/decoder", {{"type", "WordPiece"}}) ==
        "x/tokenizer.json: decoder: type \"WordPiece\" is not supported");
  CHECK(with("/model/dropout", 0.1) == "x/tokenizer.json: model.dropout: is not supported");
  CHECK_THAT(with("/model/continuing_subword_prefix", "##"), ContainsSubstring("not supported"));
}

TEST_CASE("a malformed tokenizer.json is refused with its place", "[tokenizer]") {
  const auto with = [](const char* pointer, const json& value) {
    json tokenizer = small_tokenizer();
    tokenizer[json::json_pointer(pointer)] = value;
    return load_error(tokenizer);
  };
  CHECK(with("/model/merges/0", "a x") ==
        "x/tokenizer.json: model: merges[0]: \"x\" is not in the vocabulary");
  CHECK(with("/model/merges/0", "c b") ==
        "x/tokenizer.json: model: merges[0]: \"cb\" is not in the vocabulary");
  CHECK_THAT(with("/model/merges/0", "ab"), ContainsSubstring("model.merges[0]"));
  CHECK_THAT(with("/model/merges/0", json::array({"a"})),
             ContainsSubstring("expected 2 pieces, got 1"));
  CHECK_THAT(with("/model/merges/0", json::array({"a", "b", "c"})), ContainsSubstring("got more"));
  CHECK_THAT(with("/model/merges/0", 7), ContainsSubstring("model.merges[0]"));
  CHECK(with("/model/vocab/c", 2) ==
        "x/tokenizer.json: model.vocab: \"c\": the piece or its id 2 occurs twice");
  CHECK_THAT(with("/model/vocab/c", -1), ContainsSubstring("id -1 is out of range"));
  CHECK_THAT(with("/model/vocab/c", 4000000000), ContainsSubstring("is out of range"));
  CHECK_THAT(with("/model/vocab/c", "3"), ContainsSubstring("expected an integer id"));
  CHECK_THAT(with("/model/vocab", json::array()),
             ContainsSubstring("model.vocab: expected an object"));
  CHECK_THAT(with("/model/unk_token", "<unk>"), ContainsSubstring("model.unk_token"));
  CHECK_THAT(with("/model/byte_fallback", "yes"),
             ContainsSubstring("expected true or false, got string"));
  CHECK_THAT(with("/added_tokens/0/id", 2), ContainsSubstring("contradicts model.vocab"));
  CHECK_THAT(with("/added_tokens/0/content", "ab"), ContainsSubstring("contradicts model.vocab"));
  CHECK_THAT(with("/added_tokens/0/content", ""), ContainsSubstring("added_tokens[0]"));
  CHECK_THAT(with("/added_tokens/1", small_tokenizer()["added_tokens"][0]),
             ContainsSubstring("occurs twice"));
  CHECK_THAT(with("/pre_tokenizer",
                  {{"type", "Split"}, {"pattern", {{"Regex", "(a"}}}, {"behavior", "Isolated"}}),
             ContainsSubstring("pre_tokenizer.pattern: missing closing parenthesis"));
  CHECK_THAT(load_error({{"model", nullptr}}), ContainsSubstring("model: expected an object"));
  CHECK_THAT(load_error(json::array()), ContainsSubstring("expected an object, got array"));

  const std::string whole = small_tokenizer().dump();
  for (size_t length = 0; length < whole.size(); ++length) {
    CHECK_THROWS_AS(text::parse_tokenizer_json(whole.substr(0, length), "x"), LoadError);
  }
  CHECK_THROWS_AS(text::parse_tokenizer_json(std::string(100000, '['), "x"), LoadError);
}

TEST_CASE("a template adds special tokens on both sides", "[tokenizer]") {
  json tokenizer = small_tokenizer();
  tokenizer["post_processor"] = json::parse(R"({"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "S", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
               {"SpecialToken": {"id": "C", "type_id": 0}}],
    "pair": [], "special_tokens": {"S": {"id": "S", "ids": [4, 0], "tokens": ["<s>", "a"]},
                                   "C": {"id": "C", "ids": [3], "tokens": ["c"]}}})");
  CHECK(parse(tokenizer)->encode("ab") == TokenIds{4, 0, 2, 3});
  CHECK(parse(tokenizer)->encode("ab", false) == TokenIds{2});
  tokenizer["post_processor"]["special_tokens"]["C"]["ids"][0] = 9;
  CHECK_THAT(load_error(tokenizer), ContainsSubstring("9 is not in the vocabulary"));
  tokenizer["post_processor"]["special_tokens"].erase("C");
  CHECK_THAT(load_error(tokenizer), ContainsSubstring("is not among the special_tokens"));
}

TEST_CASE("a damaged SentencePiece model is refused", "[tokenizer]") {
  const std::string whole = text::read_file(kTokenizerData / "sentencepiece" / "tokenizer.model");
  const json config = json::object();
  const auto load = [&](const std::string& bytes) {
    return text::parse_sentencepiece(bytes, "tokenizer.model", text::Component(config, "config"));
  };
  CHECK_NOTHROW(load(whole));
  CHECK_THROWS_WITH(load(""), "tokenizer.model: expected one unknown piece, got 0");
  CHECK_THROWS_AS(load("this is no model at all"), LoadError);
  for (size_t length = 1; length < whole.size(); length += 97) {
    try {
      load(whole.substr(0, length));  // may end between two pieces, and be a model again
    } catch (const LoadError& error) {
      CHECK_THAT(error.what(), ContainsSubstring("tokenizer.model: "));
    }
  }
}

TEST_CASE("a folder without a tokenizer is an error that names it", "[tokenizer]") {
  CHECK_THROWS_WITH(load_tokenizer("no/such/folder"),
                    "no/such/folder: has neither tokenizer.json nor tokenizer.model");
}

TEST_CASE("patterns mean what they mean to Oniguruma, or are refused", "[tokenizer]") {
  CHECK(text::oniguruma_to_pcre2(R"(a|\p{L}+(b)\.)") == R"(a|\p{L}+(?:b)\.)");
  CHECK(text::oniguruma_to_pcre2(R"(\d[\d\t]\v)") == R"(\p{Nd}[\p{Nd}\t]\x{b})");
  CHECK(text::oniguruma_to_pcre2("x{,3}{y") == R"(x{0,3}\{y)");
  for (const char* pattern : {R"(\w)", R"(\b)", R"(\h)", R"(\1)", R"(\p{Foo})", R"(\pL)", "(?i)a",
                              "(?<n>a)", "(*UTF)a", "[a&&b]", "[[:alpha:]]", "[]", "a{2}+", "a{2}?",
                              R"(\)", "[a", R"(\x80)", R"(\x{110000})"}) {
    INFO(pattern);
    CHECK_THROWS_AS(text::oniguruma_to_pcre2(pattern), std::invalid_argument);
  }
}

}  // namespace
}  // namespace prepack
