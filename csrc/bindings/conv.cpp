// Packed convolutions, from Python: NHWC arrays in and out. Checks here; kernels trust.
#include <pybind11/stl.h>
#include <pybind11/typing.h>

#include <mutex>
#include <optional>
#include <string>

#include "bindings/direct.h"
#include "bindings/families.h"
#include "bindings/matrix.h"
#include "dispatch/dispatch.h"
#include "engine/conv_layer.h"

namespace pycompress {
namespace {

// What a convolution needs besides its weights for one size of input. Its table of pointers stays
// good while the same array comes in.
struct Placed {
  std::vector<int64_t> spatial;
  int64_t batch = -1;
  ConvPlan plan;
  AlignedBuffer persistent;
};

// The arguments of a call that make its layer.
struct Asked {
  Type x_type = Type::u8;
  std::optional<double> x_scale;
  int64_t x_zero = 0;
  std::optional<double> y_scale;
  int64_t y_zero = 0;
  Type y_type = Type::u8;
  Activation activation;

  bool operator==(const Asked& other) const {
    const Activation& a = activation;
    const Activation& b = other.activation;
    return x_type == other.x_type && x_scale == other.x_scale && x_zero == other.x_zero &&
           y_scale == other.y_scale && y_zero == other.y_zero && y_type == other.y_type &&
           a.op == b.op && a.alpha == b.alpha && a.beta == b.beta;
  }
};

// A layer as one call wanted it: the next one mostly wants the same.
struct Layered {
  std::optional<Asked> asked;
  Layer layer;
  LayerEpilogue ready;
};

struct PackedConvolution {
  PackedConv conv;
  std::string dtype;
  std::vector<int64_t> shape;  // of the weights
  std::vector<float> scale;    // [O], or empty
  std::vector<float> bias;     // [O], or empty
  std::mutex mutex;            // of what follows: whoever finds it taken makes its own
  Placed placed;
  Layered layered;
};

[[noreturn]] void refuse(const std::string& message) { throw py::value_error(message); }

void need_contiguous(const char* name, const py::array& x) {
  if ((x.flags() & py::array::c_style) != 0) return;
  refuse(std::string(name) + " of shape " + shape_of(x) +
         " is not C-contiguous; make it so with numpy.ascontiguousarray");
}

std::unique_ptr<PackedConvolution> pack_conv(const py::array& w, py::handle scale, py::handle bias,
                                             py::handle zero_point,
                                             const std::vector<int64_t>& strides,
                                             const std::vector<int64_t>& pads,
                                             const std::vector<int64_t>& dilations, int64_t groups,
                                             const std::string& isa) {
  const char* function = "pack_conv";
  const Type type = type_of(w);
  if (type != Type::s8 && type != Type::u8) {
    throw py::type_error("pack_conv: w has dtype " + dtype_of(w) + ", wanted int8 or uint8");
  }
  if (w.ndim() < 3 || w.ndim() > 5 || w.size() == 0) {
    refuse("pack_conv: w has shape " + shape_of(w) +
           ", wanted [O, I / groups, k...] with 1 to 3 spatial dimensions");
  }
  need_contiguous("pack_conv: w", w);
  auto packed = std::make_unique<PackedConvolution>();
  packed->dtype = name_of(type);
  packed->shape.assign(w.shape(), w.shape() + w.ndim());
  const int64_t filters = w.shape(0);
  packed->scale = need_floats(function, "scale", scale, filters, "filter");
  for (const float s : packed->scale) need_scale(function, "scale", static_cast<double>(s));
  packed->bias = need_floats(function, "bias", bias, filters, "filter");
  ZeroPoints zeros =
      need_zero_points(function, "zero_point", zero_point, type, filters, "filter of w");
  if (zeros.many.empty() && zeros.one != 0) {
    zeros.many.assign(static_cast<size_t>(filters), zeros.one);
  }
  const std::vector<int64_t> kernel(packed->shape.begin() + 2, packed->shape.end());
  const Window window = Window::from_attributes(kernel, strides, dilations, pads, "", false);
  const KernelSet& set = isa.empty() ? active_set() : find_set(isa);
  const void* data = w.data();
  const py::gil_scoped_release nogil;
  packed->conv = pack_conv_int8(set, data, type == Type::s8, filters, packed->shape[1], groups,
                                window, zeros.many.empty() ? nullptr : zeros.many.data());
  return packed;
}

void place_anew(const PackedConvolution& k, int64_t batch, const std::vector<int64_t>& spatial,
                Placed& placed) {
  placed.batch = -1;  // until all of it is there
  placed.plan = ConvPlan(k.conv, place(k.conv.window, batch, spatial.data()));
  placed.persistent = AlignedBuffer(placed.plan.persistent_bytes());
  std::fill_n(placed.persistent.data(), placed.persistent.size(), uint8_t{0});
  placed.spatial = spatial;
  placed.batch = batch;
}

Type type_of_output(DType dtype) {
  switch (dtype) {
    case DType::u8:
      return Type::u8;
    case DType::s8:
      return Type::s8;
    case DType::s32:
      return Type::s32;
    default:
      return Type::f32;
  }
}

py::array output_for(const Placement& place, int64_t filters, DType dtype, py::handle out) {
  std::vector<py::ssize_t> shape{place.batch};
  for (int i = 3 - place.window.rank; i < 3; ++i) shape.push_back(place.out[i]);
  shape.push_back(filters);
  if (out.is_none()) return py::array(py::dtype(dtype_name(dtype)), shape);
  py::array y = need_array("qconv", "out", out);
  if (type_of(y) != type_of_output(dtype)) {
    throw py::type_error("qconv: out has dtype " + dtype_of(y) + ", wanted " + dtype_name(dtype));
  }
  if (std::vector<py::ssize_t>(y.shape(), y.shape() + y.ndim()) != shape) {
    refuse("qconv: out has shape " + shape_of(y) + ", wanted " +
           py::str(py::tuple(py::cast(shape))).cast<std::string>());
  }
  need_contiguous("qconv: out", y);
  if (!y.writeable()) refuse("qconv: out is read-only");
  return y;
}

bool overlap(const py::array& a, const py::array& b) {
  const auto* x = static_cast<const char*>(a.data());
  const auto* y = static_cast<const char*>(b.data());
  return x < y + b.nbytes() && y < x + a.nbytes();
}

// The layer around the sums: x_scale absent means that the int32 sums are wanted.
Layer layer_of(const PackedConvolution& k, const Asked& asked) {
  Layer layer;
  layer.mode = LayerMode::integer;
  layer.channels = k.conv.filters;
  layer.x_zero = need_zero_point("qconv", "x_zero_point", asked.x_zero, asked.x_type);
  if (!asked.x_scale) {
    const Activation& activation = asked.activation;
    if (asked.y_scale || !activation.clamps() || activation.op != Unary::identity) {
      refuse("qconv: y_scale and activation need x_scale; without it the result is the int32 sums");
    }
    layer.y_dtype = DType::s32;
    return layer;
  }
  if (k.scale.empty()) refuse("qconv: the weights were packed without a scale");
  layer.x_scale = need_scale("qconv", "x_scale", *asked.x_scale);
  layer.w_scale = k.scale;
  layer.bias = k.bias;
  layer.has_bias = !k.bias.empty();
  layer.activation = asked.activation;
  if (!asked.y_scale) return layer;
  layer.integer_out = true;
  layer.y_dtype = asked.y_type == Type::u8 ? DType::u8 : DType::s8;
  layer.y_scale = need_scale("qconv", "y_scale", *asked.y_scale);
  layer.y_zero = need_zero_point("qconv", "y_zero_point", asked.y_zero, asked.y_type);
  return layer;
}

void prepare(const PackedConvolution& k, const Asked& asked, Layered& layered) {
  if (layered.asked == asked) return;
  layered.asked.reset();  // until all of it is there
  layered.layer = layer_of(k, asked);
  if (asked.x_scale) {
    layered.ready = conv_layer_epilogue(layered.layer, k.conv, asked.x_type == Type::s8);
  }
  layered.asked = asked;
}

void run_sums(const PackedConvolution& k, const Layer& layer, const Placed& placed, const Tensor& x,
              void* y, ThreadPool* pool) {
  std::vector<int32_t> init(static_cast<size_t>(k.conv.filters));
  conv_init(k.conv, layer.x_zero, x.dtype == DType::s8, nullptr, init.data());
  const AlignedBuffer scratch(placed.plan.scratch_bytes(pool == nullptr ? 1 : pool->size(), false));
  Epilogue epilogue;
  epilogue.init = init.data();
  ConvRun run;
  run.x = x.data;
  run.x_signed = x.dtype == DType::s8;
  run.x_zero = layer.x_zero;
  run.epilogue = &epilogue;
  run.y = y;
  run.scratch = scratch.data();
  run.persistent = placed.persistent.data();
  run.pool = pool;
  placed.plan.run(run);
}

void run_layer(const PackedConvolution& k, const Layered& layered, const Placed& placed,
               const Tensor& x, void* y, ThreadPool* pool) {
  const ConvLayer all{layered.layer, k.conv, placed.plan, layered.ready};
  const AlignedBuffer scratch(all.scratch_bytes(pool == nullptr ? 1 : pool->size()));
  all.run({x}, nullptr, y, scratch.data(), placed.persistent.data(), pool);
}

std::optional<double> number_or_none(const char* name, py::handle value) {
  if (value.is_none()) return std::nullopt;
  return need_number("qconv", name, value);
}

// As of matrix products: those that take no longer than letting go of the GIL keep it.
bool worth_release(const PackedConv& conv, const Placement& place) {
  return place.pixels() * conv.filters * conv.group_channels * place.window.taps() > 100'000;
}

PackedConvolution& need_convolution(py::handle k) {
  if (py::isinstance<PackedConvolution>(k)) return k.cast<PackedConvolution&>();
  throw py::type_error(std::string("qconv: k must be a PackedConvolution, found ") +
                       Py_TYPE(k.ptr())->tp_name);
}

Asked asked_of(Type x_type, PyObject* const* args) {
  Asked asked;
  asked.x_type = x_type;
  asked.x_scale = number_or_none("x_scale", args[2]);
  asked.x_zero = need_integer("qconv", "x_zero_point", args[3]);
  asked.y_scale = number_or_none("y_scale", args[4]);
  asked.y_zero = need_integer("qconv", "y_zero_point", args[5]);
  if (asked.y_scale) asked.y_type = need_output_type("qconv", args[6]);
  if (args[7] != Py_None) asked.activation = py::handle(args[7]).cast<const Activation&>();
  return asked;
}

py::object qconv(PyObject* const* args) {
  const py::array x = need_array("qconv", "x", args[0]);
  PackedConvolution& k = need_convolution(args[1]);
  const py::handle out = args[8];
  const Type type = type_of(x);
  if (type != Type::u8 && type != Type::s8) {
    throw py::type_error("qconv: x has dtype " + dtype_of(x) + ", wanted uint8 or int8");
  }
  const int rank = k.conv.window.rank;
  if (x.ndim() != rank + 2 || x.shape(rank + 1) != k.conv.channels()) {
    refuse("qconv: x has shape " + shape_of(x) + ", wanted [N, " + std::to_string(rank) +
           " spatial dimensions, " + std::to_string(k.conv.channels()) + "]");
  }
  need_contiguous("qconv: x", x);
  const Asked asked = asked_of(type, args);
  std::unique_lock<std::mutex> lock(k.mutex, std::try_to_lock);
  Placed own_place;
  Layered own_layer;
  Placed& placed = lock.owns_lock() ? k.placed : own_place;
  Layered& layered = lock.owns_lock() ? k.layered : own_layer;
  prepare(k, asked, layered);
  if (placed.batch != x.shape(0) ||
      !std::equal(placed.spatial.begin(), placed.spatial.end(), x.shape() + 1)) {
    place_anew(k, x.shape(0), {x.shape() + 1, x.shape() + 1 + rank}, placed);
  }
  py::array y = output_for(placed.plan.placement(), k.conv.filters, layered.layer.y_dtype, out);
  if (!out.is_none() && overlap(y, x)) refuse("qconv: out shares memory with x");
  void* data = const_cast<void*>(y.data());
  Tensor input;
  input.dtype = type == Type::s8 ? DType::s8 : DType::u8;
  input.data = const_cast<void*>(x.data());
  const std::shared_ptr<ThreadPool> pool = default_pool();
  std::optional<py::gil_scoped_release> nogil;
  if (worth_release(k.conv, placed.plan.placement())) nogil.emplace();
  if (asked.x_scale) {
    run_layer(k, layered, placed, input, data, pool.get());
  } else {
    run_sums(k, layered.layer, placed, input, data, pool.get());
  }
  return std::move(y);
}

}  // namespace

void bind_conv(py::module_& module) {
  py::class_<PackedConvolution>(module, "PackedConvolution",
                                "Weights of a convolution, packed for one instruction set.")
      .def_property_readonly(
          "shape",
          [](const PackedConvolution& k) {
            return py::typing::Tuple<int64_t, py::ellipsis>(py::tuple(py::cast(k.shape)));
          })
      .def_property_readonly("dtype", [](const PackedConvolution& k) { return k.dtype; })
      .def_property_readonly("groups", [](const PackedConvolution& k) { return k.conv.groups; })
      .def_property_readonly(
          "isa", [](const PackedConvolution& k) { return std::string(k.conv.set->name); })
      .def_property_readonly("nbytes", [](const PackedConvolution& k) { return k.conv.bytes(); })
      .def("__repr__", [](const PackedConvolution& k) {
        return "PackedConvolution(shape=" +
               py::str(py::tuple(py::cast(k.shape))).cast<std::string>() + ", dtype='" + k.dtype +
               "', isa='" + k.conv.set->name + "')";
      });
  module.def("pack_conv", &pack_conv, py::arg("w"), py::arg("scale"), py::arg("bias"),
             py::arg("zero_point"), py::arg("strides"), py::arg("pads"), py::arg("dilations"),
             py::arg("groups"), py::arg("isa") = "");
  static PyMethodDef functions[] = {
      direct<9, qconv>(
          "qconv",
          "qconv(x: numpy.ndarray, k: PackedConvolution, x_scale: typing.Any, x_zero_point: "
          "typing.Any, y_scale: typing.Any, y_zero_point: typing.Any, y_dtype: str, activation: "
          "Activation | None, out: typing.Any) -> numpy.ndarray"),
      {}};
  add_direct(module, functions);
}

}  // namespace pycompress
