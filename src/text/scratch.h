#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "prepack/token.h"
#include "text/merge_table.h"
#include "text/regex.h"
#include "text/word_cache.h"

namespace prepack::text {

/// A part of the text on its way through the pre-tokenizer.
struct Piece {
  std::string_view text;
  bool at_start;  // of the whole text, which is where a "first" prefix space goes
};

/// The working memory of one `encode` call, reused by later ones: nothing in it outlives a call but
/// capacity and the word cache.
struct Scratch {
  std::string normalized;
  std::string normalizing;  // the normalizer's other buffer
  std::vector<Piece> pieces;
  std::vector<Piece> splitting;        // the pre-tokenizer's other list
  std::vector<std::string> rewritten;  // by pre-tokenizer step: the text of pieces that it changed
  std::string spelling;                // a word in the vocabulary's spelling
  std::vector<TokenId> symbols;
  MergeBuffers merge;
  RegexMatcher regex;
  WordCache cache;
};

/// Lends a Scratch to each call in progress, so that a tokenizer can be used by several threads at
/// once and each finds warm memory.
class ScratchPool {
 public:
  class Lease {
   public:
    explicit Lease(ScratchPool& pool) : pool_(pool), scratch_(pool.take()) {}
    ~Lease() { pool_.put_back(std::move(scratch_)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Scratch& operator*() { return *scratch_; }

   private:
    ScratchPool& pool_;
    std::unique_ptr<Scratch> scratch_;
  };

 private:
  std::unique_ptr<Scratch> take() {
    {
      const std::lock_guard lock(mutex_);
      if (!free_.empty()) {
        auto scratch = std::move(free_.back());
        free_.pop_back();
        return scratch;
      }
    }
    return std::make_unique<Scratch>();
  }

  void put_back(std::unique_ptr<Scratch> scratch) noexcept {
    const std::lock_guard lock(mutex_);
    try {
      free_.push_back(std::move(scratch));
    } catch (const std::bad_alloc&) {  // then it is freed, which loses nothing but warmth
    }
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<Scratch>> free_;
};

}  // namespace prepack::text
