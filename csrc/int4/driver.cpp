#include <algorithm>
#include <vector>

#include "int4/int4.h"

namespace pycompress {
namespace {

// Rows of A that are worked through against one panel after the other should stay in L2, next to
// the panel.
constexpr int64_t kGroupBytes = 256 * 1024;
constexpr int64_t kMostRows = 384;

// Weights below which a panel is not worth another thread: about 10 us of reading them.
constexpr int64_t kTaskWeights = 500'000;

struct Job {
  const PackedInt4& b;
  const Epilogue& epilogue;
  const char* records;
  int64_t row_bytes;
  int64_t height;  // rows of a tile
  char* c;
  int64_t ldc;
};

void run_range(const Job& job, int64_t first_row, int64_t last_row, int64_t first_panel,
               int64_t last_panel) {
  const Int4Kernels& kernel = *job.b.set->int4;
  const int64_t element = job.epilogue.out == Out::f32 ? 4 : 1;
  constexpr int32_t kMost = 32;  // no tile is higher
  const void* rows[kMost];
  Int4Args args;
  args.rows = rows;
  args.blocks = job.b.blocks;
  args.block = job.b.block;
  args.zeros = job.b.zeros;
  args.ldc = job.ldc;
  args.epilogue = &job.epilogue;
  for (int64_t panel = first_panel; panel < last_panel; ++panel) {
    args.b = job.b.panels.data() + static_cast<size_t>(panel) * job.b.panel_bytes;
    args.col = panel * kernel.nr;
    args.col_count = static_cast<int32_t>(std::min<int64_t>(kernel.nr, job.b.n - args.col));
    for (int64_t row = first_row; row < last_row; row += job.height) {
      args.row = row;
      args.row_count = static_cast<int32_t>(std::min(job.height, last_row - row));
      for (int32_t r = 0; r < args.row_count; ++r)
        rows[r] = job.records + (row + r) * job.row_bytes;
      args.c = job.c + (row * job.ldc + args.col) * element;
      kernel.tile(args);
    }
  }
}

}  // namespace

void gemm_int4(const float* a, int64_t lda, const PackedInt4& b, int64_t m,
               const Epilogue& epilogue, void* c, int64_t ldc, ThreadPool* pool) {
  if (m <= 0 || b.n <= 0) return;
  const Int4Kernels& kernel = *b.set->int4;
  const int64_t row_bytes = b.blocks * int4_record(b.block);
  thread_local std::vector<char> room;
  room.resize(static_cast<size_t>(std::max<int64_t>(m * row_bytes, 1)));
  char* records = room.data();
  const int64_t weights = m * b.n * b.k;
  const int64_t wanted =
      pool == nullptr ? 1 : std::min<int64_t>(weights / kTaskWeights, 4 * pool->size());
  parallel_for(m * b.k < kTaskWeights / 4 ? nullptr : pool, m, [&](int64_t row, int) {
    kernel.quantize(a + row * lda, b.k, b.block, records + row * row_bytes);
  });
  // Rows are spread evenly over tiles: 7 rows as 4 + 3, not 6 + 1.
  const int64_t height = ceil_div(m, ceil_div(m, kernel.mr));
  const Job job{b, epilogue, records, row_bytes, height, static_cast<char*>(c), ldc};
  const int64_t tiles =
      std::clamp<int64_t>(kGroupBytes / std::max<int64_t>(row_bytes, 1), 4 * height, kMostRows) /
      height;
  const int64_t group = std::max<int64_t>(tiles, 1) * height;
  const int64_t groups = ceil_div(m, group);
  const int64_t panels = ceil_div(b.n, kernel.nr);
  const int64_t columns = std::clamp<int64_t>(ceil_div(wanted, groups), 1, panels);
  const int64_t step = ceil_div(panels, columns);
  const int64_t splits = ceil_div(panels, step);
  parallel_for(wanted < 2 ? nullptr : pool, groups * splits, [&](int64_t task, int) {
    const int64_t row = task / splits * group;
    const int64_t panel = task % splits * step;
    run_range(job, row, std::min(m, row + group), panel, std::min(panels, panel + step));
  });
}

}  // namespace pycompress
