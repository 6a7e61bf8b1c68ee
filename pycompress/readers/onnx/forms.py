"""What each row of the upgrade table does: old form -> form of opset 18."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from pycompress.graph.ir import Node, Value
from pycompress.readers.errors import ModelError

if TYPE_CHECKING:
    from pycompress.graph.names import Names


@dataclass
class Site:
    """A node that is being upgraded, and the nodes that come to stand around it."""

    node: Node
    names: Names
    opset: int
    before: list[Node] = field(default_factory=list)
    after: list[Node] = field(default_factory=list)

    def constant(self, stem: str, data: object, dtype: Any = np.int64) -> Value:  # noqa: ANN401
        """Return a new constant named after the node."""
        array = np.asarray(data, dtype)
        name = self.names.fresh(f"{self.node.output.name}_{stem}")
        return Value(name, array.dtype, array.shape, array)

    def value(self, stem: str, like: Value | None = None) -> Value:
        """Return a new value named after the node, of the element type of `like`."""
        name = self.names.fresh(f"{self.node.output.name}_{stem}")
        return Value(name, None if like is None else like.dtype)

    def move(self, attr: str, position: int, default: object = None) -> None:
        """Turn an attribute into input `position`, a constant of int64."""
        data = self.node.attrs.pop(attr, default)
        if data is not None:
            self.set_input(position, self.constant(attr, data))

    def set_input(self, position: int, value: Value | None) -> None:
        """Set one input; those before it that the node leaves out become absent."""
        inputs = self.node.inputs
        inputs += [None] * (position + 1 - len(inputs))
        inputs[position] = value

    def fail(self, text: str) -> NoReturn:
        """Raise an error that names the node."""
        name = self.node.name or self.node.output.name
        msg = f"node '{name}' ({self.node.op}, opset {self.opset}) {text}"
        raise ModelError(msg)


def refuse(site: Site) -> None:
    """Refuse an old form that has no equal today."""
    site.fail("is written in a form that cannot be brought to opset 18")


def broadcast_from_axis(site: Site) -> None:
    """Arithmetic and comparisons: before version 7 B lay at `axis` of A."""
    axis = site.node.attrs.pop("axis", None)
    site.node.attrs.pop("broadcast", 0)
    if axis is not None:
        trailing_ones(site, int(axis))


def slope_of_channels(site: Site) -> None:
    """PRelu: before version 7 a slope of one dimension was one for each channel."""
    slope = site.node.inputs[1]
    if slope is not None and slope.shape is not None and len(slope.shape) == 1:
        trailing_ones(site, 1)


def trailing_ones(site: Site, axis: int) -> None:
    """Give input 1 as many dimensions of 1 behind its own as put its first one at `axis`."""
    a, b = site.node.inputs
    if a is None or b is None or a.shape is None or b.shape is None:
        site.fail("broadcasts from an axis, and the ranks of its inputs are not known")
    axis += len(a.shape) if axis < 0 else 0
    missing = len(a.shape) - axis - len(b.shape)
    if missing <= 0:
        return
    wide = site.value("wide", b)
    axes = site.constant("wide_axes", list(range(len(b.shape), len(b.shape) + missing)))
    name = site.names.fresh(f"{site.node.name}_unsqueeze")
    site.before.append(Node("Unsqueeze", [b, axes], [wide], name=name))
    site.node.inputs = [a, wide]


def no_longer_said(site: Site) -> None:
    """BatchNormalization: before version 7 an attribute told training from inference."""
    if not site.node.attrs.pop("is_test", 0) and len(site.node.outputs) > 1:
        site.fail("is in training mode; export the model for inference")


def spatial_only(site: Site) -> None:
    """BatchNormalization: statistics per position, spatial=0, went in version 9."""
    if site.node.attrs.pop("spatial", 1) != 1:
        site.fail("has statistics for each position (spatial=0), which is not supported")


def one_output(site: Site) -> None:
    """BatchNormalization: more than one output means that it is training."""
    if len(site.node.outputs) > 1:
        site.fail("is in training mode; export the model for inference")


def bounds_to_inputs(site: Site) -> None:
    """Clip: attributes min and max become inputs 1 and 2."""
    dtype = site.node.inputs[0].dtype if site.node.inputs[0] is not None else None
    for position, attr in ((1, "min"), (2, "max")):
        if attr in site.node.attrs:
            bound = site.constant(attr, site.node.attrs.pop(attr), dtype or np.float32)
            site.set_input(position, bound)


def inference_only(site: Site) -> None:
    """Dropout: without training_mode it passes its input on; the ratio says nothing."""
    site.node.attrs.pop("ratio", None)
    if len(site.node.outputs) > 1 and site.opset < 10:
        del site.node.outputs[1:]  # before version 10 the mask was not filled at inference


def flattened(site: Site) -> None:
    """Softmax, LogSoftmax, Hardmax: they acted on a matrix, split before `axis` (default 1)."""
    node = site.node
    x = node.inputs[0]
    axis = node.attrs.pop("axis", 1)
    node.attrs["axis"] = -1
    if axis == -1 or (x is not None and x.shape is not None and axis == len(x.shape) - 1):
        return
    flat, result, shape = site.value("flat", x), site.value("rows", x), site.value("shape")
    site.before += [
        Node("Shape", [x], [shape], name=site.names.fresh(f"{node.name}_shape")),
        Node("Flatten", [x], [flat], {"axis": axis}, name=site.names.fresh(f"{node.name}_flatten")),
    ]
    output = node.outputs[0]
    node.inputs, node.outputs = [flat], [result]
    result.producer = node
    name = site.names.fresh(f"{node.name}_reshape")
    site.after.append(Node("Reshape", [result, shape], [output], name=name))


def pads_to_inputs(site: Site) -> None:
    """Pad: attributes pads and value become inputs 1 and 2."""
    site.move("pads", 1)
    value = site.node.attrs.pop("value", 0.0)
    if value:
        x = site.node.inputs[0]
        site.set_input(2, site.constant("value", value, (x and x.dtype) or np.float32))


def axes_to_input(site: Site) -> None:
    """Squeeze, Unsqueeze and the reductions: the attribute axes becomes input 1."""
    axes = site.node.attrs.pop("axes", None)
    if axes is not None:
        site.set_input(1, site.constant("axes", axes))


def resize_before_11(site: Site) -> None:
    """Resize-10: positions are scaled from the corner, and the nearest pixel is the one before."""
    mode = site.node.attrs.setdefault("mode", "nearest")
    scales = site.node.inputs[1]
    site.node.inputs = [site.node.inputs[0], None, scales]
    site.node.attrs["coordinate_transformation_mode"] = "asymmetric"
    if mode == "nearest":
        known = scales.const if scales is not None else None
        shrinks = known is not None and bool((np.asarray(known) < 1).any())
        if shrinks and (np.asarray(known) > 1).any():
            site.fail("enlarges one axis and shrinks another, which has no equal in opset 18")
        site.node.attrs["nearest_mode"] = "ceil" if shrinks else "floor"


def resize_before_13(site: Site) -> None:
    """Resize-11: an empty roi, or empty scales beside sizes, stood for an absent one."""
    for position in (1, 2):
        value = site.node.input(position)
        if value is not None and value.const is not None and value.array().size == 0:
            site.node.inputs[position] = None
    if site.node.attrs.get("coordinate_transformation_mode") == "tf_half_pixel_for_nn":
        if site.node.attrs.get("nearest_mode") != "floor":
            site.fail("uses tf_half_pixel_for_nn, which went in opset 13")
        site.node.attrs["coordinate_transformation_mode"] = "half_pixel"
        site.node.attrs["nearest_mode"] = "round_prefer_ceil"  # floor(p + 0.5)


def upsample_scales_to_input(site: Site) -> None:
    """Upsample-7: the attribute scales becomes input 1."""
    site.set_input(1, site.constant("scales", site.node.attrs.pop("scales"), np.float32))


def upsample_to_resize(site: Site) -> None:
    """Upsample: Resize took its place in version 10."""
    site.node.op = "Resize"
    resize_before_11(site)


def roi_align_before_16(site: Site) -> None:
    """RoiAlign: the default of version 10 got a name, and the default changed."""
    site.node.attrs.setdefault("coordinate_transformation_mode", "output_half_pixel")


def scatter_elements(site: Site) -> None:
    """Scatter: a new name."""
    site.node.op = "ScatterElements"


def slices_to_inputs(site: Site) -> None:
    """Slice: attributes starts, ends and axes become inputs 1 to 3."""
    for position, attr in enumerate(("starts", "ends", "axes"), 1):
        site.move(attr, position)


def sizes_to_input(site: Site) -> None:
    """Split: the attribute split becomes input 1."""
    site.move("split", 1)


def count_of_outputs(site: Site) -> None:
    """Split: without sizes, the number of parts must be said."""
    if site.node.input(1) is None:
        site.node.attrs["num_outputs"] = len(site.node.outputs)


def k_to_input(site: Site) -> None:
    """TopK: the attribute k becomes input 1."""
    site.set_input(1, site.constant("k", [site.node.attrs.pop("k")]))
