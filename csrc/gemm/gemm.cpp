#include "gemm/gemm.h"

#include <algorithm>
#include <cstring>

namespace pycompress {
namespace {

// Rows of A that are worked through against one panel after the other should stay in L2, next to
// the panel.
constexpr int64_t kGroupBytes = 256 * 1024;
constexpr int64_t kGroupRows = 384;

// Multiply-adds below which a task is not worth another thread: about 10 us of the fast kernels.
constexpr int64_t kTaskMacs = 2'000'000;
constexpr int64_t kFloatTaskMacs = 500'000;

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t bytes_of(Out out) { return out == Out::s32 || out == Out::f32 ? 4 : 1; }

struct Job {
  Job(const MatrixA& matrix, const PackedB& packed, int64_t rows, const Epilogue& ends, void* out,
      int64_t ld)
      : a(matrix),
        b(packed),
        kernel(kernel_of(*packed.set, packed.is_float)),
        epilogue(ends),
        m(rows),
        c(static_cast<char*>(out)),
        ldc(ld),
        element(packed.is_float ? 4 : 1),
        flip(!b.is_float && kernel.widen == nullptr && a.is_signed != kernel.a_signed),
        tile(flip ? kernel.tile_flip : kernel.tile) {
    // A table has the kernel's own height. Contiguous rows are spread evenly: 7 rows as 4 + 3, not
    // 6 + 1.
    blocks = ceil_div(m, kernel.mr);
    height = a.table != nullptr ? kernel.mr : ceil_div(m, blocks);
    blocks = ceil_div(m, height);
    panels = ceil_div(b.n, kernel.nr);
  }

  const MatrixA& a;
  const PackedB& b;
  const GemmKernel& kernel;
  Epilogue epilogue;
  int64_t m;
  char* c;
  int64_t ldc;
  int64_t element;  // bytes of one element of A
  bool flip;
  void (*tile)(const TileArgs& args);
  int64_t blocks, height, panels;
};

// The row pointers of some blocks of A. Rows that the tile wants wider, or whose padding in depth
// could lie outside of A, are copied.
class Rows {
 public:
  void gather(const Job& job, int64_t first, int64_t last) {
    const MatrixA& a = job.a;
    const bool widen = job.kernel.widen != nullptr;
    const bool padded = job.b.k_padded != job.b.k && !a.readable_tail;
    if (a.table != nullptr) {
      block_step = job.b.taps * job.height;
      row_step = job.height;
      table = a.table + first * block_step;
      if (widen || padded) copy_all(job, (last - first) * block_step);
      return;
    }
    block_step = job.height;
    row_step = 0;
    const int64_t row0 = first * job.height;
    const int64_t count = std::min(job.m, last * job.height) - row0;
    pointers_.resize(static_cast<size_t>(count));
    for (int64_t r = 0; r < count; ++r) {
      pointers_[static_cast<size_t>(r)] =
          static_cast<const char*>(a.data) + (row0 + r) * a.lda * job.element;
    }
    table = pointers_.data();
    if (widen) copy(job, 0, count);
    if (widen || !padded) return;
    // Only the last rows can be so near to the end of A.
    const int64_t past = job.b.k_padded - job.b.k;
    int64_t from = a.lda <= 0 ? 0 : std::max<int64_t>(0, job.m - ceil_div(past, a.lda));
    from = std::clamp<int64_t>(from - row0, 0, count);
    copy(job, from, count);
  }

  const void* const* table = nullptr;
  int64_t block_step = 0, row_step = 0;

 private:
  void copy_all(const Job& job, int64_t count) {
    pointers_.assign(table, table + count);
    table = pointers_.data();
    copy(job, 0, count);
  }

  void copy(const Job& job, int64_t from, int64_t to) {
    const bool widen = job.kernel.widen != nullptr;
    const auto step = static_cast<size_t>(job.b.k_padded * (widen ? 2 : job.element));
    const auto bytes = static_cast<size_t>(job.b.k * job.element);
    copies_.resize(static_cast<size_t>(to - from) * step);
    for (int64_t i = from; i < to; ++i) {
      uint8_t* row = copies_.data() + static_cast<size_t>(i - from) * step;
      const void* from_row = pointers_[static_cast<size_t>(i)];
      if (widen) {
        job.kernel.widen(static_cast<const uint8_t*>(from_row), job.b.k, job.a.is_signed,
                         reinterpret_cast<int16_t*>(row));
      } else {
        std::memcpy(row, from_row, bytes);
      }
      pointers_[static_cast<size_t>(i)] = row;
    }
  }

  std::vector<const void*> pointers_;
  std::vector<uint8_t> copies_;
};

void run_range(const Job& job, int64_t first_block, int64_t last_block, int64_t first_panel,
               int64_t last_panel) {
  thread_local Rows rows;  // grows to what the largest group needs
  rows.gather(job, first_block, last_block);
  TileArgs args;
  args.row_step = rows.row_step;
  args.taps = job.b.taps;
  args.k = job.b.k_padded;
  args.ldc = job.ldc;
  args.epilogue = &job.epilogue;
  const int64_t c_bytes = bytes_of(job.epilogue.out);
  for (int64_t panel = first_panel; panel < last_panel; ++panel) {
    args.b = job.b.panel(panel);
    args.col = panel * job.kernel.nr;
    args.col_count = static_cast<int32_t>(std::min<int64_t>(job.kernel.nr, job.b.n - args.col));
    for (int64_t block = first_block; block < last_block; ++block) {
      args.rows = rows.table + (block - first_block) * rows.block_step;
      args.row = block * job.height;
      args.row_count = static_cast<int32_t>(std::min(job.height, job.m - args.row));
      args.c = job.c + (args.row * job.ldc + args.col) * c_bytes;
      job.tile(args);
    }
  }
}

// Rows in groups that stay in cache, and columns split further when that leaves threads without
// work.
struct Split {
  int64_t block_step, panel_step;
  bool parallel;
};

Split split(const Job& job, int64_t threads) {
  const int64_t depth = std::max<int64_t>(1, job.b.taps * job.b.k);
  const int64_t group_rows =
      std::clamp<int64_t>(kGroupBytes / (depth * (job.kernel.widen != nullptr ? 2 : job.element)),
                          4 * job.height, kGroupRows);
  Split s{std::max<int64_t>(1, std::min(job.blocks, group_rows / job.height)), job.panels, false};
  if (threads == 1) return s;
  const int64_t macs = job.m * job.b.n * depth;
  const int64_t wanted =
      std::min(macs / (job.b.is_float ? kFloatTaskMacs : kTaskMacs), 4 * threads);
  if (wanted < 2) return s;
  s.parallel = true;
  int64_t groups = ceil_div(job.blocks, s.block_step);
  if (groups < wanted)
    s.panel_step = ceil_div(job.panels, std::min(job.panels, ceil_div(wanted, groups)));
  const int64_t columns = ceil_div(job.panels, s.panel_step);
  if (groups * columns < wanted) {
    groups = std::min(job.blocks, ceil_div(wanted, columns));
    s.block_step = ceil_div(job.blocks, groups);
  } else if (groups > 1) {
    s.block_step = ceil_div(job.blocks,
                            ceil_div(groups, threads) * threads);  // the same work for every thread
  }
  return s;
}

// The sums of A's rows, over all taps.
void sum_rows(const Job& job, int32_t* sums, ThreadPool* pool) {
  constexpr int64_t kChunk = 64;
  const MatrixA& a = job.a;
  const int64_t bytes = job.m * job.b.taps * job.b.k;
  parallel_for(
      bytes < kTaskMacs ? nullptr : pool, ceil_div(job.m, kChunk), [&](int64_t chunk, int) {
        const int64_t end = std::min(job.m, (chunk + 1) * kChunk);
        for (int64_t m = chunk * kChunk; m < end; ++m) {
          int32_t total = 0;
          for (int64_t t = 0; t < job.b.taps; ++t) {
            const void* row =
                a.table == nullptr
                    ? static_cast<const uint8_t*>(a.data) + m * a.lda
                    : a.table[(m / job.height * job.b.taps + t) * job.height + m % job.height];
            int32_t part = 0;
            job.kernel.row_sums(static_cast<const uint8_t*>(row), job.b.k, a.is_signed, &part);
            total += part;
          }
          sums[m] = total;
        }
      });
}

// What an integer tile needs and the caller left out.
void complete(Job& job, ThreadPool* pool) {
  thread_local std::vector<int32_t> init, sums;
  Epilogue& e = job.epilogue;
  if (e.init == nullptr && job.flip) {
    init.resize(static_cast<size_t>(job.b.n));
    gemm_init(job.b, 0, job.a.is_signed, nullptr, init.data());
    e.init = init.data();
  }
  if (e.row_zero != nullptr && e.col_sum == nullptr) e.col_sum = job.b.col_sum.data();
  if (job.b.col_zero.empty()) return;
  if (e.col_zero == nullptr) e.col_zero = job.b.col_zero.data();
  if (e.row_sum == nullptr) {
    sums.resize(static_cast<size_t>(job.m));
    sum_rows(job, sums.data(), pool);
    e.row_sum = sums.data();
  }
}

}  // namespace

void gemm_init(const PackedB& b, int32_t a_zero, bool a_signed, const int32_t* bias,
               int32_t* init) {
  // The tile sees a + shift. Unsigned arithmetic: sums wrap, and the final one fits.
  const GemmKernel& kernel = b.set->gemm->s8;
  const bool as_is = kernel.widen != nullptr || a_signed == kernel.a_signed;
  const int32_t shift = as_is ? 0 : (a_signed ? 128 : -128);
  const auto zero = static_cast<uint32_t>(a_zero + shift);
  const auto shift_sum = static_cast<uint32_t>(shift) * static_cast<uint32_t>(b.taps * b.k);
  for (size_t n = 0; n < static_cast<size_t>(b.n); ++n) {
    uint32_t value = bias == nullptr ? 0u : static_cast<uint32_t>(bias[n]);
    value -= zero * static_cast<uint32_t>(b.col_sum[n]);
    if (!b.col_zero.empty()) value -= static_cast<uint32_t>(b.col_zero[n]) * shift_sum;
    init[n] = static_cast<int32_t>(value);
  }
}

void gemm(const MatrixA& a, const PackedB& b, int64_t m, const Epilogue& epilogue, void* c,
          int64_t ldc, ThreadPool* pool) {
  if (m <= 0 || b.n <= 0) return;
  Job job(a, b, m, epilogue, c, ldc);
  if (!b.is_float) complete(job, pool);
  const Split s = split(job, pool == nullptr ? 1 : pool->size());
  const int64_t columns = ceil_div(job.panels, s.panel_step);
  parallel_for(s.parallel ? pool : nullptr, ceil_div(job.blocks, s.block_step) * columns,
               [&](int64_t task, int) {
                 const int64_t block = task / columns * s.block_step;
                 const int64_t panel = task % columns * s.panel_step;
                 run_range(job, block, std::min(job.blocks, block + s.block_step), panel,
                           std::min(job.panels, panel + s.panel_step));
               });
}

}  // namespace pycompress
