// What rounding its weights costs a trained model: the perplexity of texts.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "prepack/quantization.h"
#include "prepack/score.h"
#include "prepack/tokenizer.h"
#include "support/catch.h"
#include "support/reference.h"

namespace prepack {
namespace {

/// The beginning of this project's README, in pieces of 250 tokens: English that there is in every
/// checkout.
std::vector<ScoreRequest> pieces_of_readme(const Tokenizer& tokenizer) {
  std::ifstream file(std::filesystem::path(PREPACK_SOURCE_DIR) / "README.md");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto tokens = tokenizer.encode(text);
  constexpr ptrdiff_t kPieceLen = 250;
  constexpr ptrdiff_t kNumPieces = 10;
  REQUIRE(std::ssize(tokens) >= kNumPieces * kPieceLen);
  std::vector<ScoreRequest> pieces;
  for (ptrdiff_t i = 0; i < kNumPieces; ++i) {
    const auto first = tokens.begin() + i * kPieceLen;
    pieces.push_back({TokenIds(first, first + kPieceLen)});
  }
  return pieces;
}

TEST_CASE("rounded weights cost a trained model little of its perplexity",
          "[quantization][default-model]") {
  const auto reference = testing::default_reference();
  if (!reference) return;
  const auto pieces = pieces_of_readme(*load_tokenizer(reference->model_folder));
  const auto perplexity_with = [&](const LoadOptions& options) {
    return perplexity(score(load_model(reference->model_folder, options), pieces));
  };
  const double as_stored = perplexity_with({});
  CHECK(as_stored > 2);
  const auto cost = [&](int bits, Activations activations) {
    const Quantization quantization{.bits = bits};
    return perplexity_with({.quantization = quantization, .activations = activations}) / as_stored -
           1;
  };
  CHECK(cost(8, Activations::kAsComputed) < 0.005);
  CHECK(cost(8, Activations::kInt8) < 0.01);
  CHECK(cost(4, Activations::kAsComputed) < 0.06);
  CHECK(cost(4, Activations::kInt8) < 0.06);
}

}  // namespace
}  // namespace prepack
