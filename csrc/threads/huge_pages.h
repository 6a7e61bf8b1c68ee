// Memory in large pages, where the system has them.
#pragma once
#include <cstddef>

#if defined(__linux__)
#include <sys/mman.h>

namespace pycompress {
// A wish: it may fail, and nothing but speed depends on it. `data` is aligned to a page.
inline void wish_huge_pages(void* data, size_t bytes) { madvise(data, bytes, MADV_HUGEPAGE); }
}  // namespace pycompress

#else
namespace pycompress {
inline void wish_huge_pages(void* /*data*/, size_t /*bytes*/) {}
}  // namespace pycompress
#endif
