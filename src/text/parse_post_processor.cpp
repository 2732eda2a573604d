#include <fmt/format.h>

#include <map>

#include "text/tokenizer_json.h"

namespace prepack::text {
namespace {

std::map<std::string, TokenIds> parse_special_tokens(const Component& processor,
                                                     const Pipeline& pipeline) {
  std::map<std::string, TokenIds> result;
  for (const auto& [name, token] : processor.members("special_tokens")) {
    for (const Component& id : token.list("ids")) {
      const int64_t value = id.as_integer();
      if (value < 0 || value > Vocabulary::kMaxId ||
          !pipeline.contains(static_cast<TokenId>(value))) {
        id.fail(fmt::format("{} is not in the vocabulary", value));
      }
      result[name].push_back(static_cast<TokenId>(value));
    }
  }
  return result;
}

void apply_template(const Component& processor, Pipeline& pipeline) {
  const auto special_tokens = parse_special_tokens(processor, pipeline);
  TokenIds prefix, suffix;
  int num_sequences = 0;
  for (const Component& item : processor.list("single")) {
    if (item.has("Sequence")) {
      if (item.at("Sequence").text("id") != "A") item.fail("expected the sequence A");
      ++num_sequences;
      continue;
    }
    const std::string name = item.at("SpecialToken").text("id");
    const auto found = special_tokens.find(name);
    if (found == special_tokens.end()) {
      item.fail(fmt::format("\"{}\" is not among the special_tokens", name));
    }
    TokenIds& side = num_sequences == 0 ? prefix : suffix;
    side.insert(side.end(), found->second.begin(), found->second.end());
  }
  if (num_sequences != 1) {
    processor.at("single").fail(fmt::format("expected the sequence once, got {}", num_sequences));
  }
  // A later processor wraps what an earlier one made.
  pipeline.prefix.insert(pipeline.prefix.begin(), prefix.begin(), prefix.end());
  pipeline.suffix.insert(pipeline.suffix.end(), suffix.begin(), suffix.end());
}

}  // namespace

void parse_post_processor(const Component& processor, Pipeline& pipeline) {
  if (processor.is_null()) return;
  const std::string type = processor.type();
  if (type == "Sequence") {
    for (const Component& step : processor.list("processors")) parse_post_processor(step, pipeline);
  } else if (type == "TemplateProcessing") {
    apply_template(processor, pipeline);
  } else if (type != "ByteLevel") {  // that one only moves offsets
    processor.fail_unknown_type();
  }
}

}  // namespace prepack::text
