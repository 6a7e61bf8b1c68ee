// The banded path: the input rows of a band are copied with their padding, and the gemm reads runs
// of taps from the copy.
#include <algorithm>
#include <cstring>
#include <vector>

#include "conv/conv.h"

namespace pycompress {
namespace {

constexpr int64_t kBandPixels = 2048;  // of the output: what points at their windows stays in L2
constexpr int64_t kSumBytes = 128 * 1024;  // of float sums that wait for their activation
constexpr int64_t kLine = 64;

size_t lines_of(int64_t bytes) { return static_cast<size_t>(round_up(bytes, kLine)); }

// One product: whole rows of the band one after the other where they are all that an output row
// has, else a part of one row, or the rest of each of several rows.
struct Piece {
  int64_t row, rows;
  int64_t column, columns;
  bool rest;  // the last pixels of a row, fewer than lie abreast
  TapRows taps;
  const void** table;
};

bool same(const TapRows& a, const TapRows& b) { return a.first == b.first && a.count == b.count; }

// Weights, and the bands and the epilogue that go with them.
struct Product {
  const PackedB* b;
  const PackedB* rest;
  BandLayout layout;
  Epilogue epilogue;
};

// The products of a band, kept from one band to the next of the same form.
struct Worker {
  std::vector<Piece> pieces;
  std::vector<TapRows> taps;  // of each row
  int64_t columns = 0;
  const Product* product = nullptr;

  void prepare(const Placement& place, const Product& wanted, const Band& band, bool skip,
               const uint8_t* base, const void** table) {
    bool known = product == &wanted && columns == band.columns &&
                 taps.size() == static_cast<size_t>(band.rows);
    taps.resize(static_cast<size_t>(band.rows));
    const TapRows all{0, wanted.b->taps};
    for (int64_t r = 0; r < band.rows; ++r) {
      const TapRows kept = skip ? taps_inside(place, band.y + r) : all;
      TapRows& last = taps[static_cast<size_t>(r)];
      known = known && same(kept, last);
      last = kept;
    }
    if (known) return;
    product = &wanted;
    columns = band.columns;
    pieces.clear();
    const int64_t abreast = wanted.layout.abreast;
    const int64_t rest = columns % abreast;
    const auto add = [&](const Piece& piece) {
      const PackedB& b = piece.rest ? *wanted.rest : *wanted.b;
      const int64_t count = piece.rows * ceil_div(piece.columns, abreast);
      const int64_t height = fitted_height(b, count);
      pieces.push_back(piece);
      pieces.back().table = table;
      table = point_into_band(place, wanted.layout, base, piece.taps, piece.row, piece.column,
                              round_up(piece.columns, abreast), count, height, table);
    };
    for (int64_t r = 0; r < band.rows;) {
      const TapRows kept = taps[static_cast<size_t>(r)];
      int64_t rows = 1;
      const bool joined = rest == 0 && columns == place.out[2];
      while (r + rows < band.rows && same(kept, taps[static_cast<size_t>(r + rows)])) ++rows;
      const int64_t step = joined ? rows : 1;
      for (int64_t i = 0; columns >= abreast && i < rows; i += step)
        add({r + i, step, 0, columns - rest, false, kept, nullptr});
      if (rest > 0) add({r, rows, columns - rest, rest, true, kept, nullptr});
      r += rows;
    }
  }
};

// A copy of per-filter values for each of the pixels that lie abreast.
template <typename T>
const T* for_each_abreast(const T* values, int64_t filters, int64_t abreast, uint8_t*& scratch) {
  if (values == nullptr) return nullptr;
  auto* out = reinterpret_cast<T*>(scratch);
  for (int64_t i = 0; i < abreast; ++i)
    std::memcpy(out + i * filters, values, static_cast<size_t>(filters) * sizeof(T));
  scratch += lines_of(abreast * filters * static_cast<int64_t>(sizeof(T)));
  return out;
}

}  // namespace

// Bands cost a copy of the input. Where a tap is a long enough run by itself, they pay by the taps
// that are left out as padding.
void ConvPlan::choose_bands() {
  constexpr int64_t kLong = 8;          // channels
  constexpr double kLeastSaved = 0.04;  // of the taps
  view_ = conv_->abreast > 1 ? conv_->wide : conv_->panels[0];
  if (conv_->abreast > 1) {
    view_.n = place_.out[2] % conv_->abreast * conv_->filters;
    return;
  }
  const int64_t channels = conv_->channels();
  const int64_t kr = kernel_of(*conv_->set, conv_->is_float).kr;
  if (channels % kr != 0 || channels < kLong) return;
  int64_t kept = 0;
  for (int64_t y = 0; y < place_.out[1]; ++y) kept += taps_inside(place_, y).count;
  const auto all = static_cast<double>(place_.out[1] * view_.taps);
  if (static_cast<double>(kept) <= (1 - kLeastSaved) * all) return;
  path_ = ConvPath::indirect;
  view_.taps = place_.window.taps();  // the same bytes: a run of taps is one tap after the other
  view_.k = view_.k_padded = channels;
}

BandLayout ConvPlan::bands(bool finishing) const {
  int64_t pixels = kBandPixels;
  if (finishing) pixels = std::min(pixels, kSumBytes / (4 * conv_->filters));
  const int64_t pixel = conv_->channels() * static_cast<int64_t>(conv_->element_size());
  return BandLayout(place_, pixel, conv_->abreast, std::max<int64_t>(pixels, 1));
}

size_t ConvPlan::banded_scratch(int threads, bool sums_in_scratch) const {
  const BandLayout layout = bands(sums_in_scratch);
  BandLayout apart = layout;
  apart.abreast = 1;
  size_t bytes = layout.bytes(place_) + lines_of(apart.pointers(place_) * 8);
  if (sums_in_scratch) bytes += lines_of(layout.rows * layout.columns * conv_->filters * 4);
  return 3 * lines_of(conv_->abreast * conv_->filters * 4) + static_cast<size_t>(threads) * bytes;
}

void ConvPlan::run_banded(const ConvRun& run) const {
  const int64_t filters = conv_->filters;
  const int64_t out_bytes = run.epilogue->out == Out::u8 || run.epilogue->out == Out::s8 ? 1 : 4;
  const bool alone = sequential(run);
  const int threads = alone ? 1 : run.pool->size();
  const BandLayout whole = bands(run.sums_in_scratch);
  BandLayout layout = alone ? whole : whole.split(place_, 4 * threads);
  if (run.finish != nullptr) {
    const int64_t pixels = std::max<int64_t>(1, kSumBytes / (4 * filters));
    layout.rows = std::clamp<int64_t>(pixels / layout.columns, 1, layout.rows);
  }

  uint8_t* scratch = run.scratch;
  Product narrow{conv_->panels.data(), nullptr, layout, *run.epilogue};
  narrow.layout.abreast = 1;
  Product wide = narrow;
  const int64_t abreast = conv_->abreast;
  if (abreast > 1) {
    wide.b = &conv_->wide;
    wide.rest = &view_;
    wide.layout.abreast = abreast;
    Epilogue& e = wide.epilogue;
    e.init = for_each_abreast(e.init, filters, abreast, scratch);
    e.scale = for_each_abreast(e.scale, filters, abreast, scratch);
    e.bias = for_each_abreast(e.bias, filters, abreast, scratch);
    e.residual_ld *= abreast;
  }
  scratch = run.scratch + 3 * lines_of(abreast * filters * 4);
  const size_t slice =
      (scratch_bytes(1, run.sums_in_scratch) - static_cast<size_t>(scratch - run.scratch));

  // What is nothing but padding adds nothing where the tile reads it as 0.
  const GemmKernel& kernel = conv_->set->gemm->s8;
  const bool as_is = kernel.widen != nullptr || run.x_signed == kernel.a_signed;
  const int32_t seen = run.x_zero + (as_is ? 0 : run.x_signed ? 128 : -128);
  const bool skip = conv_->is_float || (seen == 0 && conv_->panels[0].col_zero.empty());
  const int fill = conv_->is_float ? 0 : run.x_zero & 0xff;
  const WindowSource source{place_, static_cast<const uint8_t*>(run.x), layout.pixel};
  const int64_t residual_ld = run.epilogue->residual_ld;

  std::vector<Worker> workers(static_cast<size_t>(threads));
  const auto work = [&](int64_t index, int worker) {
    uint8_t* const copy = scratch + static_cast<size_t>(worker) * slice;
    auto** const table = reinterpret_cast<const void**>(copy + whole.bytes(place_));
    BandLayout apart = whole;
    apart.abreast = 1;
    uint8_t* const sums = copy + whole.bytes(place_) + lines_of(apart.pointers(place_) * 8);
    const Band band = layout.at(place_, index);
    copy_band(source, layout, band, fill, copy);
    // Zeros among the weights keep a pixel's neighbours out of its sums, but not their NaN.
    const bool apart_only =
        conv_->is_float && abreast > 1 && !all_finite(place_, layout, band, copy);
    const Product& product = apart_only ? narrow : wide;
    Worker& own = workers[static_cast<size_t>(worker)];
    own.prepare(place_, product, band, skip, copy, table);
    const int64_t plane = (band.image * place_.out[0] + band.plane) * place_.out[1];
    for (const Piece& piece : own.pieces) {
      const int64_t pixel = (plane + band.y + piece.row) * place_.out[2] + band.x + piece.column;
      MatrixA a;
      a.table = piece.table;
      a.fitted = true;
      a.is_signed = run.x_signed;
      a.readable_tail = true;
      a.first_tap = piece.taps.first;
      a.tap_count = piece.taps.count;
      Epilogue e = product.epilogue;
      if (e.residual != nullptr) {
        e.residual = static_cast<const uint8_t*>(e.residual) + pixel * residual_ld * out_bytes;
      }
      uint8_t* const y = run.sums_in_scratch
                             ? sums + (piece.row * band.columns + piece.column) * filters * 4
                             : static_cast<uint8_t*>(run.y) + pixel * filters * out_bytes;
      const int64_t side = product.layout.abreast;
      int64_t ldc = side * filters;
      if (piece.rest) {
        ldc = (run.sums_in_scratch ? band.columns : place_.out[2]) * filters;
        e.residual_ld = residual_ld * place_.out[2];
      }
      gemm(a, piece.rest ? *product.rest : *product.b, piece.rows * ceil_div(piece.columns, side),
           e, y, ldc, nullptr);
    }
    if (run.finish == nullptr) return;
    const bool joined = band.columns == place_.out[2];
    for (int64_t row = 0; row < (joined ? 1 : band.rows); ++row) {
      const int64_t pixel = (plane + band.y + row) * place_.out[2] + band.x;
      float* const done = reinterpret_cast<float*>(
          run.sums_in_scratch ? sums + row * band.columns * filters * 4
                              : static_cast<uint8_t*>(run.y) + pixel * filters * 4);
      run.finish->finish(done, pixel, (joined ? band.rows : 1) * band.columns);
    }
  };
  parallel_for(alone ? nullptr : run.pool, layout.count(place_), work);
}

}  // namespace pycompress
