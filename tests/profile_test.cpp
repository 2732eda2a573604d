#include "base/profile.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/stopwatch.h"
#include "prepack/decode.h"
#include "prepack/prefill.h"
#include "support/catch.h"
#include "support/random.h"
#include "support/tiny_model.h"

namespace prepack {
namespace {

void sleep_ms(int64_t count) { std::this_thread::sleep_for(std::chrono::milliseconds(count)); }

using Names = std::vector<std::string>;

Names parts_with_time(const PartTimes& times) {
  Names parts;
  for (size_t i = 0; i < kNumParts; ++i) {
    if (times.seconds[i] > 0) parts.emplace_back(to_string(static_cast<Part>(i)));
  }
  return parts;
}

TEST_CASE("the parts of a profile add up to the time that it measured", "[profile]") {
  const Stopwatch longer;
  Profiler profiler;
  const Stopwatch shorter;
  sleep_ms(2);
  profiled(Part::kNorm, [] { sleep_ms(2); });
  profiled(Part::kAttention, [] { sleep_ms(2); });
  const double least = shorter.seconds();
  const auto times = profiler.times();
  const double most = longer.seconds();
  CHECK(times.total() >= least);
  CHECK(times.total() <= most);
  CHECK(parts_with_time(times) == Names{"norm", "attention", "rest"});
}

TEST_CASE("of parts within each other the innermost counts", "[profile]") {
  const Stopwatch stopwatch;
  Profiler profiler;
  {
    const ProfiledPart outer(Part::kDownProj);
    sleep_ms(3);
    CHECK(profiled(Part::kSwiglu, [] {
            sleep_ms(20);
            return 7;
          }) == 7);
    sleep_ms(3);
  }
  const auto times = profiler.times();
  CHECK(times.of(Part::kSwiglu) >= 0.020);
  CHECK(times.of(Part::kDownProj) >= 0.006);
  CHECK(times.of(Part::kDownProj) <= stopwatch.seconds() - times.of(Part::kSwiglu));
}

TEST_CASE("a profiler sees its own thread, and no more once it is gone", "[profile]") {
  std::optional<Profiler> profiler(std::in_place);
  std::thread([] { profiled(Part::kRope, [] { sleep_ms(1); }); }).join();
  CHECK(profiler->times().of(Part::kRope) == 0);
  {
    Profiler newer;
    profiled(Part::kLmHead, [] { sleep_ms(1); });
    CHECK(newer.times().of(Part::kLmHead) > 0);
  }
  CHECK(profiler->times().of(Part::kLmHead) == 0);
  profiled(Part::kSampling, [] { sleep_ms(1); });
  CHECK(profiler->times().of(Part::kSampling) > 0);
  profiler.reset();
  profiled(Part::kNorm, [] {});
  CHECK(Profiler().times().of(Part::kNorm) == 0);
}

TEST_CASE("each part has a name of its own", "[profile]") {
  std::set<std::string_view> names;
  for (size_t i = 0; i < kNumParts; ++i) names.insert(to_string(static_cast<Part>(i)));
  CHECK(names.size() == kNumParts);
  CHECK(names.count("unknown") == 0);
}

TEST_CASE("times of parts are added part by part", "[profile]") {
  PartTimes times;
  times.seconds[static_cast<size_t>(Part::kNorm)] = 1;
  PartTimes more = times;
  more.seconds[static_cast<size_t>(Part::kRest)] = 2;
  times += more;
  CHECK(times.of(Part::kNorm) == 2);
  CHECK(times.of(Part::kRest) == 2);
  CHECK(times.total() == 4);
}

TEST_CASE("prefill and decode by every method spend time in every part", "[profile]") {
  testing::Random random(1);
  for (const auto& config : testing::tiny_configs()) {
    const auto model = testing::random_model(config);
    const auto prompts = random.prompts({3, 7, 5}, config.vocab_size);
    for (const auto& [name, options] : testing::prefill_variants(prompts)) {
      CAPTURE(name);
      Profiler of_prefill;
      auto state = prefill(model, prompts, options, /*cache_capacity=*/10);
      auto times = of_prefill.times();
      const DecodeRequest request{.sampler = Sampler(SamplingParams{}, 0, {}), .max_new_tokens = 2};
      std::vector<DecodeRequest> requests(prompts.size(), request);
      Profiler of_decode;
      decode(model, std::move(state), requests);
      CHECK(times.of(Part::kSampling) == 0);
      CHECK(parts_with_time(times).size() == kNumParts - 1);
      CHECK(parts_with_time(of_decode.times()).size() == kNumParts);
    }
  }
}

}  // namespace
}  // namespace prepack
