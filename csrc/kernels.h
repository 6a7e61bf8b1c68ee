// THE contract between the kernels and everything that calls them.
//
// A kernel set is one struct of function pointers per family, compiled for one instruction set.
// Kernels trust their arguments: bindings and the engine check. A kernel file includes this header,
// its simd/ header and intrinsics, and no STL: one STL header compiled under -mavx512f emits weak
// symbols that crash an older CPU.
//
// Integer results are bit-identical on every set; whatever feeds an integer is compiled with
// -ffp-contract=off. Float results (softmax, layer norm, float gemm) are held to a tolerance; on
// the sets whose fma rounds once, which is all but `scalar`, they are the same bits nevertheless:
// sums have one order, whatever the length of a vector. bf16 is the exception.
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace pycompress {

// ---- gemm

enum class Out : int32_t { s32, f32, u8, s8 };

// How bytes come to lie within lo, hi and the ends of their type.
//   floats      v is clamped before it is rounded
//   bytes       after it: the caller has shown that every v is a number that fits into int32
//   saturation  not at all: and that lo and hi round to the ends of the type, or beyond
enum class Clamp : int32_t { floats, bytes, saturation };

// What MobileNets and PP-LCNets put between a sum and its bytes, each step rounded:
//   v = gain * (v * min(max(v * (1 / 6) + 1 / 2, 0), 1)) + shift,  then  v / y_scale
// which is fma(v, reciprocal, v * rest) where QuantizeKernels::inverse() gives those two.
struct HardSwish {
  float gain = 1.0f, shift = 0.0f;
  float reciprocal = 1.0f, rest = 0.0f;
};

// What a tile does to a sum before it stores it. Pointers are to column 0 (or row 0) of the whole
// result; a tile adds its own offsets. With v a float32, each step rounded on its own:
//
//   acc = sum(a * b) + init[n] - col_zero[n] * row_sum[m] - row_zero[m] * col_sum[n]
//
//   v = float(acc) * scale[n] * row_scale[m] + bias[n] + residual[m][n]
//
//   v = min(max(v, lo), hi)
//
// s32 stores acc, which is exact; f32 stores v, and NaN stays NaN; u8 and s8 store
// saturate(round_half_even(v) + out_zero), with scale, bias, lo and hi in units of the output, and
// NaN goes to the low end: lo, or the type's smallest value.
//
// A null pointer leaves its term out. Float gemm: acc is the float32 sum, and the integer terms do
// not apply. A is here what the caller has: where a tile flips its sign, `init` accounts for the
// difference (gemm_init()).
struct Epilogue {
  Out out = Out::s32;
  const int32_t* init = nullptr;      // [N] bias - a_zero * col_sum + K * a_zero * b_zero
  const int32_t* col_zero = nullptr;  // [N] zero point of B's columns, where not zero
  const int32_t* row_sum = nullptr;   // [M] sums of A's rows, needed with col_zero
  const int32_t* row_zero =
      nullptr;  // [M] zero points of A, one per row (dynamic quantization by row)
  const int32_t* col_sum = nullptr;  // [N] sum(b) - K * b_zero, needed with row_zero
  const float* scale = nullptr;      // [N]
  const float* row_scale = nullptr;  // [M]
  const float* bias = nullptr;       // [N]
  const void* residual =
      nullptr;  // [M][ld]: float32 for f32 output; u8 or s8 as `out` says for integer output
  int64_t residual_ld = 0;      // in elements
  float residual_scale = 1.0f;  // integer residual: float(r - residual_zero) * residual_scale
  int32_t residual_zero = 0;
  float lo = -__builtin_huge_valf();
  float hi = __builtin_huge_valf();
  int32_t out_zero = 0;
  Clamp clamp = Clamp::floats;
  // Between bias and bounds, with scale and bias in units of 1: of the depthwise kernels that say
  // so, for u8 and s8 without a residual.
  const HardSwish* hard_swish = nullptr;
};

// A strip: some rows of the result by some panels of B, worked through in tiles, one block of rows
// after the other against each group of panels.
//
// A is read through row pointers, so a convolution is the same kernel with a longer table (indirect
// gemm). One tap: rows[r] is row r. More: blocks of `height` rows, rows[block * taps * height + t *
// height + r] is row r of the block's tap t. Each row is k elements long, a multiple of kr: the
// caller pads (B holds zeros there, so what A reads past its end is only to be readable). B is
// packed in panels of nr columns, panel_bytes apart: [taps][k / kr][nr][kr].
//
// The first tall_rows rows (a multiple of height) come in blocks of height, the others in blocks of
// short_height; a last block may be shorter. The caller keeps both heights within the tiles that
// `panels` panels have, and with more than one tap short_height = height.
struct StripArgs {
  const void* const* rows;
  int64_t taps;
  int64_t k;
  const void* b;
  int64_t panel_bytes;
  int64_t row, row_count;  // of the whole result
  int64_t col, col_count;
  int32_t height;
  int32_t short_height;
  int64_t tall_rows;
  int32_t panels;  // that a tile spans
  void* c;         // the strip's corner
  int64_t ldc;     // in elements
  const Epilogue* epilogue;
};

// Rows and panels that a tile can hold in registers: any fewer of either will do as well.
struct TileShape {
  int32_t rows, panels;
};

// A set's tiles for one element type. `flip` is XORed onto every byte of A as it is loaded (0x80
// turns s8 into u8 or back), so that all sign pairs run in one loop: the tile multiplies a_signed ?
// s8 : u8 by s8.
struct GemmKernel {
  int32_t mr, nr, kr;  // rows of a block in a table of pointers, columns of a panel, step in depth
  bool a_signed;       // integer tiles: the type of A that the instruction wants
  void (*strip)(const StripArgs& args);       // A as the instruction wants it
  void (*strip_flip)(const StripArgs& args);  // A of the other signedness; null for float
  // Not null: the tile reads A as int16, and this widens k bytes of a row for it. Then A of either
  // signedness runs in `strip`, strip_flip is null and a_signed means nothing.
  void (*widen)(const uint8_t* a, int64_t k, bool is_signed, int16_t* wide);
  void (*row_sums)(const uint8_t* a, int64_t k, bool is_signed,
                   int32_t* sum);  // *sum = sum of k bytes of A; null for float
  TileShape shapes[4];             // the first one for many rows, mr high; ends with {0, 0}
};

struct GemmKernels {
  GemmKernel s8;   // int8 x int8 -> int32
  GemmKernel f32;  // float32
};

// ---- int4 weights

// C = A . W, float32 in and out. A column of W is divided into blocks of `block` (32, 64 or 128)
// along K; each has a float32 scale and a zero point z, and its values q are 4 bits wide:
//
//   w = (q - z) * scale,    q and z in 0..15, z = 8 where the weights have no zero points
//
// A is quantized to int8 in the same blocks, as it comes. With every step rounded to float32:
//
//   largest = max |a| in the block
//   a_scale = largest / 127;    p = round_half_even(a * (127 / largest)), in [-127, 127]
//
// A block whose largest is below 2^-119 (its 127 / largest would be infinite) has a_scale 0 and all
// p 0; one with NaN or an infinity has a_scale NaN and all p 0, and whatever it goes into is NaN.
//
//   sum = 0;    for each block in order:    sum = fma(float(dot(p, q - z)), scale * a_scale, sum)
//
// The dot product is an exact integer and fma rounds once, so the results are the same bits on
// every set. After that comes the epilogue of a float gemm.
//
// A row of A is a run of records, one for each block: Int4Block, then `block` int8.
struct Int4Block {
  float scale;
  int32_t offset;  // -8 * sum(p)
};

constexpr int64_t int4_record(int64_t block) {
  return static_cast<int64_t>(sizeof(Int4Block)) + block;
}

// A panel of W holds nr columns, block after block: scale [nr] float32; with zero points z [nr]
// uint8, room up to the next 64 bytes, or as many as the scales take where that is less; then q,
// [block / (2 kr)][nr][kr] bytes: byte (i, n, j) is k = 2 i kr + j in the low half and kr further
// in the high half.
constexpr int64_t int4_zeros_bytes(int64_t nr) { return nr < 16 ? 4 * nr : (nr + 63) / 64 * 64; }

// One tile: up to mr rows by one panel.
struct Int4Args {
  const void* const* rows;  // the records of each row
  int64_t blocks, block;    // in depth
  bool zeros;               // whether the panel has zero points
  const void* b;
  int32_t row_count, col_count;
  int64_t row, col;          // of the tile's corner in the whole result
  void* c;                   // the tile's corner
  int64_t ldc;               // in elements
  const Epilogue* epilogue;  // out is f32, u8 or s8
};

struct Int4Kernels {
  int32_t mr, nr, kr;
  // k values of a row into records; the last block is filled up with zeros.
  void (*quantize)(const float* a, int64_t k, int64_t block, void* records);
  void (*tile)(const Int4Args& args);
};

// ---- bf16

// C = A . B, float32 in and out, of operands rounded to bfloat16 (the upper half of a float32,
// half to even) and sums in float32. Float results: held to a tolerance. Denormal numbers may count
// as 0.
//
// A is rounded by `round`, k values of a row at a time: into bfloat16, or into float32 where the
// CPU has no instruction for bfloat16 and the tile widens B as it loads it. Panels of B are as in
// StripArgs, of bfloat16.
struct Bf16Kernel {
  const char* name;
  int32_t mr, nr, kr;
  int32_t a_bytes;  // of an element of A as the tile reads it
  void (*round)(const float* a, int64_t k, void* rounded);
  void (*strip)(const StripArgs& args);
  TileShape shapes[4];  // as in GemmKernel
};

// ---- depthwise convolution

// `pixels` neighbouring output pixels of one output row, `channels` channels each. A window reads
// `kernel` taps, `dilation` columns apart, of each of `row_count` image rows; pixel p's window
// starts at column first + p * stride, in row r shift[r] columns further. What lies outside (a null
// row, or a column outside [0, width)) reads as `padding`.
//
//   sum = sum over r, k of x[rows[r]][first + p * stride + shift[r] + k * dilation][c] * w[k][r][c]
//
// The caller keeps ((kernel - 1) * dilation + 1) * ceil(row_count / 4) <= kDepthwiseSteps.
// Epilogue: columns are channels, rows are pixels; only init, scale, bias, residual, lo, hi and
// out_zero may be set.
//
// int8: input of the other type than a_signed says is read as that by flipping its top bit (the
// caller's zero point moves by 128).
// Weights are [ceil(channels / block)][kernel][ceil(row_count / group)][block][group] int8, zeros
// where there is nothing. With group 4 the channels of a block are in lane order, and so are init,
// scale and bias (padded to whole blocks): position p holds channel depthwise_channel(block, p).
// That is where interleaving bytes within 16-byte lanes puts them. float32: weights are
// [kernel][row_count][w_step], init, scale and bias in plain order; where lo is 0 and hi 255 units,
// u8 may be stored, too, round_half_even(v / unit), NaN as 0, with the largest end of a `range`.
struct DepthwiseArgs {
  const void* const* rows;  // column 0 of each row
  const int64_t* shift;
  int64_t row_count;
  // More than one where the kernels say `stacks`, and in float32: line i reads its windows from
  // rows[i * step] on (shift likewise), and its pixels follow those of line i - 1 in the result.
  int64_t lines, step;
  int64_t kernel, dilation, stride;
  int64_t first, width;
  const void* padding;  // `channels` values
  int64_t pixels, channels;
  const void* w;
  int64_t row;  // index of the first pixel in the whole result (for the residual)
  void* y;
  int64_t ldy;  // elements from one pixel to the next
  const Epilogue* epilogue;
  int64_t w_step;          // float32: all channels, rounded up to 16; `channels` may be some
  float unit = 1.0f;       // float32: of u8 results
  float* range = nullptr;  // float32: if given, widened to the smallest and largest v but for NaN
};

constexpr int64_t kDepthwiseSteps = 64;

constexpr int64_t depthwise_channel(int64_t block, int64_t position) {
  const int64_t lanes = block / 16;
  const int64_t quad = position / (4 * lanes);
  return 16 * (position / 4 % lanes) + 4 * quad + position % 4;
}

struct DepthwiseKernels {
  int32_t block, group;  // of the int8 weights
  void (*u8)(const DepthwiseArgs& args);
  void (*s8)(const DepthwiseArgs& args);
  void (*f32)(const DepthwiseArgs& args);
  bool stacks = false;    // u8 and s8 may be called for many lines at once
  bool a_signed = false;  // what the products take the input's bytes for
  bool swishes = false;   // u8 and s8 know Epilogue::hard_swish
};

// ---- quantize

// `rows` rows of n elements, `ld` elements apart in x and in q. rows_*: scale[r] and zero[r] belong
// to row r; columns_*: scale[i] and zero[i] to column i. `stream`: q is too large to be kept in a
// cache, and is written around them. `next`, where not null, is what will be read after them and is
// not in a near cache: as many rows, to prefetch along the way.
struct QuantizeArgs {
  const float* x;
  int64_t rows, n, ld;
  const float* scale;
  const int32_t* zero;
  void* q;
  bool stream;
  const float* next = nullptr;
};

// q = saturate(round_half_even(x / scale) + zero), NaN to the low end.
// step = 0: one scale (and zero) for all; step = 1: scale[i] and zero[i] belong to x[i] (channel
// axis innermost).
struct QuantizeKernels {
  void (*to_u8)(const float* x, int64_t n, const float* scale, const int32_t* zero, int64_t step,
                uint8_t* q);
  void (*to_s8)(const float* x, int64_t n, const float* scale, const int32_t* zero, int64_t step,
                int8_t* q);
  // Of what HardSwish makes of x.
  void (*hard_swish_u8)(const float* x, int64_t n, float gain, float shift, float scale,
                        int32_t zero, uint8_t* q);
  void (*hard_swish_s8)(const float* x, int64_t n, float gain, float shift, float scale,
                        int32_t zero, int8_t* q);
  // Whether two products divide by this scale exactly, and by what.
  bool (*inverse)(float scale, float* reciprocal, float* rest);
  void (*rows_u8)(const QuantizeArgs& args);
  void (*rows_s8)(const QuantizeArgs& args);
  void (*columns_u8)(const QuantizeArgs& args);
  void (*columns_s8)(const QuantizeArgs& args);
  void (*from_u8)(const uint8_t* q, int64_t n, const float* scale, const int32_t* zero,
                  int64_t step, float* x);
  void (*from_s8)(const int8_t* q, int64_t n, const float* scale, const int32_t* zero, int64_t step,
                  float* x);
  void (*from_s32)(const int32_t* q, int64_t n, const float* scale, const int32_t* zero,
                   int64_t step, float* x);
  // Smallest and largest of the values that are not NaN; lo = +inf, hi = -inf when there is none.
  void (*range)(const float* x, int64_t n, float* lo, float* hi);
  void (*range_rows)(const float* x, int64_t n, float* lo,
                     float* hi);  // lo[i] = min(lo[i], x[i]), hi likewise
  // Largest |x|; NaN where one is NaN. By column, over `rows` rows, `ld` elements apart.
  float (*largest)(const float* x, int64_t n);
  void (*largest_columns)(const float* x, int64_t rows, int64_t n, int64_t ld, float* largest);
};

// ---- pointwise

enum class Unary : int32_t {
  identity,
  abs,
  neg,
  relu,
  leaky_relu,
  clip,
  sigmoid,
  hard_sigmoid,
  hard_swish,
  silu,
  tanh,
  gelu,
  gelu_tanh,
  erf,
  exp,
  log,
  sqrt,
  reciprocal,
  square,
  floor,
  ceil,
  round,
  sign,
  softplus,
  elu,
  sin,
  cos,
};

enum class Binary : int32_t { add, sub, mul, div, min, max, pow };

enum class Reduce : int32_t { sum, max, min, sum_square, sum_abs };

struct PointwiseKernels {
  // alpha, beta: leaky_relu slope; clip lo, hi; hard_sigmoid alpha, beta; elu alpha.
  void (*unary)(Unary op, const float* x, int64_t n, float alpha, float beta, float* y);
  // a_step, b_step: 1 = an array, 0 = one value for all.
  void (*binary)(Binary op, const float* a, int64_t a_step, const float* b, int64_t b_step,
                 int64_t n, float* y);
  float (*reduce)(Reduce op, const float* x, int64_t n);
  void (*reduce_rows)(Reduce op, const float* x, int64_t n,
                      float* acc);  // acc[i] = op(acc[i], x[i])
  // Rows of n elements, ld elements apart in x and in y; in place when y = x. gamma, beta: null for
  // 1 and 0.
  void (*softmax)(const float* x, int64_t rows, int64_t n, int64_t ld, float* y);
  void (*layer_norm)(const float* x, int64_t rows, int64_t n, int64_t ld, const float* gamma,
                     const float* beta, float eps, float* y);
  void (*table)(const uint8_t* x, int64_t n, const uint8_t* table256,
                uint8_t* y);  // y = table[x], s8 as its bits
  // Quantized a + b: v = float(a - a_zero) * a_scale + float(b - b_zero) * b_scale (scales in units
  // of the output), clamped to [lo, hi], rounded half to even, + y_zero, saturated. is_signed: all
  // three are s8, else u8.
  struct AddArgs {
    float a_scale, b_scale;
    int32_t a_zero, b_zero, y_zero;
    float lo, hi;
    bool is_signed;
  };
  void (*add_q8)(const AddArgs& args, const void* a, const void* b, int64_t n, void* y);
  // Quantized a * b, likewise: v = float((a - a_zero) * (b - b_zero)) * a_scale. The zero points
  // are of the type, so that the product is exact.
  void (*mul_q8)(const AddArgs& args, const void* a, const void* b, int64_t n, void* y);
  void (*max_u8)(const uint8_t* x, int64_t n, uint8_t* acc);  // acc = max(acc, x)
  void (*max_s8)(const int8_t* x, int64_t n, int8_t* acc);
  void (*sum_u8)(const uint8_t* x, int64_t n, int32_t* acc);  // acc += x
  void (*sum_s8)(const int8_t* x, int64_t n, int32_t* acc);
};

// ---- the set

struct KernelSet {
  const char* name;
  uint32_t needs;  // dispatch/cpu.h
  const GemmKernels* gemm;
  const DepthwiseKernels* depthwise;
  const QuantizeKernels* quantize;
  const PointwiseKernels* pointwise;
  const Int4Kernels* int4;
};

}  // namespace pycompress
