#include "runtime/stop_text.h"

#include <algorithm>

#include "support/catch.h"
#include "support/random.h"

namespace prepack {
namespace {

using testing::Random;

/// What the pieces come to when they are pushed one after the other.
std::string push_all(StopText& stop, const std::vector<std::string>& pieces) {
  std::string text;
  for (const auto& piece : pieces) text += stop.push(piece);
  if (!stop.found()) text += stop.finish();
  return text;
}

/// Short random text over two letters, so that stops occur, overlap and almost occur.
std::string random_text(Random& random, int64_t length) {
  std::string text;
  for (int64_t i = 0; i < length; ++i) text += random.integer(0, 1) == 0 ? 'a' : 'b';
  return text;
}

std::vector<std::string> random_pieces(Random& random, const std::string& text) {
  std::vector<std::string> pieces;
  for (size_t at = 0; at < text.size();) {
    const auto length = static_cast<size_t>(random.integer(0, 4));
    pieces.push_back(text.substr(at, length));
    at += length;
  }
  return pieces;
}

TEST_CASE("text without a stop passes unchanged and at once", "[stop_text]") {
  StopText stop({"###"});
  CHECK(stop.push("Hello") == "Hello");
  CHECK(stop.push(", world") == ", world");
  CHECK(stop.finish().empty());
  CHECK_FALSE(stop.found());
}

TEST_CASE("text ends before the stop", "[stop_text]") {
  StopText stop({"END"});
  CHECK(stop.push("one END two") == "one ");
  CHECK(stop.found());
}

TEST_CASE("nothing comes after the stop", "[stop_text]") {
  StopText stop({"END"});
  CHECK(stop.push("END two").empty());
  CHECK(stop.push("three").empty());
  CHECK(stop.finish().empty());
}

TEST_CASE("a stop that spans pieces is found", "[stop_text]") {
  StopText stop({"\n\nQuestion:"});
  CHECK(stop.push("Mars\n") == "Mars");
  CHECK(stop.push("\nQues").empty());
  CHECK_FALSE(stop.found());
  CHECK(stop.push("tion: Which").empty());
  CHECK(stop.found());
}

TEST_CASE("text held back is given when it turns out to be no stop", "[stop_text]") {
  StopText stop({"###"});
  CHECK(stop.push("a##") == "a");
  CHECK(stop.push("b") == "##b");
}

TEST_CASE("text held back is given at the end", "[stop_text]") {
  StopText stop({"###"});
  CHECK(stop.push("a##") == "a");
  CHECK(stop.finish() == "##");
  CHECK_FALSE(stop.found());
}

TEST_CASE("a stop that begins inside a failed one is found", "[stop_text]") {
  StopText stop({"aab"});
  CHECK(push_all(stop, {"a", "a", "a", "b"}) == "a");
  CHECK(stop.found());
}

TEST_CASE("the stop that is complete first wins, whatever the order of the stops", "[stop_text]") {
  for (const auto& stops : {std::vector<std::string>{"cd", "bcde"}, {"bcde", "cd"}}) {
    StopText stop(stops);
    CHECK(stop.push("abcdef") == "ab");
  }
}

TEST_CASE("without stops nothing is held back", "[stop_text]") {
  StopText stop({});
  CHECK(stop.push("any text") == "any text");
  CHECK_FALSE(stop.found());
}

TEST_CASE("an empty stop text is no stop", "[stop_text]") {
  StopText stop({""});
  CHECK(stop.push("any text") == "any text");
  CHECK_FALSE(stop.found());
}

TEST_CASE("however a text is split, it comes out whole up to its first stop", "[stop_text]") {
  Random random(3);
  int num_found = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::vector<std::string> stops(random.integer(1, 3));
    for (auto& stop : stops) stop = random_text(random, random.integer(2, 6));
    const auto text = random_text(random, random.integer(0, 24));
    // Of a stop that is completed first and one that begins first, the text as it arrives can only
    // know the former; they are the same where no stop lies within another.
    const bool nested = std::ranges::any_of(stops, [&](const auto& a) {
      return std::ranges::any_of(
          stops, [&](const auto& b) { return &a != &b && a.find(b) != std::string::npos; });
    });
    if (nested) continue;
    size_t first_stop = std::string::npos;
    for (const auto& stop : stops) first_stop = std::min(first_stop, text.find(stop));
    StopText stop(stops);
    CAPTURE(text, stops);
    REQUIRE(push_all(stop, random_pieces(random, text)) == text.substr(0, first_stop));
    REQUIRE(stop.found() == (first_stop != std::string::npos));
    num_found += stop.found() ? 1 : 0;
  }
  CHECK(num_found > 5'000);
}

TEST_CASE("what was given so far is never part of a stop, and all else is given at once",
          "[stop_text]") {
  Random random(4);
  for (int i = 0; i < 5'000; ++i) {
    const auto stop_text = random_text(random, random.integer(1, 5));
    const auto text = random_text(random, 20);
    StopText stop({stop_text});
    std::string given;
    for (size_t n = 1; n <= text.size(); ++n) {
      given += stop.push(text.substr(n - 1, 1));
      if (stop.found()) break;
      // The shortest ending that must be held back: the longest one that begins a stop.
      size_t held = std::min(stop_text.size() - 1, n);
      while (!text.substr(0, n).ends_with(stop_text.substr(0, held))) --held;
      CAPTURE(text, stop_text, n);
      REQUIRE(given == text.substr(0, n - held));
    }
  }
}

TEST_CASE("a stop text inside another is found however the text is cut", "[stop_text]") {
  const std::string text = "xxabcyy";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    CAPTURE(cut);
    StopText inside({"abc", "b"});
    auto before = inside.push(text.substr(0, cut));
    before += inside.push(text.substr(cut));
    CHECK(inside.found());
    CHECK(before == "xxa");  // "b" is complete first
    StopText at_end({"c", "bc"});
    before = at_end.push(text.substr(0, cut));
    before += at_end.push(text.substr(cut));
    CHECK(before == "xxa");  // of two that end together, the longer
  }
}

}  // namespace
}  // namespace prepack
