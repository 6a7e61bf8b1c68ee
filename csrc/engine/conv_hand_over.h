// What a convolution does for the next one, where that quantizes its input at run time: its result
// in u8, with the scale and zero point that ONNX's DynamicQuantizeLinear finds.
//
//   in general   float32 sums; each block of rows is finished, and its range taken, while it is in
//                cache; one pass over all quantizes
//   a clamp      with two finite ends bounds the range. A first run takes it for the range, and has
//                the u8 straight from the integer sums, as a layer of fixed scales does; it holds
//                where a few pixels that reached an end, computed again in float32, have that
//                range. Else all is computed again in general, and the next runs guess no more.
//   depthwise    in float32: the kernel has the range as it stores. Where a clamp from 0 bounds it,
//                the first run quantizes what it would have stored, too.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/conv_layer.h"

namespace pycompress {

struct HandedOver {
  uint8_t* q = nullptr;
  float* scale = nullptr;
  int32_t* zero = nullptr;
  float* y = nullptr;  // the float32 result as well, where somebody reads it
};

class ConvHandOver {
 public:
  ConvHandOver() = default;
  // keeps: HandedOver::y will be given.
  ConvHandOver(const ConvLayer& layer, bool keeps);

  size_t scratch_bytes(const ConvLayer& layer, int threads) const;
  size_t persistent_bytes(const ConvLayer& layer) const;
  void run(const ConvLayer& layer, const ConvInput& x, const void* residual, const HandedOver& to,
           uint8_t* scratch, uint8_t* persistent, ThreadPool* pool) const;

 private:
  void place_probe(const ConvLayer& layer);
  void run_ranged(const ConvLayer& layer, ConvRun run, const Epilogue& epilogue, float* sums,
                  const HandedOver& to, int32_t* wait) const;
  // Runs with the guess into q; sums: room for the probe.
  bool guess_holds(const ConvLayer& layer, const ConvLayer::Started& started, uint8_t* q,
                   float* sums, float* unit_scale, uint8_t* persistent) const;

  bool keeps_ = false;
  bool guesses_ = false;
  bool ranged_ = false;  // the kernel takes the range
  DynamicScale guess_;
  std::vector<float> bias_;  // in units of the guess
  // A few neighbouring pixels of the result (in some layers a whole row) whose windows lie inside
  // the image. `rows_` and `columns_` are where such pixels are.
  struct Span {
    int64_t begin = 0, end = 0;
    bool empty() const { return begin >= end; }
    // The outputs along a spatial axis whose windows read no padding.
    static Span inside(const Placement& place, int axis);
  };
  ConvPlan probe_;
  bool whole_rows_ = false;
  Span rows_, columns_;
};

}  // namespace pycompress
