// Graphs of forwards, replayed through a stand-in for a GPU's: it does again what was recorded, on
// the memory that was recorded, and knows nothing of later forwards but what was copied there.

#include "runtime/forward_graphs.h"

#include <map>
#include <stdexcept>
#include <utility>

#include "prepack/prefill.h"
#include "runtime/decode_batch.h"
#include "runtime/forward_arrays.h"
#include "runtime/prefill_rows.h"
#include "support/all_close.h"
#include "support/catch.h"
#include "support/forward_inputs.h"
#include "support/random.h"
#include "support/tiny_model.h"
#include "support/watched_allocator.h"

namespace prepack {
namespace {

using testing::AllClose;
using testing::BitEqual;
using testing::prompt_input;
using testing::Random;
using testing::random_model;
using testing::step_input;

class EagerGraph : public DeviceGraph {
 public:
  explicit EagerGraph(std::function<void()> run) : run_(std::move(run)) {}
  void replay() override { run_(); }

 private:
  std::function<void()> run_;
};

std::unique_ptr<DeviceGraph> record_eagerly(const DeviceGraph*, const std::function<void()>& run) {
  return std::make_unique<EagerGraph>(run);
}

GraphShape shape_of(std::vector<int64_t> lengths) {
  const KvCache cache(testing::tiny_configs().front(), std::ssize(lengths), 5000, DType::kFloat32,
                      at::kCPU);
  std::vector<TokenIds> prompts;
  for (int64_t length : lengths) prompts.emplace_back(length);
  return graph_shape(prompt_input(prompts, cache));
}

TEST_CASE("a graph's shape holds its forward, with few tokens in vain", "[forward_graphs]") {
  Random random(1);
  for (int i = 0; i < 300; ++i) {
    const auto lengths = random.integers(random.integer(1, 40), 2, 200);
    int64_t num_tokens = 0;
    for (int64_t length : lengths) num_tokens += length;
    const auto shape = shape_of(lengths);
    CAPTURE(num_tokens, shape.num_tokens);
    REQUIRE(shape.num_tokens >= num_tokens);
    REQUIRE(shape.num_tokens <= std::max(num_tokens + num_tokens / 4, num_tokens + 15));
    REQUIRE(shape.num_sequences >= std::ssize(lengths));
    REQUIRE(shape.max_queries >= std::ranges::max(lengths));
    REQUIRE(shape.max_keys >= std::ranges::max(lengths));
  }
}

TEST_CASE("bins that are nearly full have one shape", "[forward_graphs]") {
  CHECK(shape_of({2048}) == shape_of({2040}));
  CHECK(shape_of({100, 200, 300, 400, 48}) == shape_of({300, 300, 300, 141}));
  CHECK(shape_of({2049}) != shape_of({2048}));
  CHECK(shape_of({1025}).num_tokens == 1024 + 1024 / 8);
}

TEST_CASE("a decode step is filled up with sequences of one query and no keys",
          "[forward_graphs]") {
  Random random(2);
  const auto config = testing::tiny_configs().front();
  const KvCache cache(config, 30, 10, DType::kFloat32, at::kCPU);
  for (int64_t size = 1; size <= 30; ++size) {
    std::vector<int64_t> rows(size);
    for (int64_t i = 0; i < size; ++i) rows[i] = i;
    const auto lengths = random.integers(size, 1, 8);
    const auto input = step_input(rows, lengths, cache, random, config.vocab_size);
    const auto shape = graph_shape(input);
    CAPTURE(size, shape.num_tokens);
    CHECK(shape.num_tokens == shape.num_sequences);
    CHECK(shape.num_tokens >= size);
    CHECK((size > 8 || shape.num_tokens == size));
    CHECK(shape.num_tokens < size + std::max<int64_t>(size / 4, 1) + 1);
    CHECK(shape.max_queries == 1);
    const auto filled = fill_up(input, shape);
    const auto& attention = std::get<VarlenAttention>(filled.attention);
    for (int64_t i = 0; i < shape.num_sequences; ++i) {
      CHECK(attention.cu_seqlens[i + 1] == i + 1);
      CHECK(attention.num_keys[i] == (i < size ? lengths[i] + 1 : 0));
      CHECK(filled.cache_slots.slots[i].item<int64_t>() ==
            (i < size ? rows[i] * 10 + lengths[i] : CacheSlots::kNowhere));
    }
  }
}

TEST_CASE("replays with other lengths, numbers and rows compute what eager forwards do",
          "[forward_graphs]") {
  uint64_t seed = 0;
  for (const auto& config : testing::tiny_configs()) {
    if (config.rope.depends_on_length()) continue;
    CAPTURE(++seed, config.num_heads);
    Random random(seed);
    const auto model = random_model(config, seed);
    KvCache cache(config, 12, 80, DType::kFloat32, at::kCPU);
    KvCache eager_cache(config, 12, 80, DType::kFloat32, at::kCPU);
    ForwardGraphs graphs(model, cache, record_eagerly);
    const auto check = [&](const ForwardInput& input) {
      const auto logits = graphs.compute(input).clone();
      const auto eager =
          model.compute_logits(model.forward(to_device(input, at::kCPU), eager_cache));
      REQUIRE_THAT(logits, AllClose(eager, 1e-4));
      for (int64_t layer = 0; layer < config.num_layers; ++layer) {
        REQUIRE_THAT(cache.keys(layer), AllClose(eager_cache.keys(layer), 1e-4));
        REQUIRE_THAT(cache.values(layer), AllClose(eager_cache.values(layer), 1e-4));
      }
    };
    for (int i = 0; i < 12; ++i) {
      // From 1 to 8 sequences of up to 64 tokens, 110 to 120 in all: mostly one shape.
      std::vector<int64_t> lengths;
      for (int64_t rest = random.integer(112, 120); rest > 0; rest -= lengths.back()) {
        lengths.push_back(std::min(rest, random.integer(15, 60)));
      }
      CAPTURE(lengths);
      check(prompt_input(random.prompts(lengths, config.vocab_size), cache));
    }
    CHECK(graphs.stats().num_replays >= 6);
    // Decode steps over the rows that all of these prompts have filled.
    const int64_t before = graphs.stats().num_replays;
    for (int i = 0; i < 12; ++i) {
      std::vector<int64_t> rows = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
      random.shuffle(rows);
      rows.resize(random.integer(9, 10));
      check(step_input(rows, random.integers(std::ssize(rows), 0, 79), cache, random,
                       config.vocab_size));
    }
    CHECK(graphs.stats().num_replays == before + 10);
  }
}

TEST_CASE("prefills and steps of sequences that come and go share their graphs",
          "[forward_graphs]") {
  const auto config = testing::tiny_configs().front();
  const auto model = random_model(config);
  Random random(7);
  const auto generate_all = [&](Random prompts_of, bool records) {
    auto cache = KvCache::without_rows(config, 200, DType::kFloat32, at::kCPU);
    ForwardGraphs graphs(model, cache, record_eagerly);
    auto* used = records ? &graphs : nullptr;
    std::map<int64_t, TokenIds> results;
    DecodeBatch batch(model, cache, used, {}, [&](int64_t number, DecodedSequence decoded) {
      results[number] = std::move(decoded.token_ids);
    });
    std::vector<DecodeRequest> requests;
    for (int64_t i = 0; i < 24; ++i) {
      requests.push_back({Sampler({}, 0, {}), prompts_of.integer(1, 12)});
    }
    for (int64_t i = 0; i < 24; i += 2) {
      const auto prompts =
          prompts_of.prompts(prompts_of.integers(2, 1, i % 4 == 0 ? 1 : 12), config.vocab_size);
      std::vector<int64_t> rows;
      std::vector<DecodingSequence> joining;
      for (int64_t j = 0; j < 2; ++j) {
        rows.push_back(cache.add_row(30).value());
        joining.push_back({i + j, rows.back(), std::ssize(prompts[j]), &requests[i + j]});
      }
      RunStats stats;
      auto logits = prefill_rows(model, prompts, {}, rows, cache, used, stats);
      batch.join(std::move(joining), std::move(logits));
      while (batch.size() > 4) batch.step();
    }
    while (batch.size() > 0) batch.step();
    CHECK((graphs.stats().num_replays > 20) == records);
    CHECK(graphs.stats().graph_failure.empty());
    return results;
  };
  for (int trial = 0; trial < 5; ++trial) {
    const Random same(random.integer(0, 1000));
    const auto results = generate_all(same, /*records=*/true);
    CHECK(results.size() == 24);
    CHECK(results == generate_all(same, /*records=*/false));
  }
}

TEST_CASE("what comes once or twice is not recorded", "[forward_graphs]") {
  const auto config = testing::tiny_configs().front();
  const auto model = random_model(config);
  KvCache cache(config, 1, 100, DType::kFloat32, at::kCPU);
  int num_recorded = 0;
  ForwardGraphs graphs(model, cache,
                       [&](const DeviceGraph* sharing, const std::function<void()>& run) {
                         ++num_recorded;
                         return record_eagerly(sharing, run);
                       });
  Random random(3);
  for (const int64_t length : {10, 90, 10, 90}) {
    CHECK(graphs.compute(prompt_input({random.tokens(length, 61)}, cache)).sizes() ==
          at::IntArrayRef({1, 61}));
  }
  CHECK(num_recorded == 0);
  graphs.compute(prompt_input({random.tokens(10, 61)}, cache));
  CHECK(num_recorded == 1);
}

TEST_CASE("what is recorded was done before in the same sizes, so that nothing in it is new",
          "[forward_graphs]") {
  for (const auto& config : testing::tiny_configs()) {
    if (config.rope.depends_on_length()) continue;
    const auto model = random_model(config);
    KvCache cache(config, 1, 100, DType::kFloat32, at::kCPU);
    testing::WatchedAllocator memory;
    std::vector<size_t> sizes;  // that were allocated
    memory.set_watch([&](size_t num_bytes) { sizes.push_back(num_bytes); });
    std::vector<size_t> recorded;
    ForwardGraphs graphs(model, cache,
                         [&](const DeviceGraph* sharing, const std::function<void()>& run) {
                           sizes.clear();
                           run();
                           recorded = sizes;
                           return record_eagerly(sharing, run);
                         });
    Random random(4);
    std::vector<std::vector<size_t>> forwards;
    for (const int64_t length : {9, 10, 11}) {
      sizes.clear();
      graphs.compute(prompt_input({random.tokens(length, config.vocab_size)}, cache));
      forwards.push_back(sizes);
    }
    const auto ends_as_recorded = [&](const std::vector<size_t>& forward) {
      return forward.size() >= recorded.size() &&
             std::equal(recorded.rbegin(), recorded.rend(), forward.rbegin());
    };
    REQUIRE(recorded.size() > 10);
    CHECK_FALSE(ends_as_recorded(forwards[0]));
    CHECK(ends_as_recorded(forwards[1]));
  }
}

/// A recorder that fails, and how.
struct Failure {
  const char* what;
  const char* message;
  std::function<std::unique_ptr<DeviceGraph>(const std::function<void()>& run)> record;
};

class UnplayableGraph : public DeviceGraph {
 public:
  void replay() override { throw std::runtime_error("it cannot be played"); }
};

std::vector<Failure> failures() {
  return {
      {"before anything is recorded", "the stream cannot be captured",
       [](const auto&) -> std::unique_ptr<DeviceGraph> {
         throw std::runtime_error("the stream cannot be captured");
       }},
      {"for want of memory, in the midst of it", "no memory is left",
       [](const auto& run) -> std::unique_ptr<DeviceGraph> {
         run();
         C10_THROW_ERROR(OutOfMemoryError, "no memory is left");
       }},
      {"when it is played", "it cannot be played", [](const auto&) -> std::unique_ptr<DeviceGraph> {
         return std::make_unique<UnplayableGraph>();
       }}};
}

TEST_CASE("a shape that cannot be recorded is computed as it comes, and not tried again",
          "[forward_graphs]") {
  const auto config = testing::tiny_configs().front();
  const auto model = random_model(config);
  for (const auto& failure : failures()) {
    CAPTURE(failure.what);
    KvCache cache(config, 1, 100, DType::kFloat32, at::kCPU);
    KvCache eager_cache(config, 1, 100, DType::kFloat32, at::kCPU);
    std::vector<const DeviceGraph*> sharing;  // what each recording was given
    bool fails = true;
    ForwardGraphs graphs(model, cache,
                         [&](const DeviceGraph* shared, const std::function<void()>& run) {
                           sharing.push_back(shared);
                           return fails ? failure.record(run) : record_eagerly(shared, run);
                         });
    Random random(5);
    const auto check = [&](int64_t length) {
      const auto input = prompt_input({random.tokens(length, 61)}, cache);
      const auto logits = graphs.compute(input).clone();
      const auto eager =
          model.compute_logits(model.forward(to_device(input, at::kCPU), eager_cache));
      REQUIRE_THAT(logits, AllClose(eager, 1e-4));
      REQUIRE_THAT(cache.keys(0), AllClose(eager_cache.keys(0), 1e-4));
    };
    for (const int64_t length : {10, 11, 12, 13, 14, 15, 16}) check(length);
    CHECK(sharing.size() == 1);
    CHECK(graphs.stats().num_replays == 0);
    CHECK(graphs.stats().graph_failure == failure.message);
    // Other shapes are no worse for it: the first of them has nothing to share, the next has that.
    fails = false;
    for (const int64_t length : {30, 31, 32, 31, 60, 61, 62, 63}) check(length);
    CHECK(graphs.stats().num_replays == 4);
    REQUIRE(sharing.size() == 3);
    CHECK(sharing[1] == nullptr);
    CHECK(sharing[2] != nullptr);
    check(12);
    CHECK(sharing.size() == 3);
  }
}

TEST_CASE("a forward that fails by itself is an error, recorded or not", "[forward_graphs]") {
  const auto config = testing::tiny_configs().front();
  const auto model = random_model(config);
  KvCache cache(config, 1, 100, DType::kFloat32, at::kCPU);
  ForwardGraphs graphs(model, cache, record_eagerly);
  Random random(6);
  for (int i = 0; i < 4; ++i) {
    auto input = prompt_input({random.tokens(10, 61)}, cache);
    input.cache_slots.slots[3] = 100;  // the cache has no such slot
    CHECK_THROWS(graphs.compute(input));
  }
}

TEST_CASE("on the CPU nothing is recorded", "[forward_graphs]") {
  const auto config = testing::tiny_configs().front();
  KvCache cache(config, 1, 4, DType::kFloat32, at::kCPU);
  CHECK(make_forward_graphs(random_model(config), cache) == nullptr);
}

}  // namespace
}  // namespace prepack
