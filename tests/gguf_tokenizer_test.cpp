// Tokenizers in GGUF files: the same ids and texts as those of the folders they were made from.

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <tuple>

#include "prepack/chat_template.h"
#include "prepack/error.h"
#include "prepack/tokenizer.h"
#include "support/catch.h"
#include "support/gguf_writer.h"
#include "support/temp_dir.h"
#include "text/tokenizer_file.h"

namespace prepack {
namespace {

using nlohmann::json;
using testing::GgufWriter;
using testing::TempDir;

const auto kData = std::filesystem::path(PREPACK_SOURCE_DIR) / "tests/data";

const std::vector<std::string> kTokenizers = {
    "smollm2", "llama3", "qwen2.5", "tekken", "gpt-4o", "llama2-prepend", "sentencepiece-spaces"};

constexpr uint32_t kNormal = 1;
constexpr uint32_t kUnknown = 2;
constexpr uint32_t kControl = 3;
constexpr uint32_t kUserDefined = 4;

TEST_CASE("texts become the same ids by a GGUF file as by its folder", "[gguf][tokenizer]") {
  const std::vector<std::string> texts = text::read_json(kData / "tokenizers/texts.json");
  for (const auto& name : kTokenizers) {
    const json expected = text::read_json(kData / "tokenizers" / name / "expected.json");
    const auto tokenizer = load_tokenizer(kData / "gguf" / (name + ".gguf"));
    REQUIRE(expected["ids"].size() == texts.size());
    for (size_t i = 0; i < texts.size(); ++i) {
      INFO(name << ": " << json(texts[i]));
      // The library does not look for its unknown piece in texts, Hugging Face and we do.
      const bool spells_unknown = texts[i].find("<unk>") != std::string::npos;
      if (spells_unknown && name == "sentencepiece-spaces") continue;
      TokenIds ids = expected["ids"][i];
      CHECK(tokenizer->encode(texts[i]) == ids);
      ids.erase(ids.begin(), ids.begin() + expected["num_special"].get<int>());
      CHECK(tokenizer->encode(texts[i], /*add_special_tokens=*/false) == ids);
    }
  }
}

TEST_CASE("ids become the same texts by a GGUF file as by its folder", "[gguf][tokenizer]") {
  for (const auto& name : kTokenizers) {
    const json expected = text::read_json(kData / "tokenizers" / name / "expected.json");
    const auto tokenizer = load_tokenizer(kData / "gguf" / (name + ".gguf"));
    for (const auto& [ids, skipped, whole] :
         expected["decode"].get<std::vector<std::tuple<TokenIds, std::string, std::string>>>()) {
      INFO(name << ": " << json(ids));
      CHECK(tokenizer->decode(ids) == skipped);
      CHECK(tokenizer->decode(ids, /*skip_special_tokens=*/false) == whole);
    }
  }
}

TEST_CASE("tokens that only fill up the vocabulary are none", "[gguf][tokenizer]") {
  for (const auto& name : kTokenizers) {
    INFO(name);
    const auto folder = load_tokenizer(kData / "tokenizers" / name);
    const auto gguf = load_tokenizer(kData / "gguf" / (name + ".gguf"));
    CHECK(gguf->vocab_size() == folder->vocab_size());
    for (TokenId id = 0; id < folder->vocab_size(); ++id)
      CHECK(gguf->piece(id) == folder->piece(id));
    CHECK_FALSE(gguf->contains(static_cast<TokenId>(folder->vocab_size())));
  }
}

/// Byte-level: "a", "b", their merge, a control token, and one that a user defined.
GgufWriter small_byte_level(std::string_view pre = "gpt-2") {
  GgufWriter writer;
  writer.text("tokenizer.ggml.model", "gpt2");
  if (!pre.empty()) writer.text("tokenizer.ggml.pre", pre);
  return writer.texts("tokenizer.ggml.tokens", {"a", "b", "ab", "<s>", "b c"})
      .integers("tokenizer.ggml.token_type", {kNormal, kNormal, kNormal, kControl, kUserDefined})
      .texts("tokenizer.ggml.merges", {"a b"});
}

/// SentencePiece's: "<unk>", "<s>", "▁", "a", "▁a".
GgufWriter small_sentencepiece() {
  std::string scores;
  for (const float score : {0.0F, 0.0F, -2.0F, -3.0F, -1.0F}) scores += GgufWriter::number(score);
  GgufWriter writer;
  return writer.text("tokenizer.ggml.model", "llama")
      .texts("tokenizer.ggml.tokens", {"<unk>", "<s>", "▁", "a", "▁a"})
      .integers("tokenizer.ggml.token_type", {kUnknown, kControl, kNormal, kNormal, kNormal})
      .array("tokenizer.ggml.scores", GgufType::kFloat32, 5, scores)
      .integer("tokenizer.ggml.bos_token_id", 1);
}

std::unique_ptr<Tokenizer> load(const GgufWriter& writer) {
  const TempDir folder;
  return load_tokenizer(folder.write("w.gguf", writer.bytes()));
}

TokenIds encode(const GgufWriter& writer, std::string_view input) {
  return load(writer)->encode(input);
}

TEST_CASE("control and user-defined tokens are found in the text as it is", "[gguf][tokenizer]") {
  CHECK(encode(small_byte_level(), "ab<s>b ca") == TokenIds{2, 3, 4, 0});
  const auto tokenizer = load(small_byte_level());
  CHECK(tokenizer->decode(TokenIds{3, 4, 2}) == "b cab");
  CHECK(tokenizer->decode(TokenIds{3, 4, 2}, false) == "<s>b cab");
}

TEST_CASE("BOS and EOS are added where a GGUF file says so", "[gguf][tokenizer]") {
  const auto with = [](GgufWriter writer) {
    return writer.integer("tokenizer.ggml.bos_token_id", 3)
        .integer("tokenizer.ggml.eos_token_id", 0);
  };
  CHECK(encode(with(small_byte_level()), "b") == TokenIds{1});
  CHECK(encode(with(small_byte_level("llama-bpe")), "b") == TokenIds{3, 1});
  CHECK(encode(with(small_byte_level("llama-bpe")).boolean("tokenizer.ggml.add_bos_token", false),
               "b") == TokenIds{1});
  CHECK(encode(with(small_byte_level()).boolean("tokenizer.ggml.add_bos_token", true), "b") ==
        TokenIds{3, 1});
  CHECK(encode(with(small_byte_level()).boolean("tokenizer.ggml.add_eos_token", true), "b") ==
        TokenIds{1, 0});
  CHECK(encode(small_sentencepiece(), "a") == TokenIds{1, 4});
  CHECK(encode(small_sentencepiece().boolean("tokenizer.ggml.add_bos_token", false), "a") ==
        TokenIds{4});
}

TEST_CASE("slashes behind line ends belong to the word where a GGUF file says so",
          "[gguf][tokenizer]") {
  const auto encode_by = [](std::string_view pre) {
    return encode(GgufWriter()
                      .text("tokenizer.ggml.model", "gpt2")
                      .text("tokenizer.ggml.pre", pre)
                      .boolean("tokenizer.ggml.add_bos_token", false)
                      .texts("tokenizer.ggml.tokens", {"/", "Ċ", "/Ċ", "/Ċ/"})
                      .integers("tokenizer.ggml.token_type", {kNormal, kNormal, kNormal, kNormal})
                      .texts("tokenizer.ggml.merges", {"/ Ċ", "/Ċ /"}),
                  "/\n/");
  };
  CHECK(encode_by("llama-bpe") == TokenIds{2, 0});
  CHECK(encode_by("tekken") == TokenIds{3});
  CHECK(encode_by("gpt-4o") == TokenIds{3});
}

TEST_CASE("SentencePiece's space in front can be left out", "[gguf][tokenizer]") {
  const auto without = small_sentencepiece().boolean("tokenizer.ggml.add_space_prefix", false);
  CHECK(encode(without, "a a") == TokenIds{1, 3, 4});
  CHECK(load(without)->decode(TokenIds{4, 3}) == " aa");
  CHECK(load(small_sentencepiece())->decode(TokenIds{4, 3}) == "aa");
}

TEST_CASE("unknown and user-defined SentencePiece tokens are found in the text as it is",
          "[gguf][tokenizer]") {
  std::string scores;
  for (int i = 0; i < 5; ++i) scores += GgufWriter::number(-1.0F * static_cast<float>(i));
  const auto tokenizer = load(GgufWriter()
                                  .text("tokenizer.ggml.model", "llama")
                                  .boolean("tokenizer.ggml.add_bos_token", false)
                                  .texts("tokenizer.ggml.tokens", {"<unk>", "▁", "a", "▁a", "a a"})
                                  .integers("tokenizer.ggml.token_type",
                                            {kUnknown, kNormal, kNormal, kNormal, kUserDefined})
                                  .array("tokenizer.ggml.scores", GgufType::kFloat32, 5, scores));
  CHECK(tokenizer->encode("a<unk>aa aa") == TokenIds{3, 0, 3, 4, 3});
  CHECK(tokenizer->decode(TokenIds{0, 4, 2}) == "a aa");
  CHECK(tokenizer->decode(TokenIds{0, 4, 2}, false) == "<unk>a aa");
}

std::string refusal(const GgufWriter& writer) {
  try {
    load(writer);
  } catch (const LoadError& error) {
    const std::string message = error.what();
    return message.substr(message.find("w.gguf"));
  }
  return "accepted";
}

TEST_CASE("a tokenizer that is missing, malformed or not supported is named", "[gguf][tokenizer]") {
  REQUIRE(refusal(small_byte_level()) == "accepted");
  REQUIRE(refusal(small_sentencepiece()) == "accepted");
  CHECK(refusal(GgufWriter()) == "w.gguf: tokenizer.ggml.model: is missing");
  CHECK(refusal(GgufWriter().text("tokenizer.ggml.model", "bert")) ==
        "w.gguf: tokenizer.ggml.model: expected gpt2 or llama, got bert");
  CHECK_THAT(refusal(small_byte_level("")),
             ContainsSubstring("w.gguf: tokenizer.ggml.pre: is missing"));
  CHECK_THAT(refusal(small_byte_level("bloom")),
             ContainsSubstring("w.gguf: tokenizer.ggml.pre: expected one of gpt-2, ") &&
                 ContainsSubstring(", got bloom"));
  CHECK(refusal(small_byte_level().boolean("tokenizer.ggml.add_bos_token", true)) ==
        "w.gguf: tokenizer.ggml.bos_token_id: is missing");
  CHECK(refusal(small_byte_level()
                    .boolean("tokenizer.ggml.add_bos_token", true)
                    .integer("tokenizer.ggml.bos_token_id", 5)) ==
        "w.gguf: tokenizer.ggml.bos_token_id: expected one of 5 tokens, got 5");

  const auto byte_level = [](const std::vector<std::string>& tokens,
                             const std::vector<uint32_t>& types,
                             const std::vector<std::string>& merges) {
    return refusal(GgufWriter()
                       .text("tokenizer.ggml.model", "gpt2")
                       .text("tokenizer.ggml.pre", "gpt-2")
                       .texts("tokenizer.ggml.tokens", tokens)
                       .integers("tokenizer.ggml.token_type", types)
                       .texts("tokenizer.ggml.merges", merges));
  };
  CHECK(byte_level({"a", "b"}, {kNormal}, {}) ==
        "w.gguf: tokenizer.ggml.token_type: expected 2, one for each token, got 1");
  CHECK(byte_level({"a"}, {7}, {}) ==
        "w.gguf: tokenizer.ggml.token_type: token 0 is of unknown type 7");
  CHECK(byte_level({"a\xff"}, {kNormal}, {}) ==
        "w.gguf: tokenizer.ggml.tokens: token 0 is not valid UTF-8");
  CHECK_THAT(byte_level({"a", "a"}, {kNormal, kNormal}, {}), ContainsSubstring("occurs twice"));
  CHECK_THAT(byte_level({"a"}, {kNormal}, {"ab"}),
             ContainsSubstring("w.gguf: tokenizer.ggml.merges: expected two pieces"));
  CHECK_THAT(byte_level({"a"}, {kNormal}, {"a b"}),
             ContainsSubstring("merges[0]: \"b\" is not in the vocabulary"));
  CHECK_THAT(refusal(GgufWriter()
                         .text("tokenizer.ggml.model", "llama")
                         .texts("tokenizer.ggml.tokens", {"a"})
                         .integers("tokenizer.ggml.token_type", {kNormal})),
             ContainsSubstring("w.gguf: tokenizer.ggml.scores: is missing"));
  CHECK(refusal(
            GgufWriter()
                .text("tokenizer.ggml.model", "llama")
                .texts("tokenizer.ggml.tokens", {"a"})
                .integers("tokenizer.ggml.token_type", {kNormal})
                .array("tokenizer.ggml.scores", GgufType::kFloat32, 1, GgufWriter::number(0.0F))) ==
        "w.gguf: expected one unknown piece, got 0");
  // A normal piece of characters that are none: the library merges such, by their text.
  CHECK_THAT(
      refusal(GgufWriter()
                  .text("tokenizer.ggml.model", "llama")
                  .boolean("tokenizer.ggml.add_bos_token", false)
                  .texts("tokenizer.ggml.tokens", {"<unk>", "ab"})
                  .integers("tokenizer.ggml.token_type", {kUnknown, kNormal})
                  .array("tokenizer.ggml.scores", GgufType::kFloat32, 2,
                         GgufWriter::number(0.0F) + GgufWriter::number(0.0F))),
      ContainsSubstring("w.gguf: the vocabulary is one that only the SentencePiece library"));
}

TEST_CASE("the chat template of a GGUF file is read", "[gguf][chat_template]") {
  const ChatMessage message{"user", "Hi"};
  const auto expected = load_chat_template(kData / "gguf/llama-biased").apply({&message, 1});
  CHECK(load_chat_template(kData / "gguf/llama-biased.gguf").apply({&message, 1}) == expected);

  const TempDir folder;
  const auto load_template = [&](const GgufWriter& writer) {
    return load_chat_template(folder.write("w.gguf", writer.bytes()));
  };
  // Written with the spellings of BOS and EOS.
  const auto mistral = load_template(
      small_byte_level()
          .integer("tokenizer.ggml.bos_token_id", 3)
          .integer("tokenizer.ggml.eos_token_id", 2)
          .text("tokenizer.chat_template",
                "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
                "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}"
                "{{ message['content'] + eos_token}}{% endif %}{% endfor %}"));
  CHECK(mistral.apply({&message, 1}) == "<s>[INST] Hi [/INST]");
  CHECK_THROWS_WITH(load_template(small_byte_level()),
                    ContainsSubstring("w.gguf: tokenizer.chat_template: is missing"));
  CHECK_THROWS_WITH(load_template(small_byte_level().text("tokenizer.chat_template", "{{ x")),
                    ContainsSubstring("w.gguf: tokenizer.chat_template: the chat template, line 1: "
                                      "a tag does not end"));
}

}  // namespace
}  // namespace prepack
