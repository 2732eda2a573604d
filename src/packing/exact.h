#pragma once

#include "packing/problem.h"

namespace prepack::packing {

struct ExactPlan {
  Bins bins;
  bool proved = false;  // no plan has fewer bins
};

/// The paper's integer program: x[i][j] says that sequence i is in bin j, y[j] that bin j is used.
///   minimise   sum_j y[j]
///   such that  sum_j x[i][j] = 1  and  sum_i length[i] * x[i][j] <= capacity * y[j]
/// As there, nothing tells apart the plans that differ by the numbers of the bins only.
/// @return the plan of the solver, or `fallback` where that has no more bins
ExactPlan integer_program(const Problem& problem, Bins fallback, double time_limit_s);

/// The arc-flow model of Valério de Carvalho (1999), which knows lengths but not sequences: a bin
/// is a path from 0 tokens upwards, one arc for each sequence, longest first.
/// @param lower_bound  no plan has fewer bins
/// @return the plan of the solver, or `fallback` where that has no more bins
ExactPlan arc_flow(const Problem& problem, int64_t lower_bound, Bins fallback, double time_limit_s);

}  // namespace prepack::packing
