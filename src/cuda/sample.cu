// Draws tokens without sorting the vocabulary: the least likely token that is kept is found digit
// by
// digit, from the bits of its weight, as a radix sort would. Ref: Alabi et al., "Fast k-selection
// algorithms for graphics processing units" (2012).

#include "cuda/device.cuh"
#include "cuda/kernels.h"

namespace prepack::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int kWarp = 32;
constexpr int kNumBins = 256;  // of a digit of 8 bits

/// A probability relative to the likeliest token's, from 0 to 1, in units of 2^-40: sums of whole
/// numbers are the same in whatever order the threads add them.
using Mass = unsigned long long;
__device__ inline Mass to_mass(float weight) {
  return static_cast<Mass>(static_cast<double>(weight) * 0x1p40);
}

/// Which tokens are kept: those of larger weights than the cut's, and the first of equal ones.
struct Cut {
  unsigned bits;   // of the weight; weights are not negative, so that bits are in their order
  Mass num_equal;  // tokens of this very weight that are kept
};

/// What is summed over tokens.
enum class Amount { kTokens, kMass };

__device__ inline Mass amount_of(float weight, Amount amount) {
  return amount == Amount::kTokens ? 1 : to_mass(weight);
}

/// One row, as its block sees it.
struct Row {
  const float* logits;
  int vocab_size;
  float highest;
  float temperature;

  __device__ float weight(int id) const { return expf((logits[id] - highest) / temperature); }
};

__device__ inline unsigned bits_of(float weight) {
  unsigned bits;
  memcpy(&bits, &weight, sizeof(bits));
  return bits;
}

__device__ inline float weight_of(unsigned bits) {
  float weight;
  memcpy(&weight, &bits, sizeof(weight));
  return weight;
}

/// Adds up what is before each thread's own; all threads must call it.
/// @param total  of all threads
__device__ Mass sum_before(Mass own, Mass& total) {
  __shared__ Mass sums[kThreads];
  const int thread = threadIdx.x;
  sums[thread] = own;
  __syncthreads();
  for (int distance = 1; distance < kThreads; distance *= 2) {
    const Mass before = thread >= distance ? sums[thread - distance] : 0;
    __syncthreads();
    sums[thread] += before;
    __syncthreads();
  }
  total = sums[kThreads - 1];
  const Mass result = sums[thread] - own;
  __syncthreads();  // before the next call writes
  return result;
}

/// The cut at which the tokens' amounts, from the largest weight down, reach `wanted`. Tokens below
/// `least` are left out, and of those at it `least.num_equal` are counted.
__device__ Cut find_cut(const Row& row, const Cut& least, Mass wanted, Amount amount) {
  __shared__ Mass bins[kThreads / kWarp][kNumBins];  // of each warp, so that fewer wait
  __shared__ unsigned found_digit;
  __shared__ Mass found_above;
  unsigned prefix = 0;  // the digits found so far
  Mass above = 0;       // the amount of larger weights
  for (int shift = 24; shift >= 0; shift -= 8) {
    for (int n = threadIdx.x; n < kThreads / kWarp * kNumBins; n += kThreads) {
      bins[n / kNumBins][n % kNumBins] = 0;
    }
    __syncthreads();
    const auto add = [&](unsigned bits, Mass of_token) {
      const bool is_candidate = shift == 24 || bits >> (shift + 8) == prefix;
      if (!is_candidate || of_token == 0) return;
      atomicAdd(&bins[threadIdx.x / kWarp][bits >> shift & (kNumBins - 1)], of_token);
    };
    for (int id = threadIdx.x; id < row.vocab_size; id += kThreads) {
      const float weight = row.weight(id);
      const unsigned bits = bits_of(weight);
      if (bits > least.bits) add(bits, amount_of(weight, amount));
    }
    if (threadIdx.x == 0) {
      add(least.bits, least.num_equal * amount_of(weight_of(least.bits), amount));
    }
    __syncthreads();
    if (threadIdx.x < kNumBins) {
      for (int warp = 1; warp < kThreads / kWarp; ++warp) {
        bins[0][threadIdx.x] += bins[warp][threadIdx.x];
      }
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      unsigned digit = kNumBins - 1;
      Mass sum = above;
      for (; digit > 0 && sum + bins[0][digit] < wanted; --digit) sum += bins[0][digit];
      found_digit = digit;
      found_above = sum;
    }
    __syncthreads();
    prefix = prefix << 8 | found_digit;
    above = found_above;
  }
  const Mass each = amount_of(weight_of(prefix), amount);
  const Mass missing = wanted > above ? wanted - above : 1;
  return {prefix, each == 0 ? 1 : (missing + each - 1) / each};
}

/// The likeliest token, the first among equals; -1 if a logit is no number or this is not finite.
/// @param highest  its logit
__device__ int find_likeliest(const float* logits, int vocab_size, float& highest) {
  __shared__ float values[kThreads];
  __shared__ int ids[kThreads];
  const int thread = threadIdx.x;
  values[thread] = -INFINITY;
  ids[thread] = vocab_size;
  bool is_number = true;
  for (int id = thread; id < vocab_size; id += kThreads) {
    if (isnan(logits[id])) is_number = false;
    if (logits[id] > values[thread]) {
      values[thread] = logits[id];
      ids[thread] = id;
    }
  }
  if (!is_number) values[thread] = INFINITY;  // which is no number for a token either
  __syncthreads();
  for (int distance = kThreads / 2; distance > 0; distance /= 2) {
    if (thread < distance) {
      const float other = values[thread + distance];
      const int other_id = ids[thread + distance];
      if (other > values[thread] || (other == values[thread] && other_id < ids[thread])) {
        values[thread] = other;
        ids[thread] = other_id;
      }
    }
    __syncthreads();
  }
  highest = values[0];
  const int likeliest = ids[0];
  __syncthreads();
  return isinf(highest) ? -1 : likeliest;
}

/// A row to each block.
__global__ void draw(SampleRows rows) {
  const int64_t row_index = blockIdx.x;
  const RowSampling sampling = rows.sampling[row_index];
  Row row{rows.logits + row_index * rows.vocab_size, static_cast<int>(rows.vocab_size), 0,
          sampling.temperature};
  const int likeliest = find_likeliest(row.logits, row.vocab_size, row.highest);
  if (likeliest < 0 || sampling.temperature == 0) {
    if (threadIdx.x == 0) rows.tokens[row_index] = likeliest;
    return;
  }

  Cut cut{0, static_cast<Mass>(row.vocab_size)};  // everything
  if (sampling.top_k > 0 && sampling.top_k < row.vocab_size) {
    cut = find_cut(row, cut, static_cast<Mass>(sampling.top_k), Amount::kTokens);
  }
  // Each thread passes over ids that lie together, so that what is before them is in the threads
  // before.
  const int num_ids = (row.vocab_size + kThreads - 1) / kThreads;
  const int begin = min(static_cast<int>(threadIdx.x) * num_ids, row.vocab_size);
  const int end = min(begin + num_ids, row.vocab_size);
  Mass total = 0;
  /// Calls f(id, mass) for each token of this thread that is kept.
  const auto for_kept = [&](const Cut& kept, float least_weight, const auto& f) {
    Mass own_equals = 0;
    for (int id = begin; id < end; ++id) own_equals += bits_of(row.weight(id)) == kept.bits;
    Mass num_equals;
    Mass equals_before = sum_before(own_equals, num_equals);
    for (int id = begin; id < end; ++id) {
      const float weight = row.weight(id);
      const unsigned bits = bits_of(weight);
      const bool is_kept =
          bits > kept.bits || (bits == kept.bits && equals_before++ < kept.num_equal);
      if (is_kept && weight >= least_weight) f(id, to_mass(weight));
    }
  };
  const auto sum_kept = [&](const Cut& kept, float least_weight) {
    Mass own = 0;
    for_kept(kept, least_weight, [&](int, Mass mass) { own += mass; });
    return own;
  };
  if (sampling.top_p < 1) {
    sum_before(sum_kept(cut, 0), total);
    const double share = static_cast<double>(sampling.top_p) * static_cast<double>(total);
    const Mass wanted = max(static_cast<Mass>(ceil(share)), Mass{1});
    cut = find_cut(row, cut, wanted, Amount::kMass);
  }
  const Mass own = sum_kept(cut, sampling.min_p);
  Mass before = sum_before(own, total);
  const Mass drawn =
      min(static_cast<Mass>(sampling.uniform * static_cast<double>(total)), total - 1);
  const bool is_mine = before <= drawn && drawn < before + own;
  for_kept(cut, sampling.min_p, [&](int id, Mass mass) {
    if (is_mine && before <= drawn && drawn < before + mass) rows.tokens[row_index] = id;
    before += mass;
  });
}

}  // namespace

void sample(const SampleRows& rows, Stream stream) {
  if (rows.num_rows == 0) return;
  launch(draw, dim3(rows.num_rows), dim3(kThreads), stream, rows);
}

}  // namespace prepack::cuda
