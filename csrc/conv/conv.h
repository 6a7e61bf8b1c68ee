// Convolution over NHWC: weights packed once for one kernel set, a plan per input size, and the
// run.
//
//   depthwise   one channel per group: the depthwise kernels, no tables
//   plain       1x1, stride 1, no padding: a gemm on the pixels as they lie
//   indirect    the gemm reads A through a table of pointers, one per pixel and tap
//   banded      the gemm reads A from a copy of some input rows with the padding around them, where
//   a row of taps is one run (conv/bands.h)
//   gathered    groups, or columns apart: the windows are copied, a block of rows at a time
//
// int8 of all sign pairs and zero points and float32 take the same ways. Bits do not depend on the
// pool.
#pragma once
#include <cstdint>
#include <vector>

#include "conv/bands.h"
#include "conv/geometry.h"
#include "gemm/gemm.h"
#include "kernels.h"
#include "threads/pool.h"

namespace pycompress {

enum class ConvPath { depthwise, plain, indirect, gathered, banded };

struct PackedConv {
  const KernelSet* set = nullptr;
  bool is_float = false;
  Window window;
  int64_t filters = 0;
  int64_t group_channels = 0;  // input channels of one group
  int64_t groups = 1;
  // The placement may turn `indirect` with one tap into plain, and banded into indirect.
  ConvPath path = ConvPath::indirect;
  std::vector<PackedB> panels;  // one per group; none when depthwise
  // Banded, of few filters: the same weights for `abreast` neighbouring pixels at once.
  int64_t abreast = 1;
  PackedB wide;
  // Depthwise: windows of one row of taps per image row, or (flat) one tap each.
  bool flat = false;
  AlignedBuffer depthwise;
  std::vector<int32_t> depthwise_sum;  // [filters] sum of the weights
  size_t bytes() const;

  int64_t channels() const { return group_channels * groups; }
  int64_t group_filters() const { return filters / groups; }
  int64_t taps_of_row() const { return flat ? 1 : window.kernel[2]; }  // depthwise
  size_t element_size() const { return is_float ? sizeof(float) : 1; }
};

// w: [filters][group_channels][taps], ONNX's order. w_zero: [filters] in the type of w, or null.
// Throws std::invalid_argument when filters is no multiple of groups, or a sum could leave int32.
PackedConv pack_conv_int8(const KernelSet& set, const void* w, bool w_signed, int64_t filters,
                          int64_t group_channels, int64_t groups, const Window& window,
                          const int32_t* w_zero);
PackedConv pack_conv_f32(const KernelSet& set, const float* w, int64_t filters,
                         int64_t group_channels, int64_t groups, const Window& window);

// What pack_conv_* make of such a convolution, without the weights: everything that says what it is
// and which path it takes. depthwise: whether the weights have no zero points to speak of.
PackedConv conv_form(const KernelSet& set, bool is_float, int64_t filters, int64_t group_channels,
                     int64_t groups, const Window& window, bool depthwise);

// How many neighbouring pixels are worth one row of the gemm: 1 where `form` is not banded.
int64_t pixels_abreast(const PackedConv& form);

// init[filters] of the epilogue, as gemm_init.
void conv_init(const PackedConv& conv, int32_t x_zero, bool x_signed, const int32_t* bias,
               int32_t* init);

// Takes over rows of float32 sums when an epilogue cannot finish them: `rows` rows from `row`,
// filters columns, at sums.
class RowFinish {
 public:
  virtual void finish(float* sums, int64_t row, int64_t rows) const = 0;

 protected:
  ~RowFinish() = default;
};

// Computes a depthwise convolution's input as it goes, so that it need never lie in memory as a
// whole: channels first.. of neighbouring pixels, to `to`. Called by many threads at once.
class ConvSource {
 public:
  virtual void give(int64_t pixel, int64_t pixels, int64_t channel, int64_t channels,
                    float* to) const = 0;

 protected:
  ~ConvSource() = default;
};

struct ConvRun {
  const void* x = nullptr;  // NHWC
  bool x_signed = false;
  bool x_slack = false;  // 64 bytes behind x may be read
  int32_t x_zero = 0;    // what padding reads as (float32: 0)
  // Columns are filters, rows output pixels; init as conv_init gives it. col_zero and row_sum are
  // filled in here.
  const Epilogue* epilogue = nullptr;
  void* y = nullptr;  // [pixels][filters], type epilogue->out; unused when sums go to scratch
  const RowFinish* finish = nullptr;  // called once for every row when given
  bool sums_in_scratch = false;       // where the rows for `finish` are: scratch, else y
  uint8_t* scratch = nullptr;         // scratch_bytes(threads)
  uint8_t* persistent =
      nullptr;  // persistent_bytes(); zeros at first, then left alone between runs
  ThreadPool* pool = nullptr;
  // Depthwise in float32 alone. With `range` it is widened to the smallest and largest value of the
  // result, NaN apart, and the result may be u8 in units of `unit` (DepthwiseArgs).
  float* range = nullptr;
  float unit = 1.0f;
  const ConvSource* source = nullptr;  // where given, in place of x; no `finish` then
  uint8_t* source_scratch = nullptr;   // source_scratch_bytes(threads)
};

class ConvPlan {
 public:
  ConvPlan() = default;
  // `conv` has to outlive the plan.
  ConvPlan(const PackedConv& conv, const Placement& placement);

  const Placement& placement() const { return place_; }
  size_t scratch_bytes(int threads, bool sums_in_scratch) const;
  size_t persistent_bytes() const;
  void run(const ConvRun& run) const;

  // One gemm on the pixels as they lie.
  bool plain() const { return path_ == ConvPath::plain; }
  // Whether a run may have a source.
  bool takes_source() const;
  size_t source_scratch_bytes(int threads) const;

 private:
  struct Block;
  // Channels and lines of a depthwise convolution that are computed together from a source.
  struct Parts {
    int64_t count, channels;
    int64_t lines, rows;  // of the output; of the input, that are kept for them
  };
  Parts source_parts(int threads) const;
  DepthwiseArgs depthwise_args(const ConvRun& run, const Epilogue& epilogue) const;
  void choose_bands();
  const PackedB& panels(int64_t group) const;
  bool sequential(const ConvRun& run) const;
  int64_t block_rows(bool finishing) const;
  void run_depthwise(const ConvRun& run) const;
  void run_from_source(const ConvRun& run) const;
  int64_t stacked_lines(bool finishing, bool sums_in_scratch) const;
  void run_banded(const ConvRun& run) const;
  BandLayout bands(bool finishing) const;
  size_t banded_scratch(int threads, bool sums_in_scratch) const;
  void run_gemm(const ConvRun& run) const;
  void gemm_rows(const ConvRun& run, const Block& block, ThreadPool* pool) const;

  const PackedConv* conv_ = nullptr;
  Placement place_;
  ConvPath path_ = ConvPath::indirect;
  int64_t mr_ = 1;
  // The weights in another form: banded, for the last pixels of a row; indirect, where they were
  // packed for bands, by taps.
  PackedB view_;
  int64_t table_rows_ = 0;  // rows that the pointer table covers at a time
};

}  // namespace pycompress
