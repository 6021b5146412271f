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
static inline int is_node(PyObject *x) { return PyObject_TypeCheck(x, &NodeType); }

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

/* The place that the user's code has reached, as a pair (code, offset), or "?". */
static PyObject *user_place(void) {
    PyFrameObject *frame = (PyFrameObject *)Py_XNewRef((PyObject *)PyEval_GetFrame());
    PyObject *found = NULL;
    while (frame && !found) {
        PyCodeObject *code = PyFrame_GetCode(frame);
        PyObject *users = PyObject_GetItem(known.users, code->co_filename);
        if (users == Py_True) found = Py_BuildValue("Oi", code, PyFrame_GetLasti(frame));
        Py_DECREF(code);
        PyFrameObject *back = users ? PyFrame_GetBack(frame) : NULL;
        Py_XDECREF(users), Py_DECREF(frame);
        frame = back;
    }
    Py_XDECREF(frame);
    return found || PyErr_Occurred() ? found : PyUnicode_FromString("?");
}

/* A node without its operands, with the group and the place where these are kept. */
static Node *new_node(PyObject *rule, double y) {
    Node *node = (Node *)((PyTypeObject *)known.value)->tp_alloc((PyTypeObject *)known.value, 0);
    if (!node) return NULL;
    node->data = y, node->rule = Py_NewRef(rule);
    if (!PySet_GET_SIZE(known.grouped) && !PySet_GET_SIZE(known.sited)) return node;
    PyObject *group = PyObject_CallNoArgs(known.current_group), *place = group && PySet_GET_SIZE(known.sited) ? user_place() : NULL;
    if (place) node->note = PyTuple_Pack(3, Py_None, place, group);
    else if (group && group != Py_None) node->note = Py_NewRef(group);
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

static inline Node *operand_at(const Node *node, int64_t n) {
    PyObject *x = node->a ? (n ? node->b : node->a) : PyTuple_GET_ITEM(node->b, n);
    return is_node(x) ? (Node *)x : NULL;
}

static inline double local_at(const Node *node, int64_t n) {
    if (!node->a) return node->slot[DB].many[n];
    const int which = n ? DB : DA;
    return node->kind[which] == NUMBER ? node->slot[which].d : PyFloat_AsDouble(node->slot[which].o);
}

/* Adds the gradient of this pass to what is there. */
static int keep_gradient(Node *node) {
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

/* Kahn's algorithm as in backward.py: the order in *ready, the gradients of this pass in the nodes. */
static int sweep(Node *root, int keep, Nodes *ready) {
    Nodes reached = {0};
    int failed = append(&reached, root);
    for (int64_t n = 0; n < reached.n && !failed; n++) {
        Node *node = reached.at[n];
        for (int64_t i = 0; i < operands_of(node) && !failed; i++) {
            Node *operand = operand_at(node, i);
            if (!operand) continue;
            if (operand->pending++) continue;
            slot_clear(operand, UPSTREAM);
            operand->slot[UPSTREAM].d = 0.0, operand->kind[UPSTREAM] = NUMBER;
            failed = append(&reached, operand);
        }
    }
    slot_clear(root, UPSTREAM);
    root->slot[UPSTREAM].d = 1.0, root->kind[UPSTREAM] = NUMBER;
    failed = failed || append(ready, root);
    for (int64_t n = 0; n < ready->n && !failed; n++) {
        Node *node = ready->at[n];
        if (keep && (failed = keep_gradient(node))) break;
        const double upstream = node->slot[UPSTREAM].d;
        for (int64_t i = operands_of(node) - 1; i >= 0 && !failed; i--) {
            Node *operand = operand_at(node, i);
            if (!operand) continue;
            operand->slot[UPSTREAM].d += upstream * local_at(node, i);
            if (!--operand->pending) failed = append(ready, operand);
        }
        if (!node->a && node->kind[DB] == NONE && node->b == Py_False) slot_clear(node, GRAD);
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

/* order(root): all that it was computed from, in the order of a backward pass, whose gradients stay in them. */
static PyObject *node_order(PyObject *module, PyObject *root) {
    (void)module;
    if (!is_node(root)) return refused(root);
    Nodes ready = {0};
    PyObject *made = sweep((Node *)root, 0, &ready) ? NULL : listed(&ready);
    PyMem_Free(ready.at);
    return made;
}

/* _pass(): a backward pass; False where there is nothing to differentiate. */
static PyObject *node_pass(PyObject *self, PyObject *unused) {
    (void)unused;
    Node *root = (Node *)self, *last;
    if (!root->rule && root->b) Py_RETURN_FALSE;
    Nodes ready = {0};
    PyObject *done = sweep(root, 1, &ready) ? NULL : Py_NewRef(Py_True);
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
static int put(PyObject *array, int64_t *n, const void *number) {
    if ((*n + 1) * 8 > PyByteArray_GET_SIZE(array) && PyByteArray_Resize(array, (Py_ssize_t)(*n * 16 + 512))) return -1;
    memcpy(PyByteArray_AS_STRING(array) + 8 * (*n)++, number, 8);
    return 0;
}

/* reached(roots): the nodes, breadth first, and of each the last operand first: args, local, consts, widths as bytes. */
static PyObject *node_reached(PyObject *module, PyObject *roots) {
    (void)module;
    enum { ARGS, LOCAL, CONSTS, WIDTHS, ARRAYS };
    Nodes reached = {0};
    PyObject *array[ARRAYS] = {NULL}, *made = NULL;
    int64_t n[ARRAYS] = {0};
    const int64_t none = -1;
    int failed = !PyList_Check(roots);
    for (int k = 0; k < ARRAYS; k++) failed |= !(array[k] = PyByteArray_FromStringAndSize(NULL, 0));
    for (Py_ssize_t k = 0; k < PyList_GET_SIZE(roots) && !failed; k++) {
        Node *root = (Node *)PyList_GET_ITEM(roots, k);
        if (!is_node((PyObject *)root)) Py_XDECREF(refused((PyObject *)root)), failed = 1;
        else if (!root->pending) failed = append(&reached, root), root->pending = (int32_t)reached.n;
    }
    for (int64_t k = 0; k < reached.n && !failed; k++) {
        Node *node = reached.at[k];
        const int64_t count = node->a ? 1 + (node->b != NULL) : node->kind[DB] == MANY ? width(node) : 0;
        if (!node->a && count) failed = put(array[WIDTHS], &n[WIDTHS], &count);
        for (int64_t i = count - 1; i >= 0 && !failed; i--) {
            PyObject *x = node->a ? (i ? node->b : node->a) : PyTuple_GET_ITEM(node->b, i);
            if (!is_node(x)) {
                const double number = PyFloat_AsDouble(x);
                failed = PyErr_Occurred() || put(array[ARGS], &n[ARGS], &none) || put(array[CONSTS], &n[CONSTS], &number);
                continue;
            }
            Node *operand = (Node *)x;
            if (!operand->pending) failed = append(&reached, operand), operand->pending = (int32_t)reached.n;
            const int64_t place = operand->pending - 1;
            const double local = local_at(node, i);
            failed = failed || put(array[ARGS], &n[ARGS], &place) || put(array[LOCAL], &n[LOCAL], &local);
        }
    }
    for (int64_t k = 0; k < reached.n; k++) reached.at[k]->pending = 0;
    for (int k = 0; k < ARRAYS && !failed; k++) failed = PyByteArray_Resize(array[k], (Py_ssize_t)n[k] * 8);
    if (!failed && (made = listed(&reached))) made = Py_BuildValue("NOOOO", made, array[0], array[1], array[2], array[3]);
    for (int k = 0; k < ARRAYS; k++) Py_XDECREF(array[k]);
    PyMem_Free(reached.at);
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
    {"order", node_order, METH_O, NULL},
    {"reached", node_reached, METH_O, NULL},
    {NULL, NULL, 0, NULL}};

int add_node_type(PyObject *module) {
    NodeType.tp_new = PyBaseObject_Type.tp_new;
    /* these are operators, and no methods */
    return PyType_Ready(&NodeType) || PyDict_DelItemString(NodeType.tp_dict, "neg") || PyDict_DelItemString(NodeType.tp_dict, "abs") || PyModule_AddFunctions(module, functions) ||
           PyModule_AddObjectRef(module, "Node", (PyObject *)&NodeType);
}
