/* What a Value is made of, its operators and the backward pass: what Python does, in C.

   The Python class of what a person sees stands on this type and adds no slot of its own. Whatever is unusual (an
   operand of another kind, an operation without a result, code inside no_grad()) goes to the functions of Python that
   handle it, so that nothing is decided here. A node is not tracked by the collector, since a graph holds no cycle, and
   is freed without recursion. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>

#include "machine.h"
#include "single.h"

/* A number or something else: None, a float, any object, or the local derivatives in many operands. */
enum { NONE, NUMBER, OBJECT, MANY };
typedef union {
    double d;
    double *many;
    PyObject *o;
} Slot;
enum { GRAD, DA, DB, UPSTREAM, SLOTS };

typedef struct {
    PyObject_HEAD
    double data;
    Slot slot[SLOTS];
    PyObject *rule, *a, *b, *note; /* NULL is None */
    int32_t pending;               /* one more than the number; 0 is None */
    uint8_t kind[SLOTS];
} Node;

/* What Python has to be asked for. */
static struct {
    PyObject *value, *record, *foreign, *begin, *gradient_of, *passed, *refuse; /* the class, and functions */
    PyObject *special, *sited, *grouped;                                        /* sets that are empty as a rule */
    PyObject *current_group, *users, *rules, *swapped;
} known;
static PyTypeObject NodeType;

static inline int is_value(PyObject *x) { return (PyObject *)Py_TYPE(x) == known.value; }
/* The usual kinds first: to ask for a subclass takes a call. */
static inline int is_node(PyObject *x) { return is_value(x) || (!PyFloat_CheckExact(x) && PyObject_TypeCheck(x, &NodeType)); }

/* --------------------------------------------------------------------------------------------------- the fields */
static int64_t width(const Node *node) { return node->b && PyTuple_Check(node->b) ? PyTuple_GET_SIZE(node->b) : 0; }

static PyObject *slot_get(Node *self, void *at) {
    const int n = (int)(intptr_t)at;
    const Slot slot = self->slot[n];
    if (self->kind[n] == NUMBER) return PyFloat_FromDouble(slot.d);
    if (self->kind[n] == OBJECT) return Py_NewRef(slot.o);
    if (self->kind[n] == NONE) Py_RETURN_NONE;
    PyObject *made = PyTuple_New(width(self));
    for (Py_ssize_t i = 0; made && i < PyTuple_GET_SIZE(made); i++) {
        PyObject *each = is_node(PyTuple_GET_ITEM(self->b, i)) ? PyFloat_FromDouble(slot.many[i]) : Py_NewRef(Py_None);
        if (!each) Py_CLEAR(made);
        else PyTuple_SET_ITEM(made, i, each);
    }
    return made;
}

static void slot_clear(Node *self, int n) {
    const Slot slot = self->slot[n];
    const int kind = self->kind[n];
    self->kind[n] = NONE;
    if (kind == OBJECT) Py_DECREF(slot.o);
    if (kind == MANY) PyMem_Free(slot.many);
}

static int slot_set(Node *self, PyObject *x, void *at) {
    const int n = (int)(intptr_t)at;
    Slot made = {.o = x};
    int kind = !x || x == Py_None ? NONE : PyFloat_CheckExact(x) ? NUMBER : OBJECT;
    if (kind == NUMBER) made.d = PyFloat_AS_DOUBLE(x);
    if (n == DB && kind == OBJECT && PyTuple_Check(x) && PyTuple_GET_SIZE(x) == width(self)) {
        kind = MANY, made.many = PyMem_Malloc((size_t)(width(self) + 1) * 8);
        if (!made.many) return PyErr_NoMemory(), -1;
        for (int64_t i = 0; i < width(self); i++)
            made.many[i] = PyTuple_GET_ITEM(x, i) == Py_None ? 0.0 : PyFloat_AsDouble(PyTuple_GET_ITEM(x, i));
        if (PyErr_Occurred()) return PyMem_Free(made.many), -1;
    }
    if (kind == OBJECT) Py_INCREF(x);
    slot_clear(self, n);
    self->slot[n] = made, self->kind[n] = (uint8_t)kind;
    return 0;
}

static PyObject *object_get(Node *self, void *at) {
    PyObject *found = *(PyObject **)((char *)self + (intptr_t)at);
    return Py_NewRef(found ? found : Py_None);
}

static int object_set(Node *self, PyObject *x, void *at) {
    PyObject **place = (PyObject **)((char *)self + (intptr_t)at), *before = *place;
    *place = !x || x == Py_None ? NULL : Py_NewRef(x);
    Py_XDECREF(before);
    return 0;
}

static PyObject *data_get(Node *self, void *unused) { return (void)unused, PyFloat_FromDouble(self->data); }

static int data_set(Node *self, PyObject *x, void *unused) {
    (void)unused;
    const double data = x ? PyFloat_AsDouble(x) : 0.0;
    if (!x || PyErr_Occurred()) return -1;
    self->data = data;
    return 0;
}

static PyObject *pending_get(Node *self, void *unused) {
    (void)unused;
    if (!self->pending) Py_RETURN_NONE;
    return PyLong_FromLong(self->pending - 1);
}

static int pending_set(Node *self, PyObject *x, void *unused) {
    (void)unused;
    const long number = x && x != Py_None ? PyLong_AsLong(x) : -1;
    if (PyErr_Occurred()) return -1;
    self->pending = (int32_t)(number + 1);
    return 0;
}

/* -------------------------------------------------------------------------------- how it begins, and how it ends */
/* Value(number) and Value(number, name) begin here, all else in Python. */
static int node_init(PyObject *self, PyObject *positional, PyObject *named) {
    const Py_ssize_t count = PyTuple_GET_SIZE(positional);
    Node *node = (Node *)self;
    if (!named && count && count <= 2 && PyFloat_CheckExact(PyTuple_GET_ITEM(positional, 0)) && !node->rule && !node->b && !node->note) {
        PyObject *name = count == 2 ? PyTuple_GET_ITEM(positional, 1) : NULL;
        if (!name || name == Py_None || PyUnicode_CheckExact(name)) {
            node->data = PyFloat_AS_DOUBLE(PyTuple_GET_ITEM(positional, 0));
            if (name && name != Py_None) Py_XSETREF(node->note, Py_NewRef(name));
            return 0;
        }
    }
    PyObject *begin = PyObject_GetAttr(self, known.begin);
    PyObject *done = begin ? PyObject_Call(begin, positional, named) : NULL;
    Py_XDECREF(begin), Py_XDECREF(done);
    return done ? 0 : -1;
}

/* Operands whose last reference goes wait here, in a list through their upstream gradient. */
static Node *waiting;
static int freeing;

static void let_go(PyObject *x) {
    if (!x) return;
    if (Py_REFCNT(x) == 1 && is_node(x)) {
        slot_clear((Node *)x, UPSTREAM);
        ((Node *)x)->slot[UPSTREAM].o = (PyObject *)waiting;
        waiting = (Node *)x;
    } else
        Py_DECREF(x);
}

static void node_dealloc(PyObject *self) {
    Node *node = (Node *)self;
    PyObject *a = node->a, *b = node->b;
    for (int n = 0; n < SLOTS; n++) slot_clear(node, n);
    Py_CLEAR(node->rule);
    Py_CLEAR(node->note);
    node->a = node->b = NULL;
    Py_TYPE(self)->tp_free(self);
    let_go(a);
    if (b && PyTuple_CheckExact(b) && Py_REFCNT(b) == 1)
        for (Py_ssize_t n = 0; n < PyTuple_GET_SIZE(b); n++) {
            PyObject *each = PyTuple_GET_ITEM(b, n);
            PyTuple_SET_ITEM(b, n, NULL);
            let_go(each);
        }
    if (b && PyTuple_CheckExact(b)) Py_DECREF(b);
    else let_go(b);
    if (freeing) return;
    freeing = 1;
    while (waiting) {
        Node *next = waiting;
        waiting = (Node *)next->slot[UPSTREAM].o;
        Py_DECREF(next);
    }
    freeing = 0;
}

/* ---------------------------------------------------------------------------------- the rows, read as local derivatives */
#define A(place) a[place]
#define E(place) a[(place) + e]
#define PASS(place, x) d[place] = (x);
#define PASS_IF(place, c, x, z) d[place] = (c) ? (x) : (z);
#define PASS_EACH(place, x) for (int64_t e = 0; e < len; e++) d[(place) + e] = (x);
#define VALUE(name) static inline double value_##name(const double *a, int64_t len, double *kept, int *bad)
#define SLOPE(name, n) \
    static inline void slope_##name##_##n(const double *a, double *d, int64_t len, double *kept, double y, int *bad)
#define SLOPES(name) \
    static inline void slopes_##name(const double *a, double *d, int64_t len, double *kept, double y, int *bad, int takes)
#define TAKES(name, n) \
    if (takes >> n & 1) slope_##name##_##n(a, d, len, kept, y, bad);
#include "rows.h"

static PyObject *rule_of(int op) { return PyList_GET_ITEM(known.rules, op); }

/* The notes of places in the user's code, (None, (code, offset), None): what is recorded there again takes the same. */
static PyObject *places[1024];

/* The note of the place that the user's code has reached; a new reference. */
static PyObject *place_note(void) {
    PyFrameObject *frame = (PyFrameObject *)Py_XNewRef((PyObject *)PyEval_GetFrame());
    PyObject *found = NULL;
    while (frame && !found) {
        PyCodeObject *code = PyFrame_GetCode(frame);
        PyObject *users = Py_XNewRef(PyDict_GetItemWithError(known.users, code->co_filename));
        if (!users) users = PyObject_GetItem(known.users, code->co_filename); /* a file that is new to it */
        if (users == Py_True) {
            const int offset = PyFrame_GetLasti(frame);
            PyObject **kept = &places[((uintptr_t)code >> 5 ^ (uintptr_t)offset >> 1) % 1024], *place = *kept ? PyTuple_GET_ITEM(*kept, 1) : NULL;
            if (!place || PyTuple_GET_ITEM(place, 0) != (PyObject *)code || PyLong_AsLong(PyTuple_GET_ITEM(place, 1)) != offset)
                Py_XSETREF(*kept, Py_BuildValue("O(Oi)O", Py_None, code, offset, Py_None));
            found = Py_XNewRef(*kept);
        }
        Py_DECREF(code);
        PyFrameObject *back = users && !found ? PyFrame_GetBack(frame) : NULL;
        Py_XDECREF(users), Py_DECREF(frame);
        frame = back;
    }
    Py_XDECREF(frame);
    return found || PyErr_Occurred() ? found : Py_BuildValue("OsO", Py_None, "?", Py_None);
}

/* A node without its operands, with the group and the place where these are kept. */
static inline Node *new_node(PyObject *rule, double y) {
    Node *node = (Node *)((PyTypeObject *)known.value)->tp_alloc((PyTypeObject *)known.value, 0);
    if (!node) return NULL;
    node->data = y, node->rule = Py_NewRef(rule);
    const int grouped = PySet_GET_SIZE(known.grouped) > 0, sited = PySet_GET_SIZE(known.sited) > 0;
    if (!grouped && !sited) return node;
    PyObject *group = grouped ? PyObject_CallNoArgs(known.current_group) : NULL, *place = sited && !PyErr_Occurred() ? place_note() : NULL;
    if (group == Py_None) Py_CLEAR(group);
    if (place && group) node->note = PyTuple_Pack(3, Py_None, PyTuple_GET_ITEM(place, 1), group);
    else node->note = Py_XNewRef(place ? place : group);
    Py_XDECREF(group), Py_XDECREF(place);
    if (PyErr_Occurred()) Py_CLEAR(node);
    return node;
}

static PyObject *recorded(int op, PyObject *first, PyObject *second) {
    PyObject *given = second ? PyTuple_Pack(2, first, second) : PyTuple_Pack(1, first);
    PyObject *made = given ? PyObject_CallFunctionObjArgs(known.record, rule_of(op), given, NULL) : NULL;
    Py_XDECREF(given);
    return made;
}

typedef double ValueOf(const double *, int64_t, double *, int *);
typedef void SlopesOf(const double *, double *, int64_t, double *, double, int *, int);

static inline __attribute__((always_inline)) PyObject *unary(int op, PyObject *self, ValueOf *value, SlopesOf *slopes) {
    const double a[1] = {((Node *)self)->data};
    double d[1], kept[1];
    int bad = 0;
    const double y = value(a, 0, kept, &bad);
    if (!bad) slopes(a, d, 0, kept, y, &bad, 1);
    if (bad || PySet_GET_SIZE(known.special)) return recorded(op, self, NULL);
    Node *node = new_node(rule_of(op), y);
    if (!node) return NULL;
    node->a = Py_NewRef(self), node->slot[DA].d = d[0], node->kind[DA] = NUMBER;
    return (PyObject *)node;
}

/* The number of an operand; 0 for a Value, 1 for a literal, -1 for what Python has to look at. */
static inline int operand(PyObject *x, double *number) {
    if (is_value(x)) return *number = ((Node *)x)->data, 0;
    if (PyFloat_CheckExact(x)) return *number = PyFloat_AS_DOUBLE(x), 1;
    if (!PyLong_CheckExact(x)) return -1;
    *number = PyLong_AsDouble(x);
    if (*number == -1.0 && PyErr_Occurred()) return PyErr_Clear(), -1;
    return 1;
}

static inline __attribute__((always_inline)) PyObject *binary(int op, PyObject *left, PyObject *right, ValueOf *value, SlopesOf *slopes) {
    double a[2], d[2], kept[1];
    const int turned = !is_node(left);
    PyObject *self = turned ? right : left, *other = turned ? left : right;
    const int literal = operand(other, a + !turned);
    if (literal < 0 || (turned && !literal))
        return PyObject_CallFunctionObjArgs(known.foreign, rule_of(op), self, other, turned ? Py_True : Py_False, NULL);
    a[turned] = ((Node *)self)->data;
    int bad = 0;
    const double y = value(a, 0, kept, &bad);
    if (!bad) slopes(a, d, 0, kept, y, &bad, turned ? 2 : literal ? 1 : 3);
    if (bad || PySet_GET_SIZE(known.special)) return recorded(op, left, right);
    Node *node = new_node(turned ? PyList_GET_ITEM(known.swapped, op) : rule_of(op), y);
    if (!node) return NULL;
    node->a = Py_NewRef(self), node->b = Py_NewRef(other);
    node->slot[DA].d = d[turned], node->kind[DA] = NUMBER;
    if (!literal) node->slot[DB].d = d[1], node->kind[DB] = NUMBER;
    return (PyObject *)node;
}

/* Each row of one argument as a method, each of two as an operator. */
#define OF_1_0(name) \
    static PyObject *unary_##name(PyObject *self) { return unary(ROW_##name, self, value_##name, slopes_##name); } \
    static PyObject *method_##name(PyObject *self, PyObject *unused) { return (void)unused, unary_##name(self); }
#define OF_2_0(name) \
    static PyObject *binary_##name(PyObject *a, PyObject *b) { return binary(ROW_##name, a, b, value_##name, slopes_##name); }
#define OF_3_0(name)
#define OF_0_1(name)
#define OF_0_2(name)
#define OF_1_1(name)
#define OF_1_2(name)
#define ROW_OF(name, singles, lists, may_fail) OF_##singles##_##lists(name)
ROWS(ROW_OF)

static PyObject *power(PyObject *a, PyObject *b, PyObject *modulus) {
    if (modulus == Py_None) return binary_pow(a, b);
    return PyErr_Format(PyExc_TypeError, "Value.__pow__() takes 2 positional arguments but 3 were given");
}

/* ------------------------------------------------------------------------------------ a row of any number of arguments */
static int number_of(PyObject *rule) {
    for (Py_ssize_t n = 0; n < PyList_GET_SIZE(known.rules); n++)
        if (PyList_GET_ITEM(known.rules, n) == rule) return (int)n;
    return -1;
}

static double computed(int op, const double *a, double *d, int64_t len, double *kept, int takes, int *bad) {
    double y = 0.0;
    switch (op) {
#define CASE(name, singles, lists, may_fail) \
    case ROW_##name: \
        y = value_##name(a, len, kept, bad); \
        if (!*bad) slopes_##name(a, d, len, kept, y, bad, takes); \
        break;
        ROWS(CASE)
#undef CASE
    }
    return y;
}

/* The operands one after the other: those of each list, then the single ones. NULL for what Python has to look at. */
static PyObject *flattened(PyObject *arguments, int lists, int64_t len) {
    const Py_ssize_t singles = PyTuple_GET_SIZE(arguments) - lists;
    PyObject *made = PyTuple_New(lists * len + singles);
    for (Py_ssize_t n = 0; made && n < lists * len; n++)
        PyTuple_SET_ITEM(made, n, Py_NewRef(PyList_GET_ITEM(PyTuple_GET_ITEM(arguments, n / len), n % len)));
    for (Py_ssize_t n = 0; made && n < singles; n++)
        PyTuple_SET_ITEM(made, lists * len + n, Py_NewRef(PyTuple_GET_ITEM(arguments, lists + n)));
    return made;
}

/* record(rule, arguments): the node; None where Python has to look at it. */
static PyObject *node_record(PyObject *module, PyObject *const *given, Py_ssize_t count) {
    (void)module;
    const int op = count == 2 && PyTuple_CheckExact(given[1]) && !PySet_GET_SIZE(known.special) ? number_of(given[0]) : -1;
    if (op < 0 || PyTuple_GET_SIZE(given[1]) != widths[op][0] + widths[op][1]) Py_RETURN_NONE;
    const int lists = widths[op][1];
    for (int n = 0; n < lists; n++)
        if (!PyList_CheckExact(PyTuple_GET_ITEM(given[1], n))) Py_RETURN_NONE;
    const int64_t len = lists ? PyList_GET_SIZE(PyTuple_GET_ITEM(given[1], 0)) : 0;
    for (int n = 1; n < lists; n++)
        if (PyList_GET_SIZE(PyTuple_GET_ITEM(given[1], n)) != len) Py_RETURN_NONE;
    if (lists && !len) Py_RETURN_NONE;
    PyObject *operands = flattened(given[1], lists, len);
    if (!operands) return NULL;
    const int64_t whole = PyTuple_GET_SIZE(operands);
    double *d = PyMem_Calloc((size_t)(3 * whole + 1), 8), *a = d + whole, *kept = a + whole;
    int takes = 0, bad = !d;
    for (int64_t n = 0; n < whole && !bad; n++) {
        const int literal = operand(PyTuple_GET_ITEM(operands, n), a + n);
        if (!literal) takes |= 1 << (n < lists * len ? n / len : n - lists * len + lists);
        bad |= literal < 0 || (literal && !PyFloat_CheckExact(PyTuple_GET_ITEM(operands, n)));
    }
    const double y = bad || !takes ? 0.0 : computed(op, a, d, len, kept, takes, &bad);
    Node *node = NULL;
    if (!bad && takes) {
        PyObject *first = PyTuple_GET_ITEM(operands, 0), *second = whole == 2 ? PyTuple_GET_ITEM(operands, 1) : NULL;
        const int many = lists || whole > 2, turned = !many && !is_node(first);
        node = new_node(turned ? PyList_GET_ITEM(known.swapped, op) : rule_of(op), y);
        if (node && many) {
            node->b = Py_NewRef(operands), node->kind[DB] = MANY;
            node->slot[DB].many = PyMem_Malloc((size_t)whole * 8 + 1);
            if (node->slot[DB].many) memcpy(node->slot[DB].many, d, (size_t)whole * 8);
            else node->kind[DB] = NONE, PyErr_NoMemory();
        } else if (node) {
            node->a = Py_NewRef(turned ? second : first), node->b = Py_XNewRef(turned ? first : second);
            node->slot[DA].d = d[turned], node->kind[DA] = NUMBER;
            if (second && is_node(first) && is_node(second)) node->slot[DB].d = d[1], node->kind[DB] = NUMBER;
        }
    }
    PyMem_Free(d), Py_DECREF(operands);
    if (PyErr_Occurred()) {
        Py_XDECREF(node);
        return NULL;
    }
    return node ? (PyObject *)node : Py_NewRef(Py_None);
}

/* --------------------------------------------------------------------------------------------- the backward pass */
typedef struct {
    Node **at;
    int64_t n, room;
} Nodes;

static int append(Nodes *to, Node *node) {
    if (to->n == to->room) {
        Node **made = PyMem_Realloc(to->at, (size_t)(2 * to->room + 64) * sizeof *made);
        if (!made) return PyErr_NoMemory(), -1;
        to->at = made, to->room = 2 * to->room + 64;
    }
    to->at[to->n++] = node;
    return 0;
}

/* How many operands a node has that take a gradient or may, and the one at a place; NULL for a literal. */
static inline int64_t operands_of(const Node *node) {
    return node->a ? 1 + (node->kind[DB] != NONE) : node->kind[DB] == MANY ? width(node) : 0;
}

static inline PyObject *object_at(const Node *node, int64_t n) {
    return node->a ? (n ? node->b : node->a) : PyTuple_GET_ITEM(node->b, n);
}

static inline Node *operand_at(const Node *node, int64_t n) {
    PyObject *x = object_at(node, n);
    return is_node(x) ? (Node *)x : NULL;
}

static inline double local_at(const Node *node, int64_t n) {
    if (!node->a) return node->slot[DB].many[n];
    const int which = n ? DB : DA;
    return node->kind[which] == NUMBER ? node->slot[which].d : PyFloat_AsDouble(node->slot[which].o);
}

/* Adds the gradient of this pass to what is there; a frozen leaf has none. */
static int keep_gradient(Node *node) {
    if (!node->a && node->b == Py_False) return slot_clear(node, GRAD), 0;
    double before = node->kind[GRAD] == NUMBER ? node->slot[GRAD].d : 0.0;
    const int first = node->kind[GRAD] == NONE;
    if (node->kind[GRAD] == OBJECT) {
        PyObject *number = PyObject_CallOneArg(known.gradient_of, (PyObject *)node);
        before = number ? PyFloat_AsDouble(number) : 0.0;
        Py_XDECREF(number);
        if (PyErr_Occurred()) return -1;
        slot_clear(node, GRAD);
    }
    const double now = node->slot[UPSTREAM].d;
    node->slot[GRAD].d = first ? now : before + now;
    node->kind[GRAD] = NUMBER;
    return 0;
}

/* How far a sweep goes: the order alone, the gradients of a pass in the nodes, these added to what is there. */
enum { ORDER, UPSTREAMS, GRADIENTS };

static void upstream_set(Node *node, double number) {
    slot_clear(node, UPSTREAM);
    node->slot[UPSTREAM].d = number, node->kind[UPSTREAM] = NUMBER;
}

/* Kahn's algorithm as in backward.py: the order in *ready. */
static int sweep(Node *root, int far, Nodes *ready) {
    Nodes reached = {0};
    int failed = append(&reached, root);
    for (int64_t n = 0; n < reached.n && !failed; n++) {
        Node *node = reached.at[n];
        for (int64_t i = 0; i < operands_of(node) && !failed; i++) {
            Node *operand = operand_at(node, i);
            if (!operand || operand->pending++) continue;
            if (far) upstream_set(operand, 0.0);
            failed = append(&reached, operand);
        }
    }
    if (far) upstream_set(root, 1.0);
    failed = failed || append(ready, root);
    for (int64_t n = 0; n < ready->n && !failed; n++) {
        Node *node = ready->at[n];
        if (far == GRADIENTS && (failed = keep_gradient(node))) break;
        const double upstream = far ? node->slot[UPSTREAM].d : 0.0;
        for (int64_t i = operands_of(node) - 1; i >= 0 && !failed; i--) {
            Node *operand = operand_at(node, i);
            if (!operand) continue;
            if (far) operand->slot[UPSTREAM].d += upstream * local_at(node, i);
            if (!--operand->pending) failed = append(ready, operand);
        }
    }
    for (int64_t n = 0; n < reached.n && failed; n++) reached.at[n]->pending = 0;
    PyMem_Free(reached.at);
    return failed || PyErr_Occurred() ? -1 : 0;
}

static PyObject *listed(const Nodes *nodes) {
    PyObject *made = PyList_New(nodes->n);
    for (int64_t n = 0; made && n < nodes->n; n++) PyList_SET_ITEM(made, n, Py_NewRef((PyObject *)nodes->at[n]));
    return made;
}

static PyObject *refused(PyObject *x) { return PyObject_CallOneArg(known.refuse, x); }

/* order(root, gradients): all that it was computed from, in the order of a backward pass; its gradients stay in them. */
static PyObject *node_order(PyObject *module, PyObject *given) {
    (void)module;
    PyObject *root;
    int gradients;
    if (!PyArg_ParseTuple(given, "Op", &root, &gradients)) return NULL;
    if (!is_node(root)) return refused(root);
    Nodes ready = {0};
    PyObject *made = sweep((Node *)root, gradients ? UPSTREAMS : ORDER, &ready) ? NULL : listed(&ready);
    PyMem_Free(ready.at);
    return made;
}

/* _pass(): a backward pass; False where there is nothing to differentiate. */
static PyObject *node_pass(PyObject *self, PyObject *unused) {
    (void)unused;
    Node *root = (Node *)self, *last;
    if (!root->rule && root->b) Py_RETURN_FALSE;
    Nodes ready = {0};
    PyObject *done = sweep(root, GRADIENTS, &ready) ? NULL : Py_NewRef(Py_True);
    /* a new graph on a leaf that has been in a pass before */
    if (done && root->slot[GRAD].d == 1.0 && (last = ready.at[ready.n - 1])->kind[GRAD] == NUMBER &&
        last->slot[GRAD].d != last->slot[UPSTREAM].d) {
        PyObject *order = listed(&ready), *told = order ? PyObject_CallOneArg(known.passed, order) : NULL;
        Py_XDECREF(order), Py_XDECREF(told);
        if (!told) Py_CLEAR(done);
    }
    PyMem_Free(ready.at);
    return done;
}

/* ---------------------------------------------------------------------------------------------- the columns of a graph */
enum { OP, FIRST, ARGS, CONSTS, DATA, LOCAL, GRADS, KNOWN, NEEDS, COLUMNS };

/* The number of a row among those that came before; a new one is put behind them. */
static int64_t among(PyObject *rules, PyObject *rule) {
    if (PyTuple_Check(rule)) rule = PyTuple_GET_ITEM(rule, 0); /* Swapped */
    Py_ssize_t n = 0;
    while (n < PyList_GET_SIZE(rules) && PyList_GET_ITEM(rules, n) != rule) n++;
    return n == PyList_GET_SIZE(rules) && PyList_Append(rules, rule) ? -1 : n;
}

/* Operands are counted with literals, in the order of the formula: one on the left stands in b. */
static inline int64_t operands_in_all(const Node *node) { return node->a ? 1 + (node->b != NULL) : operands_of(node); }

static inline int64_t in_order(const Node *node, int64_t n) { return node->rule && PyTuple_Check(node->rule) ? 1 - n : n; }

/* The columns of nodes that are numbered in `pending`, and their notes by number. */
static int fill(PyObject *values, PyObject *rules, PyObject *notes, char *const *to) {
    int64_t *op = (int64_t *)to[OP], *first = (int64_t *)to[FIRST], *args = (int64_t *)to[ARGS], literals = 0;
    double *consts = (double *)to[CONSTS], *data = (double *)to[DATA], *local = (double *)to[LOCAL], *grad = (double *)to[GRADS];
    *first = 0;
    for (Py_ssize_t n = 0; n < PyTuple_GET_SIZE(values); n++) {
        const Node *node = (Node *)PyTuple_GET_ITEM(values, n);
        op[n] = node->rule ? among(rules, node->rule) : -1;
        data[n] = node->data;
        grad[n] = node->kind[GRAD] == NUMBER ? node->slot[GRAD].d : Py_NAN;
        to[KNOWN][n] = node->kind[GRAD] != NONE;
        to[NEEDS][n] = node->rule || !node->b;
        first[n + 1] = first[n] + operands_in_all(node);
        for (int64_t k = first[n]; k < first[n + 1]; k++) {
            const int64_t i = in_order(node, k - first[n]);
            const Node *operand = operand_at(node, i);
            if (operand) args[k] = operand->pending - 1, local[k] = local_at(node, i);
            else consts[literals++] = PyFloat_AsDouble(object_at(node, i)), args[k] = -literals, local[k] = Py_NAN;
        }
        PyObject *number = node->note ? PyLong_FromSsize_t(n) : NULL;
        if (number) PyDict_SetItem(notes, number, node->note), Py_DECREF(number);
    }
    return PyErr_Occurred() ? -1 : 0;
}

/* columns(above): of all that the operands of `above` were computed from: the values, operands first; the positions of
   these operands; rows; notes by position; and the columns as bytes. */
static PyObject *node_columns(PyObject *module, PyObject *above) {
    (void)module;
    enum { VALUES, PLACES, RULES, NOTES, HELD = NOTES + 1 + COLUMNS };
    Nodes ready = {0};
    PyObject *held[HELD] = {NULL}, *made = NULL;
    if (!is_node(above)) return refused(above);
    int failed = sweep((Node *)above, ORDER, &ready);
    const int64_t count = ready.n - 1, roots = operands_of((Node *)above);
    failed = failed || !(held[VALUES] = PyTuple_New(count)) || !(held[PLACES] = PyTuple_New(roots)) || !(held[RULES] = PyList_New(0)) ||
             !(held[NOTES] = PyDict_New());
    int64_t uses = 0, literals = 0;
    for (int64_t n = 0; n < count && !failed; n++) {
        Node *node = ready.at[count - n];
        PyTuple_SET_ITEM(held[VALUES], n, Py_NewRef((PyObject *)node));
        node->pending = (int32_t)(n + 1);
        for (int64_t i = operands_in_all(node) - 1; i >= 0; i--, uses++) literals += !operand_at(node, i);
    }
    const int64_t sizes[COLUMNS] = {8 * count, 8 * count + 8, 8 * uses, 8 * literals, 8 * count, 8 * uses, 8 * count, count, count};
    char *to[COLUMNS];
    for (int k = 0; k < COLUMNS && !failed; k++) {
        PyObject *column = held[NOTES + 1 + k] = PyBytes_FromStringAndSize(NULL, sizes[k]);
        failed = !column || !(to[k] = PyBytes_AS_STRING(column));
    }
    failed = failed || fill(held[VALUES], held[RULES], held[NOTES], to);
    for (int64_t k = 0; k < roots && !failed; k++)
        PyTuple_SET_ITEM(held[PLACES], k, PyLong_FromLong(operand_at((Node *)above, k)->pending - 1));
    for (int64_t n = 0; n < count; n++) ready.at[n + 1]->pending = 0;
    PyMem_Free(ready.at);
    for (int64_t n = 0; n < count && !failed; n++) { /* what somebody has put there: Python looks at it */
        Node *node = (Node *)PyTuple_GET_ITEM(held[VALUES], n);
        PyObject *number = node->kind[GRAD] == OBJECT ? PyObject_CallOneArg(known.gradient_of, (PyObject *)node) : NULL;
        if (number) ((double *)to[GRADS])[n] = PyFloat_AsDouble(number), Py_DECREF(number);
        failed = PyErr_Occurred() != NULL;
    }
    if (!failed && (made = PyTuple_New(HELD)))
        for (int k = 0; k < HELD; k++) PyTuple_SET_ITEM(made, k, Py_NewRef(held[k]));
    for (int k = 0; k < HELD; k++) Py_XDECREF(held[k]);
    return made;
}

/* ------------------------------------------------------------------------------------------------------------ the type */
/* The sweeps rely on this: the first operand is a node, and there are as many derivatives as operands. */
static int operand_set(Node *self, PyObject *x, void *at) {
    if ((intptr_t)at == offsetof(Node, b)) {
        if (self->kind[DB] == MANY && !(x && PyTuple_Check(x) && PyTuple_GET_SIZE(x) == width(self))) slot_clear(self, DB);
    } else if (x && x != Py_None && !is_node(x)) return PyErr_SetString(PyExc_TypeError, "the first operand of a Value is a Value"), -1;
    return object_set(self, x, at);
}

static PyNumberMethods numbers = {
    .nb_add = binary_add, .nb_subtract = binary_sub, .nb_multiply = binary_mul, .nb_true_divide = binary_div, .nb_power = power,
    .nb_negative = unary_neg, .nb_absolute = unary_abs,
};
static PyMethodDef node_methods[] = {
#define METHOD_1_0(name) {#name, method_##name, METH_NOARGS, NULL},
#define METHOD_2_0(name)
#define METHOD_3_0(name)
#define METHOD_0_1(name)
#define METHOD_0_2(name)
#define METHOD_1_2(name)
#define METHOD_OF(name, singles, lists, may_fail) METHOD_##singles##_##lists(name)
    ROWS(METHOD_OF)
    {"_pass", node_pass, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL}};
#define FIELD(name, get, set, at) {name, (getter)get, (setter)set, NULL, (void *)(intptr_t)(at)}
static PyGetSetDef node_fields[] = {
    FIELD("_data", data_get, data_set, 0), FIELD("grad", slot_get, slot_set, GRAD), FIELD("_da", slot_get, slot_set, DA),
    FIELD("_db", slot_get, slot_set, DB), FIELD("_upstream", slot_get, slot_set, UPSTREAM),
    FIELD("_rule", object_get, object_set, offsetof(Node, rule)), FIELD("_a", object_get, operand_set, offsetof(Node, a)),
    FIELD("_b", object_get, operand_set, offsetof(Node, b)), FIELD("_note", object_get, object_set, offsetof(Node, note)),
    FIELD("_pending", pending_get, pending_set, 0), {NULL, NULL, NULL, NULL, NULL}};
static PyTypeObject NodeType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "microbp.native._machine.Node",
    .tp_basicsize = sizeof(Node),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_doc = "The storage of a Value, its operators and its backward pass.",
    .tp_init = node_init,
    .tp_dealloc = node_dealloc,
    .tp_as_number = &numbers,
    .tp_methods = node_methods,
    .tp_getset = node_fields,
};

/* know(name=object, ...): what Python has to be asked for. */
static PyObject *know(PyObject *module, PyObject *positional, PyObject *named) {
    (void)module;
    static char *words[] = {"value", "record", "foreign", "begin", "gradient_of", "passed", "refuse", "special", "sited", "grouped",
                            "current_group", "users", "rules", "swapped", NULL};
    PyObject **at = &known.value;
    if (!PyArg_ParseTupleAndKeywords(positional, named, "OOOOOOOOOOOOO!O!", words, at, at + 1, at + 2, at + 3, at + 4, at + 5, at + 6,
                                     at + 7, at + 8, at + 9, at + 10, at + 11, &PyList_Type, at + 12, &PyList_Type, at + 13))
        return NULL;
    for (int n = 0; n < 14; n++) Py_INCREF(at[n]);
    /* Python tracks instances of every class of its own; there are none yet. */
    PyTypeObject *type = (PyTypeObject *)known.value;
    type->tp_flags &= ~(unsigned long)Py_TPFLAGS_HAVE_GC;
    type->tp_traverse = NULL, type->tp_clear = NULL, type->tp_free = PyObject_Free;
    PyType_Modified(type);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"know", (PyCFunction)(void (*)(void))know, METH_VARARGS | METH_KEYWORDS, NULL},
    {"record", (PyCFunction)(void (*)(void))node_record, METH_FASTCALL, NULL},
    {"order", node_order, METH_VARARGS, NULL},
    {"columns", node_columns, METH_O, NULL},
    {NULL, NULL, 0, NULL}};

int add_node_type(PyObject *module) {
    NodeType.tp_new = PyBaseObject_Type.tp_new;
    /* these are operators, and no methods */
    return PyType_Ready(&NodeType) || PyDict_DelItemString(NodeType.tp_dict, "neg") || PyDict_DelItemString(NodeType.tp_dict, "abs") || PyModule_AddFunctions(module, functions) ||
           PyModule_AddObjectRef(module, "Node", (PyObject *)&NodeType);
}
