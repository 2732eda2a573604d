#include "packing/mip.h"

#include <coin/Cbc_C_Interface.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace prepack::packing {
namespace {

using CbcModel = std::unique_ptr<Cbc_Model, decltype(&Cbc_deleteModel)>;

constexpr double kLongestLimit = 1e8;  // seconds: the solver's own default

// Models of fewer than three rows abort the program: https://github.com/coin-or/Clp/issues/288.
// Rows without entries make up for that.
constexpr size_t kFewestRows = 8;

// Cbc_secondaryStatus: the solve was interrupted.
constexpr int kInterrupted = 5;

/// CBC handles interrupts itself while it solves, which is the program's business and not ours.
class KeepInterruptHandler {
 public:
  KeepInterruptHandler() { sigaction(SIGINT, nullptr, &handler_); }
  ~KeepInterruptHandler() { sigaction(SIGINT, &handler_, nullptr); }
  KeepInterruptHandler(const KeepInterruptHandler&) = delete;
  KeepInterruptHandler& operator=(const KeepInterruptHandler&) = delete;

 private:
  struct sigaction handler_ = {};
};

}  // namespace

int64_t Mip::add_row(double lower, double upper) {
  row_lower_.push_back(lower);
  row_upper_.push_back(upper);
  return static_cast<int64_t>(row_lower_.size()) - 1;
}

int64_t Mip::add_column(double cost, double upper, const std::vector<MipEntry>& entries) {
  costs_.push_back(cost);
  column_upper_.push_back(upper);
  for (const auto& [row, coefficient] : entries) {
    rows_.push_back(static_cast<int>(row));
    coefficients_.push_back(coefficient);
  }
  starts_.push_back(static_cast<int>(rows_.size()));
  return num_columns() - 1;
}

MipSolution Mip::solve(double time_limit_s) const {
  static std::mutex one_at_a_time;  // CBC keeps some of its state in globals
  const std::lock_guard lock(one_at_a_time);
  std::optional<KeepInterruptHandler> keep(std::in_place);

  const CbcModel model(Cbc_newModel(), &Cbc_deleteModel);
  Cbc_setLogLevel(model.get(), 0);
  const auto num_columns = static_cast<int>(costs_.size());
  const std::vector<double> column_lower(costs_.size(), 0);
  auto row_lower = row_lower_, row_upper = row_upper_;
  row_lower.resize(std::max(row_lower_.size(), kFewestRows), -kInfinity);
  row_upper.resize(row_lower.size(), kInfinity);
  Cbc_loadProblem(model.get(), num_columns, static_cast<int>(row_lower.size()), starts_.data(),
                  rows_.data(), coefficients_.data(), column_lower.data(), column_upper_.data(),
                  costs_.data(), row_lower.data(), row_upper.data());
  for (int column = 0; column < num_columns; ++column) Cbc_setInteger(model.get(), column);
  Cbc_setObjSense(model.get(), 1);
  Cbc_setParameter(model.get(), "slogLevel", "0");
  Cbc_setParameter(model.get(), "timeMode", "elapsed");
  Cbc_setParameter(model.get(), "seconds",
                   std::to_string(std::min(time_limit_s, kLongestLimit)).c_str());
  // A preprocessing that the time limit cuts short calls feasible models infeasible.
  Cbc_setParameter(model.get(), "preprocess", "off");
  const auto start = std::chrono::steady_clock::now();
  try {
    Cbc_solve(model.get());
  } catch (...) {  // its errors are no std::exception
    return {};
  }
  keep.reset();
  if (Cbc_secondaryStatus(model.get()) == kInterrupted) std::raise(SIGINT);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;

  MipSolution solution;
  if (Cbc_isProvenInfeasible(model.get())) {
    if (elapsed.count() < time_limit_s) solution.status = MipStatus::kInfeasible;
    return solution;
  }
  if (Cbc_isProvenOptimal(model.get())) solution.status = MipStatus::kOptimal;
  const double* const values = Cbc_bestSolution(model.get());
  if (values == nullptr) return {};
  for (int column = 0; column < num_columns; ++column) {
    solution.values.push_back(std::llround(values[column]));
  }
  return solution;
}

}  // namespace prepack::packing
