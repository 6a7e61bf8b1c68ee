// The constructors of all operators, by file. Each returns an Op for a node or throws
// std::invalid_argument.
#pragma once
#include <memory>

#include "engine/op.h"

namespace pycompress {

using OpPtr = std::unique_ptr<Op>;

// view.cpp
OpPtr make_identity(const NodeDef& node);
OpPtr make_reshape(const NodeDef& node);
OpPtr make_flatten(const NodeDef& node);
OpPtr make_squeeze(const NodeDef& node);
OpPtr make_unsqueeze(const NodeDef& node);
OpPtr make_shape(const NodeDef& node);
OpPtr make_size(const NodeDef& node);
// transpose.cpp, concat.cpp, slice.cpp
OpPtr make_transpose(const NodeDef& node);
OpPtr make_concat(const NodeDef& node);
OpPtr make_split(const NodeDef& node);
OpPtr make_slice(const NodeDef& node);
// binary.cpp
OpPtr make_add(const NodeDef& node);
OpPtr make_sub(const NodeDef& node);
OpPtr make_mul(const NodeDef& node);
OpPtr make_div(const NodeDef& node);
OpPtr make_pow(const NodeDef& node);
OpPtr make_mod(const NodeDef& node);
OpPtr make_min(const NodeDef& node);
OpPtr make_max(const NodeDef& node);
OpPtr make_sum(const NodeDef& node);
OpPtr make_mean(const NodeDef& node);
// compare.cpp
OpPtr make_equal(const NodeDef& node);
OpPtr make_less(const NodeDef& node);
OpPtr make_less_equal(const NodeDef& node);
OpPtr make_greater(const NodeDef& node);
OpPtr make_greater_equal(const NodeDef& node);
OpPtr make_and(const NodeDef& node);
OpPtr make_or(const NodeDef& node);
OpPtr make_xor(const NodeDef& node);
OpPtr make_not(const NodeDef& node);
OpPtr make_bitwise_and(const NodeDef& node);
OpPtr make_bitwise_or(const NodeDef& node);
OpPtr make_bitwise_xor(const NodeDef& node);
OpPtr make_bitwise_not(const NodeDef& node);
OpPtr make_bit_shift(const NodeDef& node);
OpPtr make_where(const NodeDef& node);
// unary.cpp
OpPtr make_abs(const NodeDef& node);
OpPtr make_neg(const NodeDef& node);
OpPtr make_relu(const NodeDef& node);
OpPtr make_sigmoid(const NodeDef& node);
OpPtr make_hard_swish(const NodeDef& node);
OpPtr make_silu(const NodeDef& node);
OpPtr make_tanh(const NodeDef& node);
OpPtr make_erf(const NodeDef& node);
OpPtr make_exp(const NodeDef& node);
OpPtr make_log(const NodeDef& node);
OpPtr make_sqrt(const NodeDef& node);
OpPtr make_reciprocal(const NodeDef& node);
OpPtr make_floor(const NodeDef& node);
OpPtr make_ceil(const NodeDef& node);
OpPtr make_round(const NodeDef& node);
OpPtr make_sign(const NodeDef& node);
OpPtr make_softplus(const NodeDef& node);
OpPtr make_sin(const NodeDef& node);
OpPtr make_cos(const NodeDef& node);
OpPtr make_leaky_relu(const NodeDef& node);
OpPtr make_elu(const NodeDef& node);
OpPtr make_hard_sigmoid(const NodeDef& node);
OpPtr make_gelu(const NodeDef& node);
OpPtr make_activation(const NodeDef& node);
OpPtr make_clip(const NodeDef& node);
OpPtr make_prelu(const NodeDef& node);
OpPtr make_tan(const NodeDef& node);
OpPtr make_asin(const NodeDef& node);
OpPtr make_acos(const NodeDef& node);
OpPtr make_atan(const NodeDef& node);
OpPtr make_sinh(const NodeDef& node);
OpPtr make_cosh(const NodeDef& node);
OpPtr make_asinh(const NodeDef& node);
OpPtr make_acosh(const NodeDef& node);
OpPtr make_atanh(const NodeDef& node);
OpPtr make_is_nan(const NodeDef& node);
OpPtr make_is_inf(const NodeDef& node);
OpPtr make_cast(const NodeDef& node);
// reduce.cpp
OpPtr make_reduce_sum(const NodeDef& node);
OpPtr make_reduce_mean(const NodeDef& node);
OpPtr make_reduce_max(const NodeDef& node);
OpPtr make_reduce_min(const NodeDef& node);
OpPtr make_reduce_prod(const NodeDef& node);
OpPtr make_reduce_l1(const NodeDef& node);
OpPtr make_reduce_l2(const NodeDef& node);
OpPtr make_reduce_sum_square(const NodeDef& node);
OpPtr make_reduce_log_sum(const NodeDef& node);
OpPtr make_reduce_log_sum_exp(const NodeDef& node);
// softmax.cpp, norm.cpp
OpPtr make_softmax(const NodeDef& node);
OpPtr make_log_softmax(const NodeDef& node);
OpPtr make_layer_norm(const NodeDef& node);
OpPtr make_batch_norm(const NodeDef& node);
OpPtr make_instance_norm(const NodeDef& node);
OpPtr make_group_norm(const NodeDef& node);
// gather.cpp
OpPtr make_gather(const NodeDef& node);
OpPtr make_gather_elements(const NodeDef& node);
OpPtr make_gather_nd(const NodeDef& node);
OpPtr make_embedding(const NodeDef& node);
// fill.cpp, pad.cpp
OpPtr make_expand(const NodeDef& node);
OpPtr make_tile(const NodeDef& node);
OpPtr make_constant_of_shape(const NodeDef& node);
OpPtr make_range(const NodeDef& node);
OpPtr make_eye_like(const NodeDef& node);
OpPtr make_trilu(const NodeDef& node);
OpPtr make_pad(const NodeDef& node);
// linear.cpp, matmul.cpp
OpPtr make_attention(const NodeDef& node);
OpPtr make_matmul_nbits(const NodeDef& node);
OpPtr make_linear_bf16(const NodeDef& node);
OpPtr make_conv_bf16(const NodeDef& node);
OpPtr make_linear(const NodeDef& node);
OpPtr make_matmul(const NodeDef& node);
OpPtr make_matmul_integer(const NodeDef& node);
// quantize.cpp, q_pointwise.cpp
OpPtr make_quantize_linear(const NodeDef& node);
OpPtr make_dequantize_linear(const NodeDef& node);
OpPtr make_dynamic_quantize_linear(const NodeDef& node);
OpPtr make_q_table(const NodeDef& node);
OpPtr make_q_add(const NodeDef& node);
OpPtr make_q_mul(const NodeDef& node);
// order.cpp, scatter.cpp
OpPtr make_arg_max(const NodeDef& node);
OpPtr make_arg_min(const NodeDef& node);
OpPtr make_top_k(const NodeDef& node);
OpPtr make_cum_sum(const NodeDef& node);
OpPtr make_cum_prod(const NodeDef& node);
OpPtr make_scatter_elements(const NodeDef& node);
OpPtr make_tensor_scatter(const NodeDef& node);
OpPtr make_scatter_nd(const NodeDef& node);
OpPtr make_one_hot(const NodeDef& node);
// along_axis.cpp, rearrange.cpp
OpPtr make_hardmax(const NodeDef& node);
OpPtr make_lp_normalization(const NodeDef& node);
OpPtr make_lrn(const NodeDef& node);
OpPtr make_depth_to_space(const NodeDef& node);
OpPtr make_space_to_depth(const NodeDef& node);
OpPtr make_reverse_sequence(const NodeDef& node);
OpPtr make_bit_cast(const NodeDef& node);
// einsum.cpp, grid_sample.cpp, roi_align.cpp
OpPtr make_einsum(const NodeDef& node);
OpPtr make_grid_sample(const NodeDef& node);
OpPtr make_roi_align(const NodeDef& node);
// cells.cpp
OpPtr make_lstm(const NodeDef& node);
OpPtr make_gru(const NodeDef& node);
OpPtr make_rnn(const NodeDef& node);
OpPtr make_recurrent(const NodeDef& node);

// conv.cpp, conv_transpose.cpp, pool.cpp, resize.cpp
OpPtr make_conv(const NodeDef& node);
OpPtr make_conv_integer(const NodeDef& node);
OpPtr make_computed_conv(const NodeDef& node);
OpPtr make_round_to(const NodeDef& node);
OpPtr make_computed_conv_integer(const NodeDef& node);
OpPtr make_conv_transpose(const NodeDef& node);
OpPtr make_max_pool(const NodeDef& node);
OpPtr make_average_pool(const NodeDef& node);
OpPtr make_global_max_pool(const NodeDef& node);
OpPtr make_global_average_pool(const NodeDef& node);
OpPtr make_q_global_average_pool(const NodeDef& node);
OpPtr make_resize(const NodeDef& node);

}  // namespace pycompress
