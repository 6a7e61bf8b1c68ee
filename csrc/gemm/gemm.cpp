#include "gemm/gemm.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace pycompress {
namespace {

// Rows of A that are worked through against one panel after the other should stay in L2, next to
// the panel.
constexpr int64_t kPartBytes = 256 * 1024;
constexpr int64_t kPartRows = 384;

// B that is larger does not stay in a second-level cache from one call to the next.
constexpr size_t kStays = 768 * 1024;

// One row waits for B, which comes through several panels at once or through one after the other.
// What fetches ahead needs a while to find its way into each panel: short ones are read faster in
// one stream, long ones in several.
constexpr size_t kShortPanel = 28 * 1024;

bool one_stream(const PackedB& b, int64_t m) {
  return m == 1 && !b.is_float && b.panels.size() > kStays && b.panel_bytes < kShortPanel;
}

// Multiply-adds below which a task is not worth another thread: about 2 us of the fast kernels, as
// a thread that looks for work begins with it after 0.2 to 0.6 us.
constexpr int64_t kTaskMacs = 400'000;
constexpr int64_t kFloatTaskMacs = 100'000;
constexpr int64_t kSumTaskBytes = 500'000;

// With as many rows for each thread it does not matter that each reads all of B.
constexpr int64_t kRowsOfThread = 12;

int64_t bytes_of(Out out) { return out == Out::s32 || out == Out::f32 ? 4 : 1; }

// How many vectors a step in depth reads, over all rows and panels: each of B once for every block
// of rows, each row of A once for every group of panels. The products are the same for all shapes.
double reads(TileShape shape, int64_t rows, int64_t panels) {
  constexpr double kBroadcast = 0.6;  // a value of A spread over a vector, beside a load of B
  return static_cast<double>(ceil_div(rows, shape.rows) * panels) +
         kBroadcast * static_cast<double>(ceil_div(panels, shape.panels) * rows);
}

TileShape cheapest(const GemmKernel& kernel, int64_t rows, int64_t panels) {
  TileShape best = kernel.shapes[0];
  for (const TileShape& shape : kernel.shapes) {
    if (shape.rows > 0 && reads(shape, rows, panels) < reads(best, rows, panels)) best = shape;
  }
  return best;
}

// The smallest part that splits `total` into no more parts than `largest` does: 7 as 4 + 3, not as
// 6 + 1.
int64_t even_part(int64_t total, int64_t largest) {
  return ceil_div(total, ceil_div(total, largest));
}

struct Job {
  Job(const MatrixA& matrix, const PackedB& packed, int64_t rows, const Epilogue& ends, void* out,
      int64_t ld)
      : Job(matrix, packed, rows, ends, out, ld, 0, packed.n) {}
  // Columns first.. alone; out is where these go.
  Job(const MatrixA& matrix, const PackedB& packed, int64_t rows, const Epilogue& ends, void* out,
      int64_t ld, int64_t first, int64_t columns)
      : a(matrix),
        b(packed),
        kernel(kernel_of(*packed.set, packed.is_float)),
        epilogue(ends),
        m(rows),
        c(static_cast<char*>(out)),
        ldc(ld),
        element(packed.is_float ? 4 : 1),
        flip(!b.is_float && kernel.widen == nullptr && a.is_signed != kernel.a_signed),
        strip(flip ? kernel.strip_flip : kernel.strip),
        taps(a.tap_count == 0 ? b.taps : a.tap_count),
        first_panel(first / kernel.nr),
        panels(ceil_div(columns, kernel.nr)),
        end(first + columns) {
    const bool fixed = a.table != nullptr && !a.fitted;  // a table of the kernel's own height
    const TileShape shape = fixed ? kernel.shapes[0] : cheapest(kernel, m, panels);
    height = fixed ? kernel.mr : even_part(m, shape.rows);
    width = one_stream(b, m) ? 1 : even_part(panels, shape.panels);
    blocks = ceil_div(m, height);
    groups = ceil_div(panels, width);
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
  void (*strip)(const StripArgs& args);
  int64_t taps;
  int64_t first_panel, panels;
  int64_t end;             // of the columns
  int64_t height, width;   // rows and panels of a tile
  int64_t blocks, groups;  // of rows, of panels
};

// The pointers to some rows of A. Rows that the tile wants wider, or whose padding in depth could
// lie outside of A, are copied.
class Rows {
 public:
  // Rows first..last - 1: whole blocks, but for the last one.
  Rows(const Job& job, int64_t first, int64_t last) {
    const MatrixA& a = job.a;
    const bool widen = job.kernel.widen != nullptr;
    const bool padded = job.b.k_padded != job.b.k && !a.readable_tail;
    if (a.table != nullptr) {
      table = a.table + first * job.taps;
      if (!widen && !padded) return;
      const int64_t count = ceil_div(last - first, job.height) * job.height * job.taps;
      const void** pointers = room_for(count);
      std::copy(table, table + count, pointers);
      table = pointers;
      copy(job, pointers, 0, count);
      return;
    }
    const int64_t count = last - first;
    const void** pointers = room_for(count);
    const char* row = static_cast<const char*>(a.data) + first * a.lda * job.element;
    for (int64_t r = 0; r < count; ++r, row += a.lda * job.element) pointers[r] = row;
    table = pointers;
    if (widen) copy(job, pointers, 0, count);
    if (widen || !padded) return;
    // Only the last rows can be so near to the end of A.
    const int64_t past = job.b.k_padded - job.b.k;
    int64_t from = a.lda <= 0 ? 0 : std::max<int64_t>(0, job.m - ceil_div(past, a.lda));
    from = std::clamp<int64_t>(from - first, 0, count);
    copy(job, pointers, from, count);
  }

  const void* const* table = nullptr;

 private:
  // Each thread keeps the memory that its largest group needs.
  struct Kept {
    std::vector<const void*> pointers;
    std::vector<uint8_t> copies;
  };

  static Kept& kept() {
    thread_local Kept memory;
    return memory;
  }

  const void** room_for(int64_t count) {
    if (count <= kFew) return few_;
    std::vector<const void*>& pointers = kept().pointers;
    if (pointers.size() < static_cast<size_t>(count)) pointers.resize(static_cast<size_t>(count));
    return pointers.data();
  }

  static void copy(const Job& job, const void** pointers, int64_t from, int64_t to) {
    if (from >= to) return;
    const bool widen = job.kernel.widen != nullptr;
    const auto step = static_cast<size_t>(job.b.k_padded * (widen ? 2 : job.element));
    const auto bytes = static_cast<size_t>(job.b.k * job.element);
    std::vector<uint8_t>& copies = kept().copies;
    if (copies.size() < static_cast<size_t>(to - from) * step)
      copies.resize(static_cast<size_t>(to - from) * step);
    for (int64_t i = from; i < to; ++i) {
      uint8_t* row = copies.data() + static_cast<size_t>(i - from) * step;
      if (widen) {
        job.kernel.widen(static_cast<const uint8_t*>(pointers[i]), job.b.k, job.a.is_signed,
                         reinterpret_cast<int16_t*>(row));
      } else {
        std::memcpy(row, pointers[i], bytes);
      }
      pointers[i] = row;
    }
  }

  static constexpr int64_t kFew = 32;
  const void* few_[kFew];
};

// Rows first..last - 1 (from the start of a block) by groups of panels.
void run_range(const Job& job, int64_t first, int64_t last, int64_t first_group,
               int64_t last_group) {
  const Rows rows(job, first, last);
  const int64_t panel = job.first_panel + first_group * job.width;
  const int64_t last_panel = job.first_panel + last_group * job.width;
  const int64_t count = last - first;
  StripArgs args;
  args.rows = rows.table;
  args.taps = job.taps;
  args.k = job.b.k_padded;
  args.b = static_cast<const char*>(job.b.panel(panel)) +
           job.a.first_tap * job.b.k_padded * job.kernel.nr * job.element;
  args.panel_bytes = static_cast<int64_t>(job.b.panel_bytes);
  args.row = first;
  args.row_count = count;
  args.col = panel * job.kernel.nr;
  args.col_count = std::min(job.end, last_panel * job.kernel.nr) - args.col;
  args.height = static_cast<int32_t>(job.height);
  args.short_height = args.height;
  args.tall_rows = count;
  if (job.a.table == nullptr) {  // heights that differ by no more than one row
    const int64_t blocks = ceil_div(count, job.height);
    args.height = static_cast<int32_t>(ceil_div(count, blocks));
    args.short_height = args.height - 1;
    args.tall_rows = (count - blocks * args.short_height) * args.height;
  }
  args.panels = static_cast<int32_t>(job.width);
  const int64_t column = first_group * job.width * job.kernel.nr;  // of the result
  args.c = job.c + (first * job.ldc + column) * bytes_of(job.epilogue.out);
  args.ldc = job.ldc;
  args.epilogue = &job.epilogue;
  job.strip(args);
}

// Rows in parts that stay in cache, and columns split further when that leaves threads without
// work. In blocks of rows and groups of panels.
struct Split {
  int64_t block_step, group_step;
  bool parallel;
  int64_t row_parts;  // not 0: by rows alone, wherever blocks would end
};

Split split(const Job& job, int64_t threads) {
  const int64_t depth = std::max<int64_t>(1, job.taps * job.b.k);
  const int64_t part_rows =
      std::clamp<int64_t>(kPartBytes / (depth * (job.kernel.widen != nullptr ? 2 : job.element)),
                          4 * job.height, kPartRows);
  Split s{even_part(job.blocks, std::max<int64_t>(1, part_rows / job.height)), job.groups, false,
          0};
  if (threads == 1) return s;
  const int64_t macs = job.m * job.b.n * depth;
  const int64_t wanted =
      std::min(macs / (job.b.is_float ? kFloatTaskMacs : kTaskMacs), 4 * threads);
  if (wanted < 2) return s;
  s.parallel = true;
  int64_t parts = ceil_div(job.blocks, s.block_step);
  const bool anywhere = job.a.table == nullptr;
  const bool even = anywhere || job.blocks % threads == 0 || job.blocks >= 4 * threads;
  if (even && job.m >= kRowsOfThread * threads) {
    // By rows, as what is done to them before and after: they stay in the cache of one core.
    parts = round_up(std::max(parts, threads), threads);
    if (anywhere) s.row_parts = parts;
    s.block_step = ceil_div(job.blocks, parts);
    return s;
  }
  if (parts < wanted)
    s.group_step = ceil_div(job.groups, std::min(job.groups, ceil_div(wanted, parts)));
  const int64_t columns = ceil_div(job.groups, s.group_step);
  if (parts * columns < wanted) {
    parts = std::min(job.blocks, ceil_div(wanted, columns));
    s.block_step = ceil_div(job.blocks, parts);
  } else if (parts > 1) {
    s.block_step =
        ceil_div(job.blocks, ceil_div(parts, threads) * threads);  // the same work for every thread
  }
  return s;
}

// The sums of A's rows, over all taps.
void sum_rows(const Job& job, int32_t* sums, ThreadPool* pool) {
  constexpr int64_t kChunk = 64;
  const MatrixA& a = job.a;
  const int64_t bytes = job.m * job.taps * job.b.k;
  parallel_for(
      bytes < kSumTaskBytes ? nullptr : pool, ceil_div(job.m, kChunk), [&](int64_t chunk, int) {
        const int64_t end = std::min(job.m, (chunk + 1) * kChunk);
        for (int64_t m = chunk * kChunk; m < end; ++m) {
          int32_t total = 0;
          for (int64_t t = 0; t < job.taps; ++t) {
            const void* row =
                a.table == nullptr
                    ? static_cast<const uint8_t*>(a.data) + m * a.lda
                    : a.table[(m / job.height * job.taps + t) * job.height + m % job.height];
            int32_t part = 0;
            job.kernel.row_sums(static_cast<const uint8_t*>(row), job.b.k, a.is_signed, &part);
            total += part;
          }
          sums[m] = total;
        }
      });
}

constexpr int64_t kFewRows = 4;

// What an integer tile needs and the caller left out.
void complete(Job& job, ThreadPool* pool) {
  thread_local std::vector<int32_t> init, sums;
  Epilogue& e = job.epilogue;
  if (e.init == nullptr && job.flip && job.m <= kFewRows && e.row_zero == nullptr &&
      job.b.col_zero.empty()) {
    // As if that were their zero point: for so few rows less work than N values to start from.
    static constexpr int32_t kFlipped[2][kFewRows] = {{-128, -128, -128, -128},
                                                      {128, 128, 128, 128}};
    e.row_zero = kFlipped[job.a.is_signed ? 1 : 0];
  } else if (e.init == nullptr && job.flip) {
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

Clamp clamp_of(const Epilogue& e, int64_t n) {
  constexpr float kSums = 2147483648.0f;  // the largest |sum|, and what an int32 stays below
  if ((e.out != Out::u8 && e.out != Out::s8) || e.row_scale != nullptr) return Clamp::floats;
  // In the order in which a tile rounds: what grows by no step is a bound of all. NaN is below
  // nothing.
  const float residual = 512.0f * std::fabs(e.residual_scale);
  bool fits = e.scale != nullptr;
  for (int64_t i = 0; fits && i < n; ++i) {
    const float bias = e.bias == nullptr ? 0.0f : std::fabs(e.bias[i]);
    fits = std::fabs(e.scale[i]) * kSums + bias + residual < kSums;
  }
  if (!fits) return Clamp::floats;
  // A bound that rounds to the end of the type says no more than the end does.
  const auto least = static_cast<float>((e.out == Out::s8 ? -128 : 0) - e.out_zero);
  return e.lo < least + 0.5f && e.hi > least + 254.5f ? Clamp::saturation : Clamp::bytes;
}

int64_t fitted_height(const PackedB& b, int64_t m) {
  const GemmKernel& kernel = kernel_of(*b.set, b.is_float);
  return even_part(m, cheapest(kernel, m, ceil_div(b.n, kernel.nr)).rows);
}

void gemm(const MatrixA& a, const PackedB& b, int64_t m, const Epilogue& epilogue, void* c,
          int64_t ldc, ThreadPool* pool) {
  if (m <= 0 || b.n <= 0) return;
  Job job(a, b, m, epilogue, c, ldc);
  if (!b.is_float) complete(job, pool);
  const Split s = split(job, pool == nullptr ? 1 : pool->size());
  if (s.row_parts != 0) {
    return parallel_for(pool, s.row_parts, [&](int64_t part, int) {
      run_range(job, m * part / s.row_parts, m * (part + 1) / s.row_parts, 0, job.groups);
    });
  }
  const int64_t columns = ceil_div(job.groups, s.group_step);
  parallel_for(s.parallel ? pool : nullptr, ceil_div(job.blocks, s.block_step) * columns,
               [&](int64_t task, int) {
                 const int64_t block = task / columns * s.block_step;
                 const int64_t group = task % columns * s.group_step;
                 const int64_t last = std::min(m, (block + s.block_step) * job.height);
                 const int64_t last_group = std::min(job.groups, group + s.group_step);
                 run_range(job, block * job.height, last, group, last_group);
               });
}

void gemm_columns(const MatrixA& a, const PackedB& b, int64_t m, int64_t first, int64_t columns,
                  const Epilogue& epilogue, void* c, int64_t ldc) {
  if (m <= 0 || columns <= 0) return;
  const Job job(a, b, m, epilogue, c, ldc, first, columns);
  const Split s = split(job, 1);
  for (int64_t block = 0; block < job.blocks; block += s.block_step) {
    run_range(job, block * job.height, std::min(m, (block + s.block_step) * job.height), 0,
              job.groups);
  }
}

}  // namespace pycompress
