// What every pass over a graph begins or ends with: who reads what, and an order to run in.
#include "bindings/graph.h"

#include <pybind11/numpy.h>
#include <structmember.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <unordered_map>

#include "bindings/families.h"

namespace pycompress {

namespace py = pybind11;

SlotOf::SlotOf(const py::type& owner, const char* name) : offset_(0) {
  const py::object member = owner.attr(name);
  if (Py_TYPE(member.ptr()) != &PyMemberDescr_Type) {
    throw py::type_error(std::string("'") + name + "' is not one of the slots of " +
                         py::str(owner).cast<std::string>());
  }
  offset_ = reinterpret_cast<PyMemberDescrObject*>(member.ptr())->d_member->offset;
}

void SlotOf::set(PyObject* object, PyObject* borrowed) const {
  PyObject* before = get(object);
  Py_INCREF(borrowed);
  *at(object) = borrowed;
  Py_XDECREF(before);
}

GraphTypes::GraphTypes(const py::type& node, const py::type& value)
    : node_type(node),
      value_type(value),
      op(node, "op"),
      inputs(node, "inputs"),
      outputs(node, "outputs"),
      attrs(node, "attrs"),
      domain(node, "domain"),
      name(node, "name"),
      metadata(node, "metadata"),
      nested(node, "nested"),
      value_name(value, "name"),
      dtype(value, "dtype"),
      shape(value, "shape"),
      constant(value, "const"),
      producer(value, "producer") {}

std::vector<PyObject*> GraphTypes::items(PyObject* list) {
  const Span all = span(list);
  return {all.first, all.last};
}

GraphTypes::Span GraphTypes::span(PyObject* list) {
  if (list == nullptr || !(PyList_Check(list) || PyTuple_Check(list))) {
    throw py::type_error(std::string("a list is wanted, found ") +
                         (list == nullptr ? "nothing" : Py_TYPE(list)->tp_name));
  }
  PyObject** first = PySequence_Fast_ITEMS(list);
  return {first, first + PySequence_Fast_GET_SIZE(list)};
}

PyObject* GraphTypes::need(PyObject* object, const py::type& type) {
  auto* wanted = reinterpret_cast<PyTypeObject*>(type.ptr());
  if (Py_TYPE(object) == wanted || PyType_IsSubtype(Py_TYPE(object), wanted) != 0) return object;
  throw py::type_error(std::string("a ") + wanted->tp_name + " is wanted, found " +
                       Py_TYPE(object)->tp_name);
}

PyObject* look_up(const py::dict& where, PyObject* key) {
  PyObject* found = PyDict_GetItemWithError(where.ptr(), key);
  if (found == nullptr && PyErr_Occurred() != nullptr) throw py::error_already_set();
  return found;
}

py::list GraphTypes::captured(PyObject* node) {
  return py::reinterpret_borrow<py::object>(node).attr("captured")();
}

namespace {

class GraphWalks : public GraphTypes {
 public:
  using GraphTypes::GraphTypes;

  // Each value that a node reads -> its readers, in order: as a list, or as the keys of a dict,
  // from which one goes in no time.
  py::dict readers(const py::list& nodes, bool as_dicts) const {
    py::dict all;
    for (PyObject* node : items(nodes.ptr())) {
      PyObject* last = nullptr;  // a node that reads a value twice in a row is seen at once
      each_read(node, [&](PyObject* value) {
        if (value == last) return;
        last = value;
        PyObject* known = look_up(all, value);
        if (known != nullptr) {
          add(known, node);
          return;
        }
        const auto made =
            py::reinterpret_steal<py::object>(as_dicts ? PyDict_New() : PyList_New(0));
        if (!made || PyDict_SetItem(all.ptr(), value, made.ptr()) != 0) {
          throw py::error_already_set();
        }
        add(made.ptr(), node);
      });
    }
    return all;
  }

  // What `roots` (nodes, or None) need of the nodes, in an order in which it can run: depth first,
  // from each root.
  py::list order(const py::list& nodes, const py::list& roots) const {
    enum class State : uint8_t { kNew, kOpen, kDone };
    std::unordered_map<PyObject*, State> states;
    states.reserve(static_cast<size_t>(nodes.size()));
    for (PyObject* node : items(nodes.ptr())) states.emplace(node, State::kNew);
    py::list made;
    std::vector<PyObject*> stack;  // null: the last node of `path` has all that it reads
    std::vector<PyObject*> path;
    for (PyObject* root : items(roots.ptr())) {
      if (states.count(root) != 0) stack.push_back(root);
    }
    std::reverse(stack.begin(), stack.end());
    while (!stack.empty()) {
      PyObject* node = stack.back();
      stack.pop_back();
      if (node == nullptr) {
        states[path.back()] = State::kDone;
        made.append(py::handle(path.back()));
        path.pop_back();
        continue;
      }
      State& state = states[node];
      if (state != State::kNew) continue;
      state = State::kOpen;
      std::vector<PyObject*> pending;
      each_read(node, [&](PyObject* value) {
        PyObject* before = producer.get(value);
        const auto found = before == nullptr ? states.end() : states.find(before);
        if (found == states.end()) return;
        if (found->second == State::kNew) pending.push_back(before);
        if (found->second == State::kOpen) cycle(before);
      });
      if (pending.empty()) {
        state = State::kDone;
        made.append(py::handle(node));
      } else {
        path.push_back(node);
        stack.push_back(nullptr);
        stack.insert(stack.end(), pending.rbegin(), pending.rend());
      }
    }
    return made;
  }

  // Gives a node's one result the shape of its input, or that to which its inputs broadcast, when
  // all of them are known and so it is settled; false where Python has to look. `rules`: by
  // standard operator, whether it broadcasts, the input (or the type itself) that says its element
  // type, and whether it may compute sizes. `shapes`: what is known, and added to.
  bool settle(const py::object& node, const py::dict& shapes, const py::dict& rules,
              bool with_types) const {
    PyObject* of = need(node.ptr(), node_type);
    if (PyUnicode_GET_LENGTH(domain.get(of)) != 0) return false;
    PyObject* rule = look_up(rules, op.get(of));
    if (rule == nullptr) return false;
    const std::vector<PyObject*> reads = items(of, inputs);
    const std::vector<PyObject*> makes = items(of, outputs);
    if (makes.size() != 1 || reads.empty()) return false;
    PyObject* out = need(makes[0], value_type);
    PyObject* type = dtype.get(out);
    const bool untyped = type == Py_None;
    if (untyped) {
      if (!with_types) return false;
      type = PyTuple_GET_ITEM(rule, 1);
      if (PyLong_Check(type)) {
        const auto at = static_cast<size_t>(PyLong_AsLong(type));
        if (at >= reads.size() || reads[at] == Py_None) return false;
        type = dtype.get(need(reads[at], value_type));
      }
      if (type == Py_None) return false;
    }
    if (PyTuple_GET_ITEM(rule, 2) == Py_True &&
        py::reinterpret_borrow<py::dtype>(type).kind() != 'f') {
      return false;
    }
    const bool broadcasts = PyTuple_GET_ITEM(rule, 0) == Py_True;
    py::object found;
    for (PyObject* value : reads) {
      if (value == Py_None) return false;
      const py::object next = shape_of(need(value, value_type), shapes);
      if (!next) return false;
      found = found ? broadcast(found, next) : next;
      if (!found) return false;
      if (!broadcasts) break;
    }
    PyObject* before = shape.get(out);
    if (before != Py_None) found = merged(found, before);
    if (PyDict_SetItem(shapes.ptr(), out, found.ptr()) != 0) throw py::error_already_set();
    shape.set(out, found.ptr());
    if (untyped) dtype.set(out, type);
    return true;
  }

  // Adds the names of nodes and of the values that they read and make.
  void names(const py::list& nodes, const py::set& taken) const {
    const auto add_name = [&](PyObject* title) {
      if (PySet_Add(taken.ptr(), title) != 0) throw py::error_already_set();
    };
    for (PyObject* node : items(nodes.ptr())) {
      add_name(name.get(need(node, node_type)));
      for (PyObject* value : items(node, outputs)) {
        add_name(value_name.get(need(value, value_type)));
      }
      each_read(node, [&](PyObject* value) { add_name(value_name.get(value)); });
    }
  }

  // (domain, operator) of a node, then of what makes each of its inputs: one of `members`, or one
  // of the three that stand for an absent value, a constant, and one from elsewhere.
  py::tuple surroundings(const py::object& node, const py::dict& members,
                         const py::tuple& others) const {
    const std::vector<PyObject*> reads = items(node.ptr(), inputs);
    py::tuple made(reads.size() + 1);
    const auto put = [&](size_t at, PyObject* owned) {
      PyTuple_SET_ITEM(made.ptr(), static_cast<py::ssize_t>(at), owned);
    };
    put(0, named(node.ptr()));
    for (size_t i = 0; i < reads.size(); ++i) {
      PyObject* value = reads[i];
      py::ssize_t other = 0;
      if (value != Py_None) {
        other = 2;
        if (constant.get(need(value, value_type)) != Py_None) {
          other = 1;
        } else if (PyObject* maker = producer.get(value);
                   maker != Py_None && look_up(members, maker) != nullptr) {
          put(i + 1, named(need(maker, node_type)));
          continue;
        }
      }
      put(i + 1, py::object(others[static_cast<size_t>(other)]).release().ptr());
    }
    return made;
  }

  // Whether each node comes after what it reads of the others.
  bool in_order(const py::list& nodes) const {
    std::unordered_map<PyObject*, bool> done;
    const std::vector<PyObject*> all = items(nodes.ptr());
    done.reserve(all.size());
    for (PyObject* node : all) done.emplace(node, false);
    for (PyObject* node : all) {
      bool fits = true;
      each_read(node, [&](PyObject* value) {
        const auto found = done.find(producer.get(value));
        fits = fits && (found == done.end() || found->second);
      });
      if (!fits) return false;
      done[node] = true;
    }
    return true;
  }

 private:
  // (domain, operator), a new reference.
  PyObject* named(PyObject* node) const {
    PyObject* pair = PyTuple_Pack(2, domain.get(node), op.get(node));
    if (pair == nullptr) throw py::error_already_set();
    return pair;
  }

  static void add(PyObject* readers, PyObject* node) {
    int failed = 0;
    if (PyDict_Check(readers)) {
      failed = PyDict_SetItem(readers, node, Py_None);
    } else {
      const py::ssize_t count = PyList_GET_SIZE(readers);
      const bool known = count > 0 && PyList_GET_ITEM(readers, count - 1) == node;
      failed = known ? 0 : PyList_Append(readers, node);
    }
    if (failed != 0) throw py::error_already_set();
  }

  // The shape of a value of which every size is known by number or by name; else null.
  py::object shape_of(PyObject* value, const py::dict& shapes) const {
    py::object found;
    if (constant.get(value) != Py_None) {
      found = py::handle(constant.get(value)).attr("shape");
    } else {
      PyObject* known = look_up(shapes, value);
      found = py::reinterpret_borrow<py::object>(known != nullptr ? known : shape.get(value));
    }
    if (!PyTuple_Check(found.ptr())) return {};
    for (PyObject* dim : items(found.ptr())) {
      if (dim == Py_None) return {};
    }
    return found;
  }

  // The shape to which two known ones broadcast; null where it takes a closer look.
  static py::object broadcast(const py::object& a, const py::object& b) {
    if (a.is(b)) return a;
    const std::vector<PyObject*> left = items(a.ptr());
    const std::vector<PyObject*> right = items(b.ptr());
    const std::vector<PyObject*>& longer = left.size() < right.size() ? right : left;
    const std::vector<PyObject*>& shorter = left.size() < right.size() ? left : right;
    const size_t more = longer.size() - shorter.size();
    py::tuple made(longer.size());
    for (size_t i = 0; i < longer.size(); ++i) {
      PyObject* dim = longer[i];
      if (i >= more) {
        PyObject* other = shorter[i - more];
        const int same = PyObject_RichCompareBool(dim, other, Py_EQ);
        if (same < 0) throw py::error_already_set();
        if (same == 0 && !is_one(other)) {
          if (!is_one(dim)) return {};
          dim = other;
        }
      }
      Py_INCREF(dim);
      PyTuple_SET_ITEM(made.ptr(), static_cast<py::ssize_t>(i), dim);
    }
    return std::move(made);
  }

  // What was worked out, with the numbers that the model declares.
  static py::object merged(const py::object& found, PyObject* declared) {
    const std::vector<PyObject*> said = items(declared);
    const std::vector<PyObject*> known = items(found.ptr());
    if (said.size() != known.size() || said == known) return found;
    py::tuple made(known.size());
    for (size_t i = 0; i < known.size(); ++i) {
      PyObject* dim = PyLong_Check(said[i]) ? said[i] : known[i];
      Py_INCREF(dim);
      PyTuple_SET_ITEM(made.ptr(), static_cast<py::ssize_t>(i), dim);
    }
    return std::move(made);
  }

  static bool is_one(PyObject* dim) { return PyLong_Check(dim) && PyLong_AsLong(dim) == 1; }

  [[noreturn]] void cycle(PyObject* node) const {
    PyObject* called = name.get(node);
    if (PyObject_IsTrue(called) == 0) {
      called = value_name.get(need(items(node, outputs).at(0), value_type));
    }
    throw std::invalid_argument("the graph has a cycle through node '" +
                                py::str(py::handle(called)).cast<std::string>() + "'");
  }
};

}  // namespace

void bind_graph(py::module_& module) {
  py::class_<GraphWalks>(module, "GraphWalks",
                         "Walks over nodes and values, instances of these two classes.")
      .def(py::init<const py::type&, const py::type&>(), py::arg("node"), py::arg("value"))
      .def("readers", &GraphWalks::readers, py::arg("nodes"), py::arg("as_dicts"))
      .def("order", &GraphWalks::order, py::arg("nodes"), py::arg("roots"))
      .def("names", &GraphWalks::names, py::arg("nodes"), py::arg("taken"))
      .def("surroundings", &GraphWalks::surroundings, py::arg("node"), py::arg("members"),
           py::arg("others"))
      .def("settle", &GraphWalks::settle, py::arg("node"), py::arg("shapes"), py::arg("rules"),
           py::arg("with_types"))
      .def("in_order", &GraphWalks::in_order, py::arg("nodes"));
}

}  // namespace pycompress
