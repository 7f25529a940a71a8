// The toy dialect: CUDA C with one builtin more.
#pragma once
#include "semantics/cuda.h"
XP_SPEC inline xp_f32 __toy_clamp(xp_f32 x, xp_f32 low, xp_f32 high) { return fminf(fmaxf(x, low), high); }
