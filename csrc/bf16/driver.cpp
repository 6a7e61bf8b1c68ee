#include <algorithm>
#include <vector>

#include "bf16/bf16.h"

namespace pycompress {
namespace {

// Rows of A that are worked through against one panel after the other should stay in L2, next to
// the panel.
constexpr int64_t kPartBytes = 256 * 1024;
constexpr int64_t kPartRows = 384;
constexpr int64_t kFewestTiles = 12;  // of rows: B comes from memory once for each part

// Multiply-adds below which a task is not worth another thread: about 10 us of the fast kernels.
constexpr int64_t kTaskMacs = 1'000'000;

// The smallest part that splits `total` into no more parts than `largest` does.
int64_t even_part(int64_t total, int64_t largest) {
  return ceil_div(total, ceil_div(total, largest));
}

// The rows of A, rounded. They start a cache line off a multiple of its size, so that rows of a
// power of two do not compete for the same lines.
struct Rounded {
  std::vector<char> bytes;
  std::vector<const void*> rows;
};

void round_rows(const float* a, int64_t lda, const PackedBf16& b, int64_t m, Rounded* to,
                ThreadPool* pool) {
  constexpr int64_t kLine = 64;
  const int64_t element = b.kernel->a_bytes;
  const int64_t stride = (ceil_div(b.k_padded * element, kLine) + 1) * kLine;
  to->bytes.resize(static_cast<size_t>(m * stride));
  to->rows.resize(static_cast<size_t>(m));
  char* bytes = to->bytes.data();
  for (int64_t r = 0; r < m; ++r) to->rows[static_cast<size_t>(r)] = bytes + r * stride;
  parallel_for(m * b.k < kTaskMacs / 8 ? nullptr : pool, m, [&](int64_t r, int) {
    char* row = bytes + r * stride;
    b.kernel->round(a + r * lda, b.k, row);
    std::fill(row + b.k * element, row + b.k_padded * element, '\0');
  });
}

}  // namespace

void multiply_bf16(const void* const* rows, const PackedBf16& b, int64_t m,
                   const Epilogue& epilogue, void* c, int64_t ldc, ThreadPool* pool) {
  if (m <= 0 || b.n <= 0) return;
  const Bf16Kernel& kernel = *b.kernel;
  // The tall shape saves a pass over B where the rows fit it better.
  const TileShape first = kernel.shapes[0];
  const TileShape second = kernel.shapes[1];
  const bool tall =
      second.rows != 0 && ceil_div(m, second.rows) < ceil_div(m, first.rows) && m <= 4 * first.rows;
  const TileShape shape = tall ? second : first;
  const int64_t panels = ceil_div(b.n, kernel.nr);
  const int64_t height = b.taps == 1 ? even_part(m, shape.rows) : kernel.mr;
  const int64_t width = even_part(panels, shape.panels);
  const int64_t groups = ceil_div(panels, width);

  const int64_t row_bytes = std::max<int64_t>(1, b.taps * b.k_padded * kernel.a_bytes);
  const int64_t part_rows =
      std::clamp<int64_t>(kPartBytes / row_bytes, kFewestTiles * height, kPartRows);
  const int64_t blocks = ceil_div(m, height);
  const int64_t threads = pool == nullptr ? 1 : pool->size();
  const int64_t wanted = std::min(m * b.n * b.taps * b.k / kTaskMacs, 4 * threads);
  int64_t block_step = even_part(blocks, std::max<int64_t>(1, part_rows / height));
  if (wanted > 1 && threads > 1)  // the same work for every thread
    block_step = ceil_div(blocks, ceil_div(ceil_div(blocks, block_step), threads) * threads);
  const int64_t parts = ceil_div(blocks, block_step);
  const int64_t splits = wanted > parts ? std::min(groups, ceil_div(wanted, parts)) : 1;
  const int64_t group_step = ceil_div(groups, splits);
  const int64_t columns = ceil_div(groups, group_step);
  const int64_t element = epilogue.out == Out::f32 ? 4 : 1;

  parallel_for(wanted < 2 ? nullptr : pool, parts * columns, [&](int64_t task, int) {
    const int64_t row = task / columns * block_step * height;
    const int64_t panel = task % columns * group_step * width;
    StripArgs args;
    args.rows = rows + row * b.taps;
    args.taps = b.taps;
    args.k = b.k_padded;
    args.b = b.panels.data() + static_cast<size_t>(panel) * b.panel_bytes;
    args.panel_bytes = static_cast<int64_t>(b.panel_bytes);
    args.row = row;
    args.row_count = std::min(m, row + block_step * height) - row;
    args.col = panel * kernel.nr;
    args.col_count = std::min(b.n, (panel + group_step * width) * kernel.nr) - args.col;
    args.height = static_cast<int32_t>(height);
    args.short_height = args.height;
    args.tall_rows = args.row_count;
    args.panels = static_cast<int32_t>(width);
    args.c = static_cast<char*>(c) + (row * ldc + args.col) * element;
    args.ldc = ldc;
    args.epilogue = &epilogue;
    kernel.strip(args);
  });
}

void gemm_bf16(const float* a, int64_t lda, const PackedBf16& b, int64_t m,
               const Epilogue& epilogue, void* c, int64_t ldc, ThreadPool* pool) {
  if (m <= 0 || b.n <= 0) return;
  thread_local Rounded kept;
  Rounded& rounded = kept;  // of this thread, also for those that help
  round_rows(a, lda, b, m, &rounded, pool);
  multiply_bf16(rounded.rows.data(), b, m, epilogue, c, ldc, pool);
}

}  // namespace pycompress
