#include "gemm/gemm.h"
