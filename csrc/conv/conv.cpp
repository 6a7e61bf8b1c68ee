#include "conv/conv.h"

#include <algorithm>
#include <cstring>

#include "conv/windows.h"

namespace pycompress {
namespace {

constexpr int64_t kTableEntries =
    1 << 19;  // 4 MB of pointers; a larger table is made in pieces at every run
constexpr int64_t kGatherBytes = 48 * 1024;  // of copied windows: they stay in L1 or L2
constexpr int64_t kSumBytes = 128 * 1024;    // of float sums that wait for their activation
constexpr int64_t kBlockRows = 512;
// Operations of a task that is worth another thread: 1 to 3 us.
constexpr double kTaskOps = 5e5;
constexpr double kFloatTaskOps = 1.5e5;
constexpr double kDepthwiseTaskOps = 1e5;
constexpr int64_t kRowsOfThread = 12;  // with fewer the products are split, not the rows
constexpr size_t kAlign = 64;

size_t aligned(int64_t bytes) {
  return (static_cast<size_t>(bytes) + 2 * kAlign - 1) / kAlign * kAlign;
}

// Whose pointers the table holds.
struct TableKey {
  const void* x;
  const void* padding;
};

}  // namespace

// Rows of the result that are worked on together, and where their intermediate values go.
struct ConvPlan::Block {
  int64_t first;
  int64_t rows;
  const void** table;  // indirect: its pointers, from row `first`
  uint8_t* gathered;
  float* sums;  // when they go to scratch
};

ConvPlan::ConvPlan(const PackedConv& conv, const Placement& placement)
    : conv_(&conv), place_(placement), path_(conv.path) {
  if (path_ == ConvPath::depthwise) return;
  mr_ = conv.is_float ? conv.set->gemm->f32.mr : conv.set->gemm->s8.mr;
  const Window& w = placement.window;
  bool plain = w.taps() == 1;
  for (int i = 0; i < 3; ++i) {
    plain =
        plain && w.stride[i] == 1 && placement.pad[i] == 0 && placement.out[i] == placement.in[i];
  }
  if (plain) path_ = ConvPath::plain;
  if (path_ == ConvPath::banded) choose_bands();
  if (path_ != ConvPath::indirect) return;
  const int64_t rows = round_up(placement.pixels(), mr_);
  table_rows_ =
      rows * w.taps() <= kTableEntries ? rows : std::max(mr_, kTableEntries / w.taps() / mr_ * mr_);
}

const PackedB& ConvPlan::panels(int64_t group) const {
  const bool by_taps = conv_->path == ConvPath::banded && path_ == ConvPath::indirect;
  return by_taps ? view_ : conv_->panels[static_cast<size_t>(group)];
}

int64_t ConvPlan::block_rows(bool finishing) const {
  int64_t rows = std::min(kBlockRows, place_.pixels());
  if (path_ == ConvPath::gathered) {
    const int64_t bytes = conv_->panels[0].k_padded * static_cast<int64_t>(conv_->element_size());
    rows = std::min(rows, kGatherBytes / std::max<int64_t>(bytes, 1));
  }
  if (finishing) rows = std::min(rows, kSumBytes / (4 * conv_->filters));
  return round_up(std::max<int64_t>(rows, 1), mr_);
}

size_t ConvPlan::persistent_bytes() const {
  const size_t padding = aligned(conv_->channels() * static_cast<int64_t>(conv_->element_size()));
  if (path_ == ConvPath::depthwise) return padding;
  if (path_ != ConvPath::indirect) return 0;
  return aligned(sizeof(TableKey)) + padding +
         static_cast<size_t>(table_rows_ * place_.window.taps()) * sizeof(void*);
}

size_t ConvPlan::scratch_bytes(int threads, bool sums_in_scratch) const {
  size_t bytes = 0;
  if (path_ == ConvPath::depthwise) {
    const size_t block = static_cast<size_t>(conv_->set->depthwise->block);
    const int64_t lines = stacked_lines(sums_in_scratch, sums_in_scratch);
    const size_t sums = sums_in_scratch ? aligned(lines * place_.out[2] * conv_->filters * 4) : 0;
    return 3 * aligned(round_up(conv_->filters, static_cast<int64_t>(block)) * 4) +
           static_cast<size_t>(threads) * sums;
  }
  if (path_ == ConvPath::banded) return banded_scratch(threads, sums_in_scratch);
  const int64_t rows = block_rows(true);
  if (path_ == ConvPath::gathered) {
    bytes += aligned(block_rows(false) * conv_->panels[0].k_padded *
                     static_cast<int64_t>(conv_->element_size()));
  }
  if (sums_in_scratch) bytes += aligned(rows * conv_->filters * 4);
  return static_cast<size_t>(threads) * bytes;
}

bool ConvPlan::sequential(const ConvRun& run) const {
  if (run.pool == nullptr || run.pool->size() == 1) return true;
  const double ops = 2.0 * static_cast<double>(place_.pixels()) *
                     static_cast<double>(conv_->filters) *
                     static_cast<double>(conv_->group_channels * place_.window.taps());
  const double task = path_ == ConvPath::depthwise ? kDepthwiseTaskOps
                      : conv_->is_float            ? kFloatTaskOps
                                                   : kTaskOps;
  return ops < 2 * task;
}

void ConvPlan::run(const ConvRun& run) const {
  if (place_.pixels() == 0) return;
  if (path_ == ConvPath::depthwise) {
    run_depthwise(run);
  } else if (path_ == ConvPath::banded) {
    run_banded(run);
  } else {
    run_gemm(run);
  }
}

// One gemm per group over the rows of a block, then what is left to do with them.
void ConvPlan::gemm_rows(const ConvRun& run, const Block& block, ThreadPool* pool) const {
  const auto element = static_cast<int64_t>(conv_->element_size());
  const int64_t filters = conv_->group_filters();
  const int64_t out_bytes = run.epilogue->out == Out::u8 || run.epilogue->out == Out::s8 ? 1 : 4;
  uint8_t* y = run.sums_in_scratch
                   ? reinterpret_cast<uint8_t*>(block.sums)
                   : static_cast<uint8_t*>(run.y) + block.first * conv_->filters * out_bytes;
  const auto* x = static_cast<const uint8_t*>(run.x);
  const WindowSource source{place_, x, conv_->channels() * element};
  for (int64_t g = 0; g < conv_->groups; ++g) {
    const PackedB& panels = this->panels(g);
    const int64_t depth = conv_->group_channels * element;
    MatrixA a;
    a.is_signed = run.x_signed;
    if (path_ == ConvPath::plain) {
      a.data = x + (block.first * conv_->groups + g) * depth;
      a.lda = conv_->channels();
      a.readable_tail = run.x_slack;
    } else if (path_ == ConvPath::indirect) {
      a.table = block.table;
    } else {
      gather_windows(source, g * depth, depth, conv_->is_float ? 0 : run.x_zero & 0xff, block.first,
                     block.rows, panels.k_padded * element, block.gathered);
      a.data = block.gathered;
      a.lda = panels.k_padded;
      a.readable_tail = true;
    }
    Epilogue e = *run.epilogue;
    const int64_t first = g * filters;
    if (e.init != nullptr) e.init += first;
    if (e.scale != nullptr) e.scale += first;
    if (e.bias != nullptr) e.bias += first;
    if (e.residual != nullptr) {
      e.residual = static_cast<const uint8_t*>(e.residual) +
                   (block.first * e.residual_ld + first) * out_bytes;
    }
    gemm(a, panels, block.rows, e, y + first * out_bytes, conv_->filters, pool);
  }
  if (run.finish != nullptr) {
    run.finish->finish(reinterpret_cast<float*>(y), block.first, block.rows);
  }
}

void ConvPlan::run_gemm(const ConvRun& run) const {
  const int64_t pixels = place_.pixels();
  const bool alone = sequential(run);
  const int threads = alone ? 1 : run.pool->size();
  const size_t slice = scratch_bytes(1, run.sums_in_scratch);
  const bool one_piece = path_ != ConvPath::gathered && run.finish == nullptr;
  // Row by row in blocks, as many for each thread; when these are fewer than the threads, the gemm
  // splits within one.
  const auto run_rows = [&](int64_t first, int64_t rows, const void** table) {
    int64_t step = one_piece ? rows : block_rows(run.finish != nullptr);
    if (!one_piece && threads > 1 && rows >= kRowsOfThread * threads) {
      const int64_t even = ceil_div(rows, round_up(ceil_div(rows, step), threads));
      step = std::min(step, table == nullptr ? even : round_up(even, mr_));
    }
    const int64_t blocks = ceil_div(rows, step);
    const bool within = one_piece || blocks < threads;
    const auto work = [&](int64_t index, int worker) {
      uint8_t* scratch = run.scratch + static_cast<size_t>(worker) * slice;
      Block block;
      block.first = first + index * step;
      block.rows = std::min(step, rows - index * step);
      block.table = table == nullptr ? nullptr : table + index * step * place_.window.taps();
      block.sums = reinterpret_cast<float*>(scratch);
      block.gathered =
          run.sums_in_scratch ? scratch + aligned(block_rows(true) * conv_->filters * 4) : scratch;
      gemm_rows(run, block, within && !alone ? run.pool : nullptr);
    };
    parallel_for(within || alone ? nullptr : run.pool, blocks, work);
  };
  if (path_ != ConvPath::indirect) {
    run_rows(0, pixels, nullptr);
    return;
  }
  auto* key = reinterpret_cast<TableKey*>(run.persistent);
  uint8_t* padding = run.persistent + aligned(sizeof(TableKey));
  const auto element = static_cast<int64_t>(conv_->element_size());
  const auto padding_bytes = static_cast<size_t>(conv_->channels() * element);
  const auto** table =
      reinterpret_cast<const void**>(padding + aligned(static_cast<int64_t>(padding_bytes)));
  std::memset(padding, conv_->is_float ? 0 : run.x_zero, padding_bytes);
  const WindowSource source{place_, static_cast<const uint8_t*>(run.x),
                            conv_->channels() * element};
  const bool whole = table_rows_ >= pixels;
  for (int64_t first = 0; first < pixels; first += table_rows_) {
    const int64_t rows = std::min(table_rows_, pixels - first);
    if (!whole || key->x != run.x || key->padding != padding) {
      point_to_windows(source, padding, first, rows, mr_, table);
      *key = {run.x, padding};
    }
    run_rows(first, rows, table);
  }
}

}  // namespace pycompress
