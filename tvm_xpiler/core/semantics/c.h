// C and C++ as people write kernels in it: one thread that runs a function, with the standard's mathematics. Pragmas (OpenMP) are
// permissions, not meaning: the serial program is what counts.
#pragma once
#ifndef XP_WARP
#define XP_WARP 1
#endif
#include "cuda.h"
#include "x86.h"
