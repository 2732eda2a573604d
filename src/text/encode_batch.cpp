#include <fmt/format.h>

#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>

#include "prepack/error.h"
#include "prepack/tokenizer.h"

namespace prepack {
namespace {

/// The failure of the first text, in the caller's order, that failed.
class FirstFailure {
 public:
  bool before(size_t index) const { return index_.load(std::memory_order_relaxed) < index; }

  void record(size_t index, std::exception_ptr error) {
    const std::lock_guard lock(mutex_);
    if (index >= index_.load(std::memory_order_relaxed)) return;
    index_.store(index, std::memory_order_relaxed);
    error_ = std::move(error);
  }

  void rethrow() const {
    if (!error_) return;
    try {
      std::rethrow_exception(error_);
    } catch (const InvalidArgument& error) {
      throw InvalidArgument(fmt::format("text {}: {}", index_.load(), error.what()));
    }
  }

 private:
  std::mutex mutex_;
  std::atomic<size_t> index_{~size_t{0}};
  std::exception_ptr error_;
};

}  // namespace

std::vector<TokenIds> encode_batch(const Tokenizer& tokenizer, std::span<const std::string> texts,
                                   bool add_special_tokens, int num_threads) {
  if (num_threads < 1) {
    throw InvalidArgument(fmt::format("num_threads: expected at least 1, got {}", num_threads));
  }
  std::vector<TokenIds> result(texts.size());
  std::atomic<size_t> next{0};
  FirstFailure failure;
  // Each worker takes the next text; a text before the failure is still encoded, because it may
  // fail as well and then is the one to name.
  const auto work = [&] {
    for (size_t i; (i = next.fetch_add(1)) < texts.size();) {
      if (failure.before(i)) return;
      try {
        result[i] = tokenizer.encode(texts[i], add_special_tokens);
      } catch (...) {
        failure.record(i, std::current_exception());
      }
    }
  };
  {
    std::vector<std::jthread> threads;
    const size_t wanted = std::min(static_cast<size_t>(num_threads), texts.size());
    try {
      while (threads.size() + 1 < wanted) threads.emplace_back(work);
    } catch (const std::system_error&) {  // no more threads to be had: the others do the work
    }
    work();
  }
  failure.rethrow();
  return result;
}

}  // namespace prepack
