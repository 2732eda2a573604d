#pragma once

// LibTorch's logging header defines CHECK too, and must not do so after Catch2 did.
#if __has_include(<c10/util/Logging.h>)
#include <c10/util/Logging.h>
#undef CHECK
#endif

// Debian 12 ships Catch2 version 2, conda version 3; the tests use what both have.
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
using Catch::Matchers::ContainsSubstring;
namespace prepack::testing {
template <typename T>
using MatcherBase = Catch::Matchers::MatcherBase<T>;
}  // namespace prepack::testing
#else
#include <catch2/catch.hpp>
namespace prepack::testing {
inline auto ContainsSubstring(const std::string& text) { return Catch::Matchers::Contains(text); }
template <typename T>
using MatcherBase = Catch::MatcherBase<T>;
}  // namespace prepack::testing
using prepack::testing::ContainsSubstring;
#endif
