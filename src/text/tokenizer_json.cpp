#include "text/tokenizer_json.h"

#include <fmt/format.h>

#include "prepack/error.h"
#include "text/bpe_model.h"
#include "text/tokenizer_file.h"

namespace prepack::text {
namespace {

std::shared_ptr<const Vocabulary> build_vocabulary(const TokenizerFile& file,
                                                   const Component& model) {
  if (!model.at("vocab").is_object()) model.at("vocab").fail("expected an object");
  auto vocabulary = std::make_shared<Vocabulary>();
  vocabulary->reserve(file.vocabulary.size(), file.bytes.size() / 2);
  for (const auto& entry : file.vocabulary) {
    const std::string_view piece = file.text(entry.offset, entry.length);
    if (entry.id < 0 || entry.id > Vocabulary::kMaxId) {
      model.at("vocab").fail(fmt::format("\"{}\": id {} is out of range", piece, entry.id));
    }
    if (!vocabulary->add(piece, static_cast<TokenId>(entry.id))) {
      model.at("vocab").fail(
          fmt::format("\"{}\": the piece or its id {} occurs twice", piece, entry.id));
    }
  }
  return vocabulary;
}

/// @param produced  receives the id that each merge makes
MergeTable build_merges(const TokenizerFile& file, const Vocabulary& vocabulary,
                        const Component& model, TokenIds& produced) {
  MergeTable merges(file.merges.size());
  produced.reserve(file.merges.size());
  const auto find = [&](std::string_view piece) {
    if (const auto id = vocabulary.find(piece)) return *id;
    model.fail(fmt::format("merges[{}]: \"{}\" is not in the vocabulary", produced.size(), piece));
  };
  for (const auto& entry : file.merges) {
    const std::string_view whole = file.text(entry.offset, entry.left_length + entry.right_length);
    const TokenId left = find(whole.substr(0, entry.left_length));
    const TokenId right = find(whole.substr(entry.left_length));
    const TokenId merged = find(whole);
    merges.set(left, right, {static_cast<uint32_t>(produced.size()), merged});
    produced.push_back(merged);
  }
  return merges;
}

void require_empty(const Component& model, const char* key) {
  if (!model.text_or(key, "").empty()) model.at(key).fail("is not supported");
}

std::unique_ptr<SubwordModel> build_model(const TokenizerFile& file, const Component& model,
                                          bool byte_level,
                                          std::shared_ptr<const Vocabulary> vocabulary) {
  if (model.has("dropout")) model.at("dropout").fail("is not supported");
  require_empty(model, "continuing_subword_prefix");
  require_empty(model, "end_of_word_suffix");
  BpeModel::Options options;
  options.byte_level = byte_level;
  options.byte_fallback = model.flag_or("byte_fallback", false);
  options.ignore_merges = model.flag_or("ignore_merges", false);
  options.fuse_unk = model.flag_or("fuse_unk", false);
  if (byte_level && options.byte_fallback) {
    model.at("byte_fallback").fail("together with ByteLevel is not supported");
  }
  if (model.has("unk_token")) {
    options.unk = vocabulary->find(model.text("unk_token"));
    if (!options.unk) model.at("unk_token").fail("is not in the vocabulary");
  }
  TokenIds produced;
  MergeTable merges = build_merges(file, *vocabulary, model, produced);
  options.words_at_metaspace =
      !byte_level && !options.ignore_merges && words_start_at_metaspace(*vocabulary, produced);
  return std::make_unique<BpeModel>(std::move(vocabulary), std::move(merges), options);
}

}  // namespace

std::unique_ptr<Tokenizer> parse_tokenizer_json(std::string_view json, const std::string& name) {
  return build_tokenizer(read_tokenizer_file(json, name), name);
}

std::unique_ptr<Tokenizer> build_tokenizer(const TokenizerFile& file, const std::string& name) {
  const Component root(file.rest, name);
  const Component model = root.at("model");
  if (!model.is_object()) model.fail("expected an object");
  if (model.has("type") && model.type() != "BPE") model.fail_unknown_type();

  Pipeline pipeline;
  bool byte_level = false;
  pipeline.normalizer = parse_normalizer(root.at("normalizer"));
  pipeline.pre_tokenizer = parse_pre_tokenizer(root.at("pre_tokenizer"), byte_level);
  pipeline.vocabulary = build_vocabulary(file, model);
  pipeline.model = build_model(file, model, byte_level, pipeline.vocabulary);
  parse_added_tokens(root, pipeline);
  parse_post_processor(root.at("post_processor"), pipeline);
  pipeline.decoder = parse_decoder(root.at("decoder"));
  return std::make_unique<PipelineTokenizer>(std::move(pipeline));
}

}  // namespace prepack::text
