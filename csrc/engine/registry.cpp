#include "engine/registry.h"

#include "engine/ops/ops.h"

namespace pycompress {
namespace {

// clang-format off
constexpr OpEntry kOps[] = {
//  name                    make                      inputs    outputs
    {"Identity",             make_identity,            1, 1,     1},
    {"Reshape",              make_reshape,             2, 2,     1},
    {"Flatten",              make_flatten,             1, 1,     1},
    {"Squeeze",              make_squeeze,             1, 2,     1},
    {"Unsqueeze",            make_unsqueeze,           2, 2,     1},
    {"Shape",                make_shape,               1, 1,     1},
    {"Size",                 make_size,                1, 1,     1},
    {"Transpose",            make_transpose,           1, 1,     1},
    {"Concat",               make_concat,              1, kMany, 1},
    {"Split",                make_split,               1, 2,     kMany},
    {"Slice",                make_slice,               3, 5,     1},
    {"Add",                  make_add,                 2, 2,     1},
    {"Sub",                  make_sub,                 2, 2,     1},
    {"Mul",                  make_mul,                 2, 2,     1},
    {"Div",                  make_div,                 2, 2,     1},
    {"Pow",                  make_pow,                 2, 2,     1},
    {"Mod",                  make_mod,                 2, 2,     1},
    {"Min",                  make_min,                 1, kMany, 1},
    {"Max",                  make_max,                 1, kMany, 1},
    {"Sum",                  make_sum,                 1, kMany, 1},
    {"Mean",                 make_mean,                1, kMany, 1},
    {"Equal",                make_equal,               2, 2,     1},
    {"Less",                 make_less,                2, 2,     1},
    {"LessOrEqual",          make_less_equal,          2, 2,     1},
    {"Greater",              make_greater,             2, 2,     1},
    {"GreaterOrEqual",       make_greater_equal,       2, 2,     1},
    {"And",                  make_and,                 2, 2,     1},
    {"Or",                   make_or,                  2, 2,     1},
    {"Xor",                  make_xor,                 2, 2,     1},
    {"Not",                  make_not,                 1, 1,     1},
    {"BitwiseAnd",           make_bitwise_and,         2, 2,     1},
    {"BitwiseOr",            make_bitwise_or,          2, 2,     1},
    {"BitwiseXor",           make_bitwise_xor,         2, 2,     1},
    {"BitwiseNot",           make_bitwise_not,         1, 1,     1},
    {"BitShift",             make_bit_shift,           2, 2,     1},
    {"Where",                make_where,               3, 3,     1},
    {"Abs",                  make_abs,                 1, 1,     1},
    {"Neg",                  make_neg,                 1, 1,     1},
    {"Relu",                 make_relu,                1, 1,     1},
    {"LeakyRelu",            make_leaky_relu,          1, 1,     1},
    {"PRelu",                make_prelu,               2, 2,     1},
    {"Elu",                  make_elu,                 1, 1,     1},
    {"Clip",                 make_clip,                1, 3,     1},
    {"Sigmoid",              make_sigmoid,             1, 1,     1},
    {"HardSigmoid",          make_hard_sigmoid,        1, 1,     1},
    {"HardSwish",            make_hard_swish,          1, 1,     1},
    {"Silu",                 make_silu,                1, 1,     1},
    {"Tanh",                 make_tanh,                1, 1,     1},
    {"Gelu",                 make_gelu,                1, 1,     1},
    {"Erf",                  make_erf,                 1, 1,     1},
    {"Exp",                  make_exp,                 1, 1,     1},
    {"Log",                  make_log,                 1, 1,     1},
    {"Sqrt",                 make_sqrt,                1, 1,     1},
    {"Reciprocal",           make_reciprocal,          1, 1,     1},
    {"Floor",                make_floor,               1, 1,     1},
    {"Ceil",                 make_ceil,                1, 1,     1},
    {"Round",                make_round,               1, 1,     1},
    {"Sign",                 make_sign,                1, 1,     1},
    {"Softplus",             make_softplus,            1, 1,     1},
    {"Sin",                  make_sin,                 1, 1,     1},
    {"Cos",                  make_cos,                 1, 1,     1},
    {"Cast",                 make_cast,                1, 1,     1},
    {"ReduceSum",            make_reduce_sum,          1, 2,     1},
    {"ReduceMean",           make_reduce_mean,         1, 2,     1},
    {"ReduceMax",            make_reduce_max,          1, 2,     1},
    {"ReduceMin",            make_reduce_min,          1, 2,     1},
    {"ReduceProd",           make_reduce_prod,         1, 2,     1},
    {"ReduceL1",             make_reduce_l1,           1, 2,     1},
    {"ReduceL2",             make_reduce_l2,           1, 2,     1},
    {"ReduceSumSquare",      make_reduce_sum_square,   1, 2,     1},
    {"ReduceLogSum",         make_reduce_log_sum,      1, 2,     1},
    {"ReduceLogSumExp",      make_reduce_log_sum_exp,  1, 2,     1},
    {"Softmax",              make_softmax,             1, 1,     1},
    {"LogSoftmax",           make_log_softmax,         1, 1,     1},
    {"LayerNormalization",   make_layer_norm,          2, 3,     3},
    {"BatchNormalization",   make_batch_norm,          5, 5,     1},
    {"InstanceNormalization",make_instance_norm,       3, 3,     1},
    {"Gather",               make_gather,              2, 2,     1},
    {"GatherElements",       make_gather_elements,     2, 2,     1},
    {"GatherND",             make_gather_nd,           2, 2,     1},
    {"Expand",               make_expand,              2, 2,     1},
    {"Tile",                 make_tile,                2, 2,     1},
    {"ConstantOfShape",      make_constant_of_shape,   1, 1,     1},
    {"Range",                make_range,               3, 3,     1},
    {"Trilu",                make_trilu,               1, 2,     1},
    {"Pad",                  make_pad,                 2, 4,     1},
    {"MatMul",               make_matmul,              2, 2,     1},
    {"MatMulInteger",        make_matmul_integer,      2, 4,     1},
    {"activation",           make_activation,          1, 1,     1},
    {"attention",            make_attention,           3, 4,     1},
    {"linear",               make_linear,              2, 4,     1},
    {"linear_bf16",          make_linear_bf16,         2, 4,     1},
    {"conv_bf16",            make_conv_bf16,           2, 4,     1},
    {"MatMulNBits",          make_matmul_nbits,       3, 6,     1},
    {"embedding",            make_embedding,           2, 2,     1},
    {"ArgMax",               make_arg_max,             1, 1,     1},
    {"ArgMin",               make_arg_min,             1, 1,     1},
    {"TopK",                 make_top_k,               2, 2,     2},
    {"CumSum",               make_cum_sum,             2, 2,     1},
    {"ScatterND",            make_scatter_nd,          3, 3,     1},
    {"OneHot",               make_one_hot,             3, 3,     1},
    {"QuantizeLinear",       make_quantize_linear,     2, 3,     1},
    {"DequantizeLinear",     make_dequantize_linear,   2, 3,     1},
    {"DynamicQuantizeLinear",make_dynamic_quantize_linear,1, 1,     3},
    {"q_table",              make_q_table,             1, 1,     1},
    {"q_add",                make_q_add,               2, 2,     1},
    {"q_mul",                make_q_mul,               2, 2,     1},
    {"LSTM",                 make_lstm,                3, 8,     3},
    {"GRU",                  make_gru,                 3, 6,     2},
    {"recurrent",            make_recurrent,           3, 8,     3},
    {"conv",             make_conv,          2, 4,      1},
    {"ConvInteger",      make_conv_integer,  2, 4,      1},
    {"conv_transpose",   make_conv_transpose, 2, 3,     1},
    {"MaxPool",          make_max_pool,      1, 1,      2},
    {"AveragePool",      make_average_pool,  1, 1,      1},
    {"GlobalMaxPool",    make_global_max_pool, 1, 1,    1},
    {"GlobalAveragePool", make_global_average_pool, 1, 1, 1},
    {"q_global_average_pool", make_q_global_average_pool, 1, 1, 1},
    {"Resize",           make_resize,        1, 4,      1},
};
// clang-format on

}  // namespace

const OpEntry* find_op(const std::string& name) {
  for (const OpEntry& entry : kOps) {
    if (name == entry.name) return &entry;
  }
  return nullptr;
}

std::vector<std::string> op_names() {
  std::vector<std::string> names;
  for (const OpEntry& entry : kOps) names.emplace_back(entry.name);
  return names;
}

}  // namespace pycompress
