#include <fmt/format.h>
#include <fmt/ranges.h>  // fmt::join

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "text/gguf_tokenizer.h"
#include "text/tokenizer_file.h"
#include "text/tokenizer_json.h"
#include "weights/json.h"

// A GGUF file has the vocabulary and the merges of a tokenizer.json, and of its other components a
// name only, tokenizer.ggml.pre, which the converter knew them by. They are written out here as the
// tokenizer.json has them, and read as one.

namespace prepack::text {
namespace {

using Json = nlohmann::json;

// The words of Llama 3, Qwen2, Mistral Nemo and GPT-4o, as their tokenizer.json has them. The
// latter two also split where a small letter is followed by a large one.
constexpr const char* kLlama3Words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2Words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr const char* kTekkenWords =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kGpt4oWords =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

/// What a name in tokenizer.ggml.pre stands for.
struct Components {
  std::string_view name;
  const char* words = nullptr;       // how text is split first; nullptr: GPT-2's words
  bool splits_digits = false;        // each digit is a word
  bool composes = false;             // NFC
  bool ignores_merges = false;       // a word that is in the vocabulary is that token
  bool adds_bos_by_default = false;  // where the file does not say
};

constexpr std::array kComponents = {
    Components{.name = "gpt-2"},
    Components{.name = "phi-2"},
    Components{.name = "default"},
    Components{.name = "smollm", .splits_digits = true},
    Components{.name = "starcoder", .splits_digits = true},
    Components{.name = "qwen2", .words = kQwen2Words, .composes = true},
    Components{.name = "llama-bpe",
               .words = kLlama3Words,
               .ignores_merges = true,
               .adds_bos_by_default = true},
    Components{.name = "llama3",
               .words = kLlama3Words,
               .ignores_merges = true,
               .adds_bos_by_default = true},
    Components{.name = "llama-v3",
               .words = kLlama3Words,
               .ignores_merges = true,
               .adds_bos_by_default = true},
    Components{.name = "dbrx", .words = kLlama3Words},
    Components{.name = "smaug-bpe", .words = kLlama3Words},
    Components{.name = "tekken",
               .words = kTekkenWords,
               .ignores_merges = true,
               .adds_bos_by_default = true},
    Components{.name = "gpt-4o", .words = kGpt4oWords},
};

const Components& find_components(const GgufMetadata& metadata) {
  constexpr std::string_view kKey = "tokenizer.ggml.pre";
  if (!metadata.has(kKey)) {
    metadata.fail(kKey,
                  "is missing: the file is from before converters wrote how text is split "
                  "into words; it must be converted again");
  }
  const auto name = metadata.text(kKey);
  const auto found = std::ranges::find(kComponents, name, &Components::name);
  if (found == kComponents.end()) {
    std::vector<std::string_view> known;
    for (const auto& components : kComponents) known.push_back(components.name);
    metadata.fail(
        kKey, fmt::format("expected one of {}, got {}", fmt::join(known, ", "), printable(name)));
  }
  return *found;
}

Json pre_tokenizer(const Components& components, bool adds_space) {
  auto steps = Json::array();
  if (components.splits_digits) steps.push_back({{"type", "Digits"}, {"individual_digits", true}});
  if (components.words != nullptr) {
    steps.push_back({{"type", "Split"},
                     {"pattern", {{"Regex", components.words}}},
                     {"behavior", "Isolated"},
                     {"invert", false}});
  }
  steps.push_back({{"type", "ByteLevel"},
                   {"add_prefix_space", adds_space},
                   {"use_regex", components.words == nullptr}});
  return {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
}

/// BOS and EOS around the sequence, where the file says so.
Json post_processor(const GgufMetadata& metadata, const Components& components,
                    const std::vector<GgufToken>& tokens) {
  auto sequence = Json::array();
  auto special_tokens = Json::object();
  const auto add = [&](const char* role, bool by_default) {
    if (!metadata.boolean(fmt::format("tokenizer.ggml.add_{}_token", role), by_default)) return;
    const auto id = gguf_special_id(metadata, role, tokens.size());
    sequence.push_back({{"SpecialToken", {{"id", role}}}});
    special_tokens[role] = {{"ids", Json::array({id})}};
  };
  add("bos", components.adds_bos_by_default);
  sequence.push_back({{"Sequence", {{"id", "A"}}}});
  add("eos", false);
  return {{"type", "TemplateProcessing"},
          {"single", std::move(sequence)},
          {"special_tokens", std::move(special_tokens)}};
}

/// Control tokens, and those that a user defined, are found in the text as it is.
Json added_tokens(const std::vector<GgufToken>& tokens) {
  auto added = Json::array();
  for (size_t id = 0; id < tokens.size(); ++id) {
    const auto [text, type] = tokens[id];
    if (type != GgufTokenType::kControl && type != GgufTokenType::kUserDefined) continue;
    added.push_back({{"id", id},
                     {"content", text},
                     {"normalized", false},
                     {"special", type == GgufTokenType::kControl}});
  }
  return added;
}

/// Unused tokens only fill up the vocabulary to the rows of the model's embedding.
void add_vocabulary(const std::vector<GgufToken>& tokens, TokenizerFile& file) {
  for (size_t id = 0; id < tokens.size(); ++id) {
    const auto [text, type] = tokens[id];
    if (type == GgufTokenType::kUnused) continue;
    file.vocabulary.push_back({static_cast<uint32_t>(file.bytes.size()),
                               static_cast<uint32_t>(text.size()), static_cast<int64_t>(id)});
    file.bytes.append(text);
  }
}

void add_merges(const GgufMetadata& metadata, TokenizerFile& file) {
  constexpr std::string_view kMerges = "tokenizer.ggml.merges";
  for (const auto merge : metadata.texts(kMerges)) {
    const size_t space = merge.find(' ', 1);
    if (space == std::string_view::npos) {
      metadata.fail(kMerges, fmt::format("expected two pieces with a space between them, got "
                                         "\"{}\"",
                                         printable(merge)));
    }
    const auto left = merge.substr(0, space);
    const auto right = merge.substr(space + 1);
    file.merges.push_back({static_cast<uint32_t>(file.bytes.size()),
                           static_cast<uint32_t>(left.size()),
                           static_cast<uint32_t>(right.size())});
    file.bytes.append(left).append(right);
  }
}

}  // namespace

std::unique_ptr<Tokenizer> parse_gguf_byte_level(const GgufMetadata& metadata) {
  const auto& components = find_components(metadata);
  const auto tokens = read_gguf_tokens(metadata);
  TokenizerFile file;
  add_vocabulary(tokens, file);
  add_merges(metadata, file);
  if (file.bytes.size() > UINT32_MAX) {  // where the offsets above end
    metadata.fail("tokenizer.ggml.tokens", "the vocabulary is larger than 4 GiB");
  }
  const bool adds_space = metadata.boolean("tokenizer.ggml.add_space_prefix", false);
  file.rest = {
      {"normalizer", components.composes ? Json{{"type", "NFC"}} : Json()},
      {"pre_tokenizer", pre_tokenizer(components, adds_space)},
      {"model",
       {{"type", "BPE"},
        {"vocab", Json::object()},
        {"merges", Json::array()},
        {"ignore_merges", components.ignores_merges}}},
      {"added_tokens", added_tokens(tokens)},
      {"post_processor", post_processor(metadata, components, tokens)},
      {"decoder", {{"type", "ByteLevel"}}},
  };
  return build_tokenizer(file, metadata.source());
}

}  // namespace prepack::text
