#include <fmt/format.h>

#include <set>

#include "text/tokenizer_json.h"

namespace prepack::text {

void parse_added_tokens(const Component& root, Pipeline& pipeline) {
  if (!root.has("added_tokens")) return;
  std::vector<AddedToken> raw, normalized;
  std::set<std::string> normalized_patterns;
  for (const Component& token : root.list("added_tokens")) {
    const std::string content = token.text("content");
    const int64_t id = token.integer("id");
    if (content.empty()) token.fail("has no content");
    if (id < 0 || id > Vocabulary::kMaxId) token.fail(fmt::format("id {} is out of range", id));
    AddedToken added{content, static_cast<TokenId>(id), token.flag_or("single_word", false),
                     token.flag_or("lstrip", false), token.flag_or("rstrip", false)};

    const auto known = pipeline.vocabulary->find(content);
    if (known ? *known != added.id : pipeline.vocabulary->contains(added.id)) {
      token.fail(fmt::format("\"{}\" has id {}, which contradicts model.vocab", content, id));
    }
    if (!pipeline.added.add(content, added.id)) {
      token.fail(fmt::format("\"{}\" or its id {} occurs twice", content, id));
    }
    if (token.flag_or("special", false)) {
      if (pipeline.special.size() <= static_cast<size_t>(id)) pipeline.special.resize(id + 1);
      pipeline.special[id] = true;
    }
    if (!token.flag_or("normalized", true)) {
      raw.push_back(std::move(added));
      continue;
    }
    // Normalized text can only contain the token's spelling in its normalized form.
    Scratch scratch;
    added.pattern = pipeline.normalizer.apply(content, /*at_start=*/true, scratch);
    if (added.pattern.empty() || !normalized_patterns.insert(added.pattern).second) {
      token.fail(fmt::format("\"{}\" is nothing, or another token, when normalized", content));
    }
    normalized.push_back(std::move(added));
  }
  pipeline.raw_tokens = AddedTokenMatcher(std::move(raw));
  pipeline.normalized_tokens = AddedTokenMatcher(std::move(normalized));
}

}  // namespace prepack::text
