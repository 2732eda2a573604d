#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include "prepack/error.h"
#include "text/sentencepiece_bpe.h"

namespace prepack::text {
namespace {

class LibraryModel : public SubwordModel {
 public:
  explicit LibraryModel(std::unique_ptr<sentencepiece::SentencePieceProcessor> processor)
      : processor_(std::move(processor)) {}

  void encode(std::string_view piece, Scratch&, TokenIds& out) const override {
    std::vector<int> ids;
    const auto status = processor_->Encode({piece.data(), piece.size()}, &ids);
    if (!status.ok()) throw InvalidArgument("SentencePiece: " + status.ToString());
    out.insert(out.end(), ids.begin(), ids.end());
  }

 private:
  std::unique_ptr<sentencepiece::SentencePieceProcessor> processor_;
};

}  // namespace

std::unique_ptr<SubwordModel> load_sentencepiece_library(const SentencePieceFile& file,
                                                         std::string_view bytes,
                                                         const std::string& name) {
  if (file.algorithm != SentencePieceFile::kUnigram && file.algorithm != SentencePieceFile::kBpe) {
    throw LoadError(
        fmt::format("{}: expected a BPE or unigram model, got type {}", name, file.algorithm));
  }
  auto processor = std::make_unique<sentencepiece::SentencePieceProcessor>();
  const auto status = processor->LoadFromSerializedProto({bytes.data(), bytes.size()});
  if (!status.ok()) throw LoadError(fmt::format("{}: {}", name, status.ToString()));
  return std::make_unique<LibraryModel>(std::move(processor));
}

}  // namespace prepack::text
