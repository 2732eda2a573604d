#include "prepack/tokenizer.h"

#include <atomic>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "prepack/error.h"
#include "support/catch.h"
#include "support/small_tokenizer.h"
#include "text/component.h"
#include "text/regex.h"
#include "text/sentencepiece_tokenizer.h"
#include "text/tokenizer_file.h"
#include "text/tokenizer_json.h"
#include "text/utf8.h"

// The expected ids and texts were made by Hugging Face's tokenizers and the SentencePiece library
// (scripts/make_tokenizer_data.py).

namespace prepack {
namespace {

using nlohmann::json;
using testing::kTokenizerData;
using testing::load_error;
using testing::parse;
using testing::small_tokenizer;

const std::vector<std::string> kTokenizers = {"smollm2",
                                              "llama3",
                                              "qwen2.5",
                                              "tekken",
                                              "gpt-4o",
                                              "llama2-prepend",
                                              "llama2-metaspace",
                                              "sentencepiece",
                                              "sentencepiece-spaces",
                                              "sentencepiece-unk",
                                              "sentencepiece-unigram"};

std::vector<std::string> test_texts() { return text::read_json(kTokenizerData / "texts.json"); }

std::string stream(const Tokenizer& tokenizer, const TokenIds& ids, bool skip_special_tokens) {
  StreamDecoder decoder(tokenizer, skip_special_tokens);
  std::string result;
  for (const TokenId id : ids) {
    const std::string part = decoder.push(id);
    CHECK_FALSE(text::find_invalid_utf8(part));
    result += part;
  }
  return result + decoder.finish();
}

std::unique_ptr<Tokenizer> sentencepiece(const json& config) {
  return text::parse_sentencepiece(
      text::read_file(kTokenizerData / "sentencepiece" / "tokenizer.model"), "tokenizer.model",
      text::Component(config, "tokenizer_config.json"));
}

TEST_CASE("texts become the same ids as in the reference", "[tokenizer]") {
  const auto texts = test_texts();
  for (const std::string& name : kTokenizers) {
    const json expected = text::read_json(kTokenizerData / name / "expected.json");
    const auto tokenizer = load_tokenizer(kTokenizerData / name);
    REQUIRE(expected["ids"].size() == texts.size());
    for (size_t i = 0; i < texts.size(); ++i) {
      INFO(name << ": " << json(texts[i]));
      if (expected["ids"][i].is_null()) continue;  // depends on the library's release
      TokenIds ids = expected["ids"][i];
      CHECK(tokenizer->encode(texts[i]) == ids);
      ids.erase(ids.begin(), ids.begin() + expected["num_special"].get<int>());
      CHECK(tokenizer->encode(texts[i], /*add_special_tokens=*/false) == ids);
    }
  }
}

TEST_CASE("ids become the same text as in the reference, at once and as a stream", "[tokenizer]") {
  for (const std::string& name : kTokenizers) {
    const json expected = text::read_json(kTokenizerData / name / "expected.json");
    const auto tokenizer = load_tokenizer(kTokenizerData / name);
    for (const auto& [ids, skipped, whole] :
         expected["decode"].get<std::vector<std::tuple<TokenIds, std::string, std::string>>>()) {
      INFO(name << ": " << json(ids));
      CHECK(tokenizer->decode(ids) == skipped);
      CHECK(tokenizer->decode(ids, /*skip_special_tokens=*/false) == whole);
      CHECK(stream(*tokenizer, ids, true) == skipped);
      CHECK(stream(*tokenizer, ids, false) == whole);
    }
  }
}

TEST_CASE("every normalizer, pre-tokenizer and kind of added token cuts text as in the reference",
          "[tokenizer]") {
  const json data = text::read_json(kTokenizerData / "variants.json");
  for (json variant : data["variants"]) {
    for (const auto& [key, value] : data["model"].items())
      variant["tokenizer"]["model"][key] = value;
    const auto tokenizer = parse(variant["tokenizer"]);
    for (size_t i = 0; i < data["texts"].size(); ++i) {
      const std::string input = data["texts"][i];
      INFO(variant["name"] << ": " << data["texts"][i]);
      CHECK(tokenizer->encode(input) == variant["ids"][i].get<TokenIds>());
    }
  }
}

TEST_CASE("a word of any length is encoded in reasonable time", "[tokenizer]") {
  for (const std::string& name : kTokenizers) {
    if (name == "sentencepiece-unigram") continue;  // the library's own
    const auto tokenizer = load_tokenizer(kTokenizerData / name);
    for (const char* unit : {"a", "the", " ", "\n", "🙂", "1", "é", "-"}) {
      std::string input;
      while (input.size() < 200'000) input += unit;
      INFO(name << ": " << json(unit));
      const TokenIds ids = tokenizer->encode(input, false);
      CHECK((!ids.empty() || (name == "sentencepiece-spaces" && *unit == ' ')));
    }
  }
}

TEST_CASE("encode_batch keeps the order with any number of threads", "[tokenizer]") {
  const auto tokenizer = load_tokenizer(kTokenizerData / "llama3");
  const auto texts = test_texts();
  std::vector<TokenIds> one_by_one;
  for (const auto& input : texts) one_by_one.push_back(tokenizer->encode(input));
  for (const int threads : {1, 2, 7, 1000}) {
    CHECK(encode_batch(*tokenizer, texts, true, threads) == one_by_one);
  }
  CHECK(encode_batch(*tokenizer, {}, true, 4).empty());
  CHECK_THROWS_AS(encode_batch(*tokenizer, texts, true, 0), InvalidArgument);
}

TEST_CASE("encode_batch names the first text that is not UTF-8", "[tokenizer]") {
  const auto tokenizer = load_tokenizer(kTokenizerData / "smollm2");
  std::vector<std::string> texts(100, "fine");
  texts[41] = "ab\xC3";
  texts[42] = "\xFF";
  for (const int threads : {1, 3}) {
    CHECK_THROWS_WITH(encode_batch(*tokenizer, texts, true, threads),
                      "text 41: the text is not valid UTF-8 at byte 2");
  }
}

TEST_CASE("text that is not UTF-8 is refused with the offset of its first bad byte",
          "[tokenizer]") {
  for (const char* name : {"smollm2", "sentencepiece"}) {
    const auto tokenizer = load_tokenizer(kTokenizerData / name);
    const auto offset_of = [&](std::string_view input) {
      CHECK_THROWS_AS(tokenizer->encode(input), InvalidArgument);
      return text::find_invalid_utf8(input);
    };
    CHECK(offset_of("\x80") == 0u);
    CHECK(offset_of("a long enough text to be skipped \xC0\xAF") == 33u);
    CHECK(offset_of("\xED\xA0\x80") == 0u);       // a surrogate
    CHECK(offset_of("é\xF4\x90\x80\x80") == 2u);  // above U+10FFFF
    CHECK(offset_of("é\xE2\x82") == 2u);          // cut off
  }
}

TEST_CASE("ids outside the vocabulary are refused", "[tokenizer]") {
  for (const char* name : {"qwen2.5", "sentencepiece"}) {
    const auto tokenizer = load_tokenizer(kTokenizerData / name);
    const auto end = static_cast<TokenId>(tokenizer->vocab_size());
    CHECK_NOTHROW(tokenizer->piece(end - 1));
    for (const TokenId id : {-1, end, end + 1000000}) {
      CHECK_THROWS_AS(tokenizer->decode(std::vector{id}), InvalidArgument);
      CHECK_THROWS_AS(tokenizer->token_bytes(id), InvalidArgument);
      CHECK_THROWS_AS(tokenizer->piece(id), InvalidArgument);
      CHECK_THROWS_AS(StreamDecoder(*tokenizer).push(id), InvalidArgument);
    }
  }
}

TEST_CASE("pieces are found by their spelling", "[tokenizer]") {
  for (const std::string& name : kTokenizers) {
    const auto tokenizer = load_tokenizer(kTokenizerData / name);
    for (TokenId id = 0; id < tokenizer->vocab_size(); ++id) {
      CHECK(tokenizer->find(tokenizer->piece(id)) == id);
    }
    CHECK_FALSE(tokenizer->find("no such piece"));
  }
}

TEST_CASE("token_bytes are what a token adds behind others", "[tokenizer]") {
  const auto byte_level = load_tokenizer(kTokenizerData / "smollm2");
  CHECK(byte_level->token_bytes(*byte_level->find("Ġ")) == " ");
  CHECK(byte_level->token_bytes(*byte_level->find("Ã")) == "\xC3");
  CHECK(byte_level->token_bytes(*byte_level->find("<|im_end|>")).empty());
  CHECK(byte_level->token_bytes(*byte_level->find("<|im_end|>"), false) == "<|im_end|>");
  const auto pieces = load_tokenizer(kTokenizerData / "sentencepiece");
  CHECK(pieces->token_bytes(*pieces->find("▁the")) == " the");
  CHECK(pieces->token_bytes(*pieces->find("<0xF0>")) == "\xF0");
  CHECK(pieces->token_bytes(*pieces->find("<s>")).empty());
}

TEST_CASE("a stream holds bytes back until they are a character", "[tokenizer]") {
  const auto tokenizer = load_tokenizer(kTokenizerData / "smollm2");
  const auto byte = [&](const char* piece) { return *tokenizer->find(piece); };
  StreamDecoder decoder(*tokenizer);
  CHECK(decoder.push(byte("Ã")).empty());
  CHECK(decoder.push(byte("©")) == "é");
  CHECK(decoder.push(byte("Ã")).empty());
  CHECK(decoder.push(byte("a")) == "\uFFFDa");
  CHECK(decoder.push(byte("Ã")).empty());
  CHECK(decoder.finish() == "\uFFFD");
  CHECK(decoder.push(byte("b")) == "b");
}

TEST_CASE("text behind other text keeps the space that it begins with", "[tokenizer]") {
  const auto tokenizer = load_tokenizer(kTokenizerData / "sentencepiece");
  const TokenIds ids = {*tokenizer->find("▁the"), *tokenizer->find("▁the")};
  const auto text = [&](TextStart start) {
    StreamDecoder decoder(*tokenizer, /*skip_special_tokens=*/true, start);
    std::string both;
    for (int i = 0; i < 2; ++i) {
      for (const TokenId id : ids) both += decoder.push(id);
      both += decoder.finish() + "|";
    }
    return both;
  };
  CHECK(text(TextStart::kAtFirstToken) == "the the|the the|");
  CHECK(text(TextStart::kBehindText) == " the the| the the|");
}

TEST_CASE("a tokenizer may be used by several threads at once", "[tokenizer]") {
  const auto texts = test_texts();
  for (const std::string& name : kTokenizers) {
    const auto tokenizer = load_tokenizer(kTokenizerData / name);
    std::vector<TokenIds> expected;
    for (const auto& input : texts) expected.push_back(tokenizer->encode(input));
    std::atomic<int> num_different{0};
    {
      std::vector<std::jthread> threads;
      for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
          for (size_t i = 0; i < texts.size(); ++i) {
            num_different += tokenizer->encode(texts[i]) != expected[i];
          }
        });
      }
    }
    CHECK(num_different == 0);
  }
}

TEST_CASE("tokenizer_config.json says whether SentencePiece's BOS and EOS are added",
          "[tokenizer]") {
  const auto ids = [](const json& config) { return sentencepiece(config)->encode("fox"); };
  const TokenIds plain = sentencepiece(json::object())->encode("fox", false);
  const auto wrapped = [&](bool bos, bool eos) {
    TokenIds result = plain;
    if (bos) result.insert(result.begin(), 1);
    if (eos) result.push_back(2);
    return result;
  };
  CHECK(ids(json::object()) == wrapped(true, false));
  CHECK(ids({{"add_bos_token", false}}) == wrapped(false, false));
  CHECK(ids({{"add_eos_token", true}}) == wrapped(true, true));
  CHECK(ids({{"add_bos_token", nullptr}, {"add_eos_token", nullptr}}) == wrapped(true, false));
  CHECK(ids({{"bos_token", {{"content", "[INST]"}}}})[0] ==
        sentencepiece(json::object())->find("[INST]"));
  CHECK_THROWS_AS(ids({{"bos_token", "<none>"}}), LoadError);
  CHECK_THROWS_AS(ids({{"add_bos_token", 1}}), LoadError);
}

TEST_CASE("added_tokens_decoder adds tokens to a SentencePiece model", "[tokenizer]") {
  const auto plain = sentencepiece(json::object());
  const auto next = static_cast<TokenId>(plain->vocab_size());
  const auto tokenizer = sentencepiece(
      {{"added_tokens_decoder",
        {{"0", {{"content", "<unk>"}, {"special", true}}},
         {std::to_string(next), {{"content", "<pad>"}, {"special", true}, {"lstrip", true}}}}}});
  CHECK(tokenizer->vocab_size() == next + 1);
  CHECK(tokenizer->encode("<unk>", false) == TokenIds{0});
  CHECK(plain->encode("<unk>", false) != TokenIds{0});
  TokenIds expected = plain->encode("a", false);
  expected.push_back(next);
  CHECK(tokenizer->encode("a  <pad>", false) == expected);
  CHECK(tokenizer->decode(expected) == "a");
  CHECK(tokenizer->decode(expected, false) == "a<pad>");
  CHECK_THROWS_AS(sentencepiece({{"added_tokens_decoder", {{"1", {{"content", "<pad>"}}}}}}),
                  LoadError);
  CHECK_THROWS_AS(sentencepiece({{"added_tokens_decoder", {{"x", {{"content", "<pad>"}}}}}}),
                  LoadError);
}

TEST_CASE("without legacy only the start of the text gets a dummy prefix", "[tokenizer]") {
  const auto legacy = sentencepiece(json::object());
  const auto modern = sentencepiece({{"legacy", false}});
  const auto pieces = [](const Tokenizer& tokenizer, std::string_view input) {
    std::string result;
    for (const TokenId id : tokenizer.encode(input, false)) result += tokenizer.piece(id);
    return result;
  };
  CHECK(pieces(*legacy, "a<s>b") == "▁a<s>▁b");
  CHECK(pieces(*modern, "a<s>b") == "▁a<s>b");
  CHECK(pieces(*modern, "<s>b c") == "<s>b▁c");
}

}  // namespace
}  // namespace prepack
