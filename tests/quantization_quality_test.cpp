// What rounding its weights costs a trained model: the likelihood of a text.

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "kernels/byte_tiles_product.h"
#include "prepack/quantization.h"
#include "prepack/score.h"
#include "prepack/tokenizer.h"
#include "support/catch.h"
#include "support/reference.h"

namespace prepack {
namespace {

/// A text that the tests have, in pieces of so many tokens.
std::vector<ScoreRequest> pieces_of_text(const Tokenizer& tokenizer) {
  constexpr ptrdiff_t kPieceLen = 40;
  std::ifstream file(std::filesystem::path(PREPACK_SOURCE_DIR) / "tests/data/texts/ferry.txt");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto tokens = tokenizer.encode(text);
  std::vector<ScoreRequest> pieces;
  for (auto first = tokens.begin(); tokens.end() - first >= kPieceLen; first += kPieceLen) {
    pieces.push_back({TokenIds(first, first + kPieceLen)});
  }
  REQUIRE(pieces.size() > 15);
  return pieces;
}

/// How far the mean log-likelihoods of a token in each piece are from the expected ones, on
/// average: what errors of one sign and the other do not hide.
double mean_distance(const std::vector<Score>& actual, const std::vector<Score>& expected) {
  double sum = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    sum += std::abs(actual[i].log_likelihood - expected[i].log_likelihood) /
           static_cast<double>(actual[i].num_tokens);
  }
  return sum / static_cast<double>(actual.size());
}

TEST_CASE("rounded weights cost a trained model little", "[quantization][default-model]") {
  const auto reference = testing::default_reference();
  if (!reference) return;
  const auto pieces = pieces_of_text(*load_tokenizer(reference->model_folder));
  const auto score_with = [&](LoadOptions options) {
    options.dtype = DType::kFloat32;
    return score(load_model(reference->model_folder, options), pieces);
  };
  const auto as_stored = score_with({});
  CHECK(perplexity(as_stored) > 5);
  struct Limit {
    int bits;
    Activations activations;
    double cost;  // a part of the perplexity
    double distance;
  };
  // Twice what was measured, in tiles on an emulation. The checkpoint's weights have four bits
  // already.
  const bool has_tiles = can_multiply_byte_tiles();
  for (const auto& [bits, activations, most_cost, most_distance] :
       {Limit{8, Activations::kAsComputed, 0.01, 0.02}, Limit{8, Activations::kInt16, 0.01, 0.02},
        Limit{8, Activations::kInt8, has_tiles ? 0.03 : 0.016, has_tiles ? 0.06 : 0.035},
        Limit{4, Activations::kAsComputed, 0.002, 0.0025},
        Limit{4, Activations::kInt8, 0.01, 0.02}}) {
    CAPTURE(bits, to_string(activations));
    const auto rounded =
        score_with({.quantization = Quantization{.bits = bits}, .activations = activations});
    const double cost = perplexity(rounded) / perplexity(as_stored) - 1;
    const double distance = mean_distance(rounded, as_stored);
    CAPTURE(cost, distance);
    CHECK(std::abs(cost) < most_cost);
    CHECK(distance > 1e-6);  // or nothing was rounded
    CHECK(distance < most_distance);
  }
}

}  // namespace
}  // namespace prepack
