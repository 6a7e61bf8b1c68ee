// Packed weights as Python holds them, and what the products with them share.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "bindings/matrix.h"
#include "gemm/gemm.h"

namespace pycompress {

struct PackedWeights {
  PackedB panels;
  std::string dtype;
  std::vector<float> scale;  // [N], or empty
  std::vector<float> bias;   // [N], or empty
};

PackedWeights pack(const py::array& w, py::handle scale, py::handle bias, py::handle zero_point,
                   const std::string& isa);

// The argument `packed`.
const PackedWeights& need_packed(const char* function, py::handle value);

// An array [..., K] that fits the weights: of any type, or uint8 or int8 beside integer weights.
Matrix need_operand(const char* function, const char* name, const py::array& x,
                    const PackedWeights& w);
Matrix need_integers(const char* function, const char* name, const py::array& x,
                     const PackedWeights& w);
MatrixA operand(const Matrix& m);

// Products too small to be worth it keep the GIL: letting go and taking it again costs as much as
// they do.
inline bool worth_release(const Matrix& a, const PackedWeights& w) {
  return a.rows * a.columns * w.panels.n > 100'000;
}

template <typename Body>
void without_gil(bool release, const Body& body) {
  if (!release) {
    body(nullptr);
    return;
  }
  const std::shared_ptr<ThreadPool> pool = default_pool();
  const py::gil_scoped_release nogil;
  body(pool.get());
}

// What A's zero points put into an epilogue, for this thread until it makes the next one.
struct Terms {
  Terms(const PackedWeights& w, const Matrix& a, ZeroPoints zero_points, Epilogue& e)
      : zeros(std::move(zero_points)) {
    if (!zeros.many.empty()) {
      e.row_zero = zeros.many.data();
    } else if (zeros.one != 0) {
      thread_local std::vector<int32_t> init;  // an allocation costs as much as a small product
      init.resize(static_cast<size_t>(w.panels.n));
      gemm_init(w.panels, zeros.one, a.type == Type::s8, nullptr, init.data());
      e.init = init.data();
    }
  }
  ZeroPoints zeros;
};

}  // namespace pycompress
