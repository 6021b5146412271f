/* What a Value is made of, its operators and the backward pass: what Python does, in C.

   The Python class of what a person sees stands on this type and adds no slot of its own. Whatever is unusual (an
   operand of another kind, an operation without a result, code inside no_grad()) goes to the functions of Python that
   handle it, so that nothing is decided here. A node is not tracked by the collector, since a graph holds no cycle, and
   is freed without recursion. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>
#include <sys/mman.h>
#if PY_VERSION_HEX >> 16 == 0x030B
#define Py_BUILD_CORE /* for where a frame is; elsewhere it is asked for what everybody may know */
#include <internal/pycore_frame.h>
#undef Py_BUILD_CORE
#elif PY_VERSION_HEX < 0x030B0000
#include <frameobject.h>
#define PyFrame_GetLasti(frame) (2 * (frame)->f_lasti)
#endif

#include "machine.h"
#include "single.h"

/* A number or something else: None, a float, any object, or the local derivatives in many operands. */
enum { NONE, NUMBER, OBJECT, MANY };
typedef union {
    double d;
    double *many;
    PyObject *o;
    struct Node *next; /* in a list of nodes that nobody has */
} Slot;
enum { GRAD, DA, DB, UPSTREAM, SLOTS };

typedef struct Node {
    PyObject_HEAD
    double data;
    Slot slot[SLOTS];
    PyObject *rule, *a, *b, *note; /* NULL is None */
    int32_t pending;               /* one more than the number; 0 is None */
    uint8_t kind[SLOTS];
} Node;

/* What Python has to be asked for. */
static struct {
    PyObject *value, *record, *foreign, *begin, *gradient_of, *moved, *passed, *refuse; /* the class, and functions */
    PyObject *special, *sited, *grouped;                                        /* sets that are empty as a rule */
    PyObject *current, *group, *serial, *users, *rules, *swapped; /* the group that code is in, their class, a count of them */
} known;
static PyObject *words[3]; /* the attributes of a Neuron, as it asks for them: w, _activation, b */
static PyTypeObject NodeType;

static inline int is_value(PyObject *x) { return (PyObject *)Py_TYPE(x) == known.value; }
/* The usual kinds first: to ask for a subclass takes a call. */
static inline int is_node(PyObject *x) {
    return is_value(x) || (!PyFloat_CheckExact(x) && !PyLong_CheckExact(x) && PyObject_TypeCheck(x, &NodeType));
}

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
    } else if (kind == OBJECT && (n == DA || n == DB)) {
        kind = NUMBER, made.d = PyFloat_AsDouble(x);
        if (PyErr_Occurred()) return -1;
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
    if (!x) return PyErr_SetString(PyExc_AttributeError, "the number of a Value cannot be deleted"), -1;
    const double data = PyFloat_AsDouble(x);
    if (PyErr_Occurred()) return -1;
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
static inline int plain(PyObject *const *given, Py_ssize_t count) {
    return (count == 1 || (count == 2 && (given[1] == Py_None || PyUnicode_CheckExact(given[1])))) && PyFloat_CheckExact(given[0]);
}

static inline void begin(Node *node, PyObject *const *given, Py_ssize_t count) {
    node->data = PyFloat_AS_DOUBLE(given[0]);
    if (count == 2 && given[1] != Py_None) node->note = Py_NewRef(given[1]);
}

static int node_init(PyObject *self, PyObject *positional, PyObject *named) {
    const Py_ssize_t count = PyTuple_GET_SIZE(positional);
    PyObject *const *given = &PyTuple_GET_ITEM(positional, 0);
    Node *node = (Node *)self;
    if (!named && plain(given, count) && !node->rule && !node->b && !node->note) return begin(node, given, count), 0;
    PyObject *begin = PyObject_GetAttr(self, known.begin);
    PyObject *done = begin ? PyObject_Call(begin, positional, named) : NULL;
    Py_XDECREF(begin), Py_XDECREF(done);
    return done ? 0 : -1;
}

/* Values lie side by side in blocks: for fresh memory the system takes more time, page by page, than recording does. From
   the second block on it is asked for pages as large as a block, and blocks in which none is left are kept: as many as a
   million Values take. */
#ifdef __SANITIZE_ADDRESS__
enum { IN_BLOCKS = 0 }; /* it is to see what is used after it was freed */
#else
enum { IN_BLOCKS = 1 };
#endif
enum { BLOCK = 1 << 21, MOST_EMPTY = 48 };
typedef struct Block {
    struct Block *last, *next; /* among those that have room */
    Node *free;                /* those that were used before, in a list that goes through `slot` */
    int64_t fresh, used;       /* how many have ever been used, and how many are */
    void *whole;               /* what it is part of */
} Block;
enum { IN_BLOCK = (BLOCK - sizeof(Block)) / sizeof(Node) };
static Block *roomy;
static int64_t blocks, empty;

static Block *new_block(void) {
    /* of twice the size one half at least begins as it is to; what nobody touches costs nothing */
    void *whole = mmap(NULL, 2 * BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (whole == MAP_FAILED) return NULL;
    Block *made = (Block *)(((uintptr_t)whole + BLOCK - 1) & -(uintptr_t)BLOCK);
#ifdef MADV_HUGEPAGE
    if (blocks) madvise(made, BLOCK, MADV_HUGEPAGE);
#endif
    PyTraceMalloc_Track(0, (uintptr_t)made, BLOCK);
    blocks++, empty++;
    *made = (Block){.whole = whole};
    return made;
}

static void give_room(Block *block) {
    block->last = NULL, block->next = roomy;
    if (roomy) roomy->last = block;
    roomy = block;
}

static void take_out(Block *block) {
    if (block->next) block->next->last = block->last;
    *(block->last ? &block->last->next : &roomy) = block->next;
}

static inline Node *from_block(void) {
    Block *block = roomy;
    if (!block) {
        if (!(block = new_block())) return NULL;
        give_room(block);
    }
    Node *node = block->free;
    if (node) block->free = node->slot[0].next;
    else node = (Node *)(block + 1) + block->fresh++;
    empty -= !block->used;
    if (++block->used == IN_BLOCK) take_out(block);
    return node;
}

/* That it is another function than the one of subclasses is why Python refuses to change the class of a Value. */
static void value_free(void *freed) {
    if (!IN_BLOCKS) {
        PyObject_Free(freed);
        return;
    }
    Node *node = freed;
    Block *block = (Block *)((uintptr_t)node & -(uintptr_t)BLOCK);
    node->slot[0].next = block->free, block->free = node;
    if (block->used-- == IN_BLOCK) give_room(block);
    if (block->used || ++empty <= MOST_EMPTY) return;
    take_out(block), blocks--, empty--;
    PyTraceMalloc_Untrack(0, (uintptr_t)block);
    munmap(block->whole, 2 * BLOCK);
}

/* A Value in which nothing stands. */
static inline PyObject *value_alloc(PyTypeObject *type, Py_ssize_t unused) {
    (void)unused;
    Node *node = IN_BLOCKS ? from_block() : PyObject_Malloc(sizeof *node);
    if (!node) return PyErr_NoMemory();
    Py_SET_TYPE(node, (PyTypeObject *)Py_NewRef((PyObject *)type));
    Py_SET_REFCNT(node, 1);
    memset(&node->data, 0, sizeof *node - offsetof(Node, data));
    return (PyObject *)node;
}

/* Value(...) as it is called, where nobody has put another __init__ or __new__ there. */
static PyObject *value_call(PyObject *type, PyObject *const *given, size_t counted, PyObject *named) {
    const Py_ssize_t count = PyVectorcall_NARGS(counted);
    PyTypeObject *kind = (PyTypeObject *)type;
    if (!named && plain(given, count) && kind->tp_init == node_init && kind->tp_new == PyBaseObject_Type.tp_new) {
        PyObject *made = value_alloc(kind, 0);
        if (made) begin((Node *)made, given, count);
        return made;
    }
    PyObject *positional = PyTuple_New(count), *words = named ? PyDict_New() : NULL, *made = NULL;
    int failed = !positional || (named && !words);
    for (Py_ssize_t n = 0; !failed && n < count; n++) PyTuple_SET_ITEM(positional, n, Py_NewRef(given[n]));
    for (Py_ssize_t n = 0; !failed && named && n < PyTuple_GET_SIZE(named); n++)
        failed = PyDict_SetItem(words, PyTuple_GET_ITEM(named, n), given[count + n]);
    if (!failed) made = PyType_Type.tp_call(type, positional, words);
    Py_XDECREF(positional), Py_XDECREF(words);
    return made;
}

/* Operands whose last reference goes wait here, in a list that goes through `slot`, too. Those of a class with weak
   references do not, as somebody may take them up again; Python frees these without recursion, too. */
static Node *waiting;
static int freeing;

static void let_go(PyObject *x) {
    if (!x) return;
    if (Py_REFCNT(x) == 1 && is_node(x) && !PyType_IS_GC(Py_TYPE(x))) {
        slot_clear((Node *)x, UPSTREAM);
        ((Node *)x)->slot[UPSTREAM].next = waiting;
        waiting = (Node *)x;
    } else
        Py_DECREF(x);
}

/* The end of a node; each instance of a class that was made in Python has a reference to it. */
static inline void end(PyObject *self, int of_python) {
    Node *node = (Node *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject *a = node->a, *b = node->b;
    uint32_t kinds;
    memcpy(&kinds, node->kind, sizeof kinds);
    for (int n = 0; kinds & 0x02020202 && n < SLOTS; n++) slot_clear(node, n); /* this bit is set in OBJECT and in MANY */
    Py_CLEAR(node->rule);
    Py_CLEAR(node->note);
    node->a = node->b = NULL;
    type->tp_free(self);
    if (of_python) Py_DECREF(type);
    let_go(a);
    if (!b || !PyTuple_CheckExact(b)) let_go(b);
    else {
        for (Py_ssize_t n = 0; Py_REFCNT(b) == 1 && n < PyTuple_GET_SIZE(b); n++) {
            PyObject *each = PyTuple_GET_ITEM(b, n);
            PyTuple_SET_ITEM(b, n, NULL);
            let_go(each);
        }
        Py_DECREF(b);
    }
    if (freeing) return;
    freeing = 1;
    while (waiting) {
        Node *next = waiting;
        waiting = next->slot[UPSTREAM].next;
        Py_DECREF(next);
    }
    freeing = 0;
}

static void node_dealloc(PyObject *self) { end(self, 0); }
static void value_dealloc(PyObject *self) { end(self, 1); }

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
typedef struct {
    const void *in; /* the code object; in 3.11 the instruction, which is the key alone */
    Py_ssize_t offset;
} Key;
static struct {
    Key key;
    PyObject *note; /* which holds the code */
} places[1024];

#if PY_VERSION_HEX >> 16 == 0x030B && !defined(MICROBP_FRAMES)
static inline Key key_of(PyCodeObject *code, int offset) { return (Key){code->co_code_adaptive + offset, 0}; }

/* The innermost place, without a frame object, which would be made anew in each call of a function. */
static inline Key key_here(void) {
    const _PyInterpreterFrame *frame = PyThreadState_Get()->cframe->current_frame;
    return (Key){frame ? frame->prev_instr : NULL, 0};
}
#else
static inline Key key_of(PyCodeObject *code, int offset) { return (Key){code, offset}; }

static inline Key key_here(void) {
    PyFrameObject *frame = PyEval_GetFrame();
    PyCodeObject *code = frame ? PyFrame_GetCode(frame) : NULL;
    Py_XDECREF(code); /* the frame has it */
    return code ? key_of(code, PyFrame_GetLasti(frame)) : (Key){NULL, 0};
}
#endif

static inline int place_of(Key key) { return (int)(((uintptr_t)key.in ^ (uintptr_t)key.offset) >> 1 & 1023); }
static inline int is_at(int place, Key key) { return places[place].key.in == key.in && places[place].key.offset == key.offset; }

/* The note of a place that is new, or not in the innermost function. */
static __attribute__((noinline)) PyObject *new_place_note(void) {
    PyFrameObject *frame = PyEval_GetFrame(); /* the innermost one is borrowed */
    PyObject *found = NULL;
    Py_XINCREF(frame);
    while (frame && !found) {
        PyCodeObject *code = PyFrame_GetCode(frame);
        const int offset = PyFrame_GetLasti(frame), place = place_of(key_of(code, offset));
        PyObject *users = NULL;
        if (is_at(place, key_of(code, offset))) found = Py_NewRef(places[place].note);
        else if (!(users = Py_XNewRef(PyDict_GetItemWithError(known.users, code->co_filename))))
            users = PyObject_GetItem(known.users, code->co_filename); /* a file that is new to it */
        if (users == Py_True && (found = Py_BuildValue("O(Oi)O", Py_None, code, offset, Py_None))) {
            PyObject *before = places[place].note;
            places[place].key = key_of(code, offset), places[place].note = Py_NewRef(found);
            Py_XDECREF(before);
        }
        PyFrameObject *outer = users == Py_False ? PyFrame_GetBack(frame) : NULL;
        Py_DECREF(code), Py_XDECREF(users);
        Py_SETREF(frame, outer);
    }
    Py_XDECREF(frame);
    return found || PyErr_Occurred() ? found : Py_BuildValue("OsO", Py_None, "?", Py_None);
}

/* The note of the place that the user's code has reached; a new reference. */
static inline PyObject *place_note(void) {
    const Key key = key_here();
    const int place = place_of(key);
    return places[place].note && is_at(place, key) ? Py_NewRef(places[place].note) : new_place_note();
}

/* The node with the group that code is in, `within` if it is known, and with the place; these are kept. */
static __attribute__((noinline)) Node *noted(Node *node, PyObject *within) {
    PyObject *group = Py_XNewRef(within), *place = NULL;
    if ((PySet_GET_SIZE(known.sited) && !(place = place_note())) ||
        (!within && PySet_GET_SIZE(known.grouped) && PyContextVar_Get(known.current, NULL, &group))) {
        Py_XDECREF(place), Py_XDECREF(group), Py_DECREF(node);
        return NULL;
    }
    if (group == Py_None) Py_CLEAR(group);
    if (!place || !group) node->note = place ? place : group;
    else {
        node->note = PyTuple_Pack(3, Py_None, PyTuple_GET_ITEM(place, 1), group);
        Py_DECREF(group), Py_DECREF(place);
        if (!node->note) Py_CLEAR(node);
    }
    return node;
}

/* A node without its operands. */
static inline Node *new_node(PyObject *rule, double y, PyObject *within) {
    Node *node = (Node *)value_alloc((PyTypeObject *)known.value, 0);
    if (!node) return NULL;
    node->data = y, node->rule = Py_NewRef(rule);
    if (within || PySet_GET_SIZE(known.grouped)) return noted(node, within);
    if (PySet_GET_SIZE(known.sited) && !(node->note = place_note())) Py_CLEAR(node);
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

static inline __attribute__((always_inline)) PyObject *unary(int op, PyObject *self, PyObject *within, ValueOf *value, SlopesOf *slopes) {
    const double a[1] = {((Node *)self)->data};
    double d[1], kept[1];
    int bad = 0;
    const double y = value(a, 0, kept, &bad);
    if (!bad) slopes(a, d, 0, kept, y, &bad, 1);
    if (bad || PySet_GET_SIZE(known.special)) return within ? NULL : recorded(op, self, NULL);
    Node *node = new_node(rule_of(op), y, within);
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
    Node *node = new_node(turned ? PyList_GET_ITEM(known.swapped, op) : rule_of(op), y, NULL);
    if (!node) return NULL;
    node->a = Py_NewRef(self), node->b = Py_NewRef(other);
    node->slot[DA].d = d[turned], node->kind[DA] = NUMBER;
    if (!literal) node->slot[DB].d = d[1], node->kind[DB] = NUMBER;
    return (PyObject *)node;
}

/* A method of one operand was given something else: in the words of Python, whose methods these stand for. */
static PyObject *beyond_self(const char *name, Py_ssize_t count, PyObject *named) {
    if (named && PyTuple_GET_SIZE(named))
        return PyErr_Format(PyExc_TypeError, "Value.%s() got an unexpected keyword argument '%U'", name, PyTuple_GET_ITEM(named, 0));
    return PyErr_Format(PyExc_TypeError, "Value.%s() takes 1 positional argument but %zd were given", name, count + 1);
}

/* Each row of one argument as a method and in a known group, where it leaves to Python what is not usual; each of two as
   an operator. */
#define OF_1_0(name) \
    static PyObject *within_##name(PyObject *self, PyObject *within) { return unary(ROW_##name, self, within, value_##name, slopes_##name); } \
    static PyObject *unary_##name(PyObject *self) { return unary(ROW_##name, self, NULL, value_##name, slopes_##name); } \
    static PyObject *method_##name(PyObject *self, PyObject *const *more, Py_ssize_t count, PyObject *named) { \
        return (void)more, count || (named && PyTuple_GET_SIZE(named)) ? beyond_self(#name, count, named) : unary_##name(self); \
    }
#define OF_2_0(name) \
    static PyObject *binary_##name(PyObject *a, PyObject *b) { return binary(ROW_##name, a, b, value_##name, slopes_##name); }
#define OF_3_0(name)
#define OF_0_1(name)
#define OF_0_2(name)
#define OF_1_1(name)
#define OF_1_2(name)
#define ROW_OF(name, singles, lists, may_fail) OF_##singles##_##lists(name)
ROWS(ROW_OF)

/* In the order of the methods. */
typedef PyObject *Within(PyObject *, PyObject *);
#define WITHIN(name) within_##name,
#define WITHIN_OF(name, singles, lists, may_fail) UNARY_##singles##_##lists(WITHIN, name)
#define UNARY_1_0(as, name) as(name)
#define UNARY_2_0(as, name)
#define UNARY_3_0(as, name)
#define UNARY_0_1(as, name)
#define UNARY_0_2(as, name)
#define UNARY_1_2(as, name)

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

/* The operands one after the other, those of each list, then the single ones; 0 for what Python has to look at. */
static int gather(PyObject *const *arguments, int count, int lists, int64_t len, PyObject *operands, double *a, int *takes) {
    Py_ssize_t at = 0;
    for (int n = 0; n < count; n++) {
        PyObject *argument = arguments[n];
        for (int64_t i = 0; i < (n < lists ? len : 1); i++, at++) {
            PyObject *each = n < lists ? PyList_GET_ITEM(argument, i) : argument;
            const int literal = operand(each, a + at);
            if (literal && !PyFloat_CheckExact(each)) return 0;
            *takes |= !literal << n;
            PyTuple_SET_ITEM(operands, at, Py_NewRef(each));
        }
    }
    PyObject_GC_UnTrack(operands); /* none of them is anything that the collector looks at */
    return *takes;
}

/* A node of these operands, of which there are many, or one or two. */
static Node *node_of(int op, double y, PyObject *operands, int many, const double *d, PyObject *within) {
    const Py_ssize_t whole = PyTuple_GET_SIZE(operands);
    PyObject *first = PyTuple_GET_ITEM(operands, 0), *second = whole == 2 ? PyTuple_GET_ITEM(operands, 1) : NULL;
    const int turned = !many && !is_node(first);
    Node *node = new_node(turned ? PyList_GET_ITEM(known.swapped, op) : rule_of(op), y, within);
    if (!node) return NULL;
    if (many) {
        if (!(node->slot[DB].many = PyMem_Malloc((size_t)whole * 8))) return Py_DECREF(node), PyErr_NoMemory(), NULL;
        memcpy(node->slot[DB].many, d, (size_t)whole * 8);
        node->b = Py_NewRef(operands), node->kind[DB] = MANY;
    } else {
        node->a = Py_NewRef(turned ? second : first), node->b = Py_XNewRef(turned ? first : second);
        node->slot[DA].d = d[turned], node->kind[DA] = NUMBER;
        if (second && is_node(first) && is_node(second)) node->slot[DB].d = d[1], node->kind[DB] = NUMBER;
    }
    return node;
}

/* The node of a row and its arguments; NULL without an error where Python has to look at it. */
static PyObject *record_many(int op, PyObject *const *arguments, PyObject *within) {
    const int singles = widths[op][0], lists = widths[op][1];
    for (int n = 0; n < lists; n++)
        if (!PyList_CheckExact(arguments[n])) return NULL;
    const int64_t len = lists ? PyList_GET_SIZE(arguments[0]) : 0, whole = lists * len + singles;
    for (int n = 1; n < lists; n++)
        if (PyList_GET_SIZE(arguments[n]) != len) return NULL;
    if (PySet_GET_SIZE(known.special) || (lists && !len)) return NULL;
    double few[3 * 40 + 1] = {0.0}, *d = whole <= 40 ? few : PyMem_Calloc((size_t)(3 * whole + 1), 8), *a = d + whole;
    PyObject *operands = d ? PyTuple_New(whole) : PyErr_NoMemory();
    Node *node = NULL;
    int takes = 0, bad = 0;
    if (operands && gather(arguments, singles + lists, lists, len, operands, a, &takes)) {
        const double y = computed(op, a, d, len, a + whole, takes, &bad);
        if (!bad) node = node_of(op, y, operands, lists || whole > 2, d, within);
    }
    if (d != few) PyMem_Free(d);
    Py_XDECREF(operands);
    return (PyObject *)node;
}

/* record(rule, arguments): the node; None where Python has to look at it. */
static PyObject *node_record(PyObject *module, PyObject *const *given, Py_ssize_t count) {
    (void)module;
    const int op = count == 2 && PyTuple_CheckExact(given[1]) ? number_of(given[0]) : -1;
    if (op < 0 || PyTuple_GET_SIZE(given[1]) != widths[op][0] + widths[op][1]) Py_RETURN_NONE;
    PyObject *made = record_many(op, &PyTuple_GET_ITEM(given[1], 0), NULL);
    return made || PyErr_Occurred() ? made : Py_NewRef(Py_None);
}

/* ------------------------------------------------------------------------------------------- the calls of modules */
/* Python lays the slots of a class out in the order of their names. */
typedef struct {
    PyObject_HEAD
    PyObject *name, *owner, *parent, *serial;
} Group;

/* The group of a call. As long as a node has it the collector could not tell that it is not needed: it is not told of it. */
static PyObject *group_of(PyObject *owner, PyObject *outer) {
    Group *made = (Group *)PyType_GenericAlloc((PyTypeObject *)known.group, 0);
    if (!made) return NULL;
    PyObject_GC_UnTrack(made);
    made->name = Py_NewRef(Py_None), made->owner = Py_NewRef(owner), made->parent = Py_NewRef(outer);
    if (!(made->serial = PyIter_Next(known.serial))) Py_CLEAR(made);
    return (PyObject *)made;
}

static int enter(PyObject *group, PyObject *outer) {
    if (outer == Py_None && PySet_Add(known.grouped, group)) return -1;
    PyObject *token = PyContextVar_Set(known.current, group);
    Py_XDECREF(token);
    return token ? 0 : -1;
}

static int leave(PyObject *group, PyObject *outer) {
    PyObject *token = PyContextVar_Set(known.current, outer);
    Py_XDECREF(token);
    return outer == Py_None && PySet_Discard(known.grouped, group) < 0 ? -1 : token ? 0 : -1;
}

/* The group of a call that comes from `outer`: that one, if it is of the same owner. */
static PyObject *group_in(PyObject *owner, PyObject *outer) {
    const int inside = (PyObject *)Py_TYPE(outer) == known.group && ((Group *)outer)->owner == owner;
    return inside ? Py_NewRef(outer) : group_of(owner, outer);
}

/* What `function` gives; what it records is in the group. Ctrl-C strikes in Python alone: not between the lines here. */
static PyObject *in_group(PyObject *group, PyObject *outer, PyObject *function, PyObject *const *given, size_t counted, PyObject *named) {
    PyObject *made = NULL, *error[3];
    if (group == outer) return PyObject_Vectorcall(function, given, counted, named);
    if (enter(group, outer)) return NULL;
    made = PyObject_Vectorcall(function, given, counted, named);
    PyErr_Fetch(error, error + 1, error + 2);
    if (leave(group, outer)) Py_CLEAR(made);
    else PyErr_Restore(error[0], error[1], error[2]);
    return made;
}

/* An activation that is a method of ours, as it is in a known group; NULL for another. */
static Within *within_of(PyObject *activation) {
    static Within *const withins[] = {ROWS(WITHIN_OF)};
    if (Py_TYPE(activation) != &PyMethodDescr_Type || PyDescr_TYPE(activation) != &NodeType) return NULL;
    const int64_t n = ((PyMethodDescrObject *)activation)->d_method - NodeType.tp_methods;
    return n < (int64_t)(sizeof withins / sizeof *withins) ? withins[n] : NULL;
}

/* What Neuron.__call__ gives for a list of inputs; NULL without an error for what Python has to look at. */
static PyObject *neuron_said(PyObject *neuron, PyObject *inputs, PyObject *outer) {
    PyObject *group = group_in(neuron, outer), *held[3] = {NULL}, *y = NULL;
    for (int n = 0; group && n < 3 && (held[n] = PyObject_GetAttr(neuron, words[n])); n++) {}
    PyObject *sum = held[2] ? record_many(ROW_dot, (PyObject *[]){held[0], inputs, held[2]}, group) : NULL;
    if (sum) {
        Within *activation = within_of(held[1]);
        y = activation ? activation(sum, group) : in_group(group, outer, held[1], &sum, 1, NULL);
        Py_DECREF(sum);
    }
    Py_XDECREF(group);
    for (int n = 0; n < 3; n++) Py_XDECREF(held[n]);
    return y;
}

/* neurons(class, neurons, inputs): what the first of them say, up to one that Python has to look at. */
static PyObject *node_neurons(PyObject *module, PyObject *given) {
    (void)module;
    PyObject *kind, *neurons, *inputs, *outer, *y = NULL;
    if (!PyArg_ParseTuple(given, "OOO", &kind, &neurons, &inputs) || PyContextVar_Get(known.current, NULL, &outer)) return NULL;
    PyObject *made = PyList_New(0);
    for (Py_ssize_t n = 0; made && PyList_CheckExact(neurons) && n < PyList_GET_SIZE(neurons); n++) {
        PyObject *neuron = Py_NewRef(PyList_GET_ITEM(neurons, n));
        if ((PyObject *)Py_TYPE(neuron) == kind) y = neuron_said(neuron, inputs, outer);
        Py_DECREF(neuron);
        if (!y) break;
        if (PyList_Append(made, y)) Py_CLEAR(made);
        Py_CLEAR(y);
    }
    if (PyErr_Occurred()) Py_CLEAR(made);
    Py_DECREF(outer);
    return made;
}

/* Grouped(function): what stands in the class of a module as its call, a group, in which the call of its superclass goes on. */
typedef struct {
    PyObject_HEAD
    PyObject *function, *dict;
    vectorcallfunc vectorcall;
} Grouped;

static PyObject *grouped_call(PyObject *self, PyObject *const *given, size_t counted, PyObject *named) {
    PyObject *outer, *function = ((Grouped *)self)->function;
    if (PyContextVar_Get(known.current, NULL, &outer)) return NULL;
    PyObject *group = group_in(PyVectorcall_NARGS(counted) ? given[0] : Py_None, outer);
    PyObject *made = group ? in_group(group, outer, function, given, counted, named) : NULL;
    Py_XDECREF(group), Py_DECREF(outer);
    return made;
}

static PyObject *grouped_new(PyTypeObject *type, PyObject *given, PyObject *named) {
    PyObject *function;
    if (named || !PyArg_ParseTuple(given, "O", &function)) return NULL;
    Grouped *made = (Grouped *)type->tp_alloc(type, 0);
    if (made) made->function = Py_NewRef(function), made->vectorcall = grouped_call;
    return (PyObject *)made;
}

static PyObject *grouped_get(PyObject *self, PyObject *module, PyObject *type) {
    (void)type;
    return module && module != Py_None ? PyMethod_New(self, module) : Py_NewRef(self);
}

static int grouped_traverse(Grouped *self, visitproc visit, void *arg) {
    Py_VISIT(self->function);
    Py_VISIT(self->dict);
    return 0;
}

static int grouped_clear(Grouped *self) {
    Py_CLEAR(self->function);
    Py_CLEAR(self->dict);
    return 0;
}

static void grouped_dealloc(Grouped *self) {
    PyObject_GC_UnTrack(self);
    grouped_clear(self);
    Py_TYPE(self)->tp_free(self);
}

/* It is pickled by its name, as a function is. */
static PyObject *grouped_reduce(PyObject *self, PyObject *unused) { return (void)unused, PyObject_GetAttrString(self, "__qualname__"); }

static PyMethodDef grouped_methods[] = {{"__reduce__", grouped_reduce, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};
static PyGetSetDef grouped_fields[] = {{"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL}, {NULL, NULL, NULL, NULL, NULL}};
static PyTypeObject GroupedType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "microbp.native._machine.Grouped",
    .tp_basicsize = sizeof(Grouped),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR,
    .tp_new = grouped_new,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(Grouped, vectorcall),
    .tp_dictoffset = offsetof(Grouped, dict),
    .tp_descr_get = grouped_get,
    .tp_traverse = (traverseproc)grouped_traverse,
    .tp_clear = (inquiry)grouped_clear,
    .tp_dealloc = (destructor)grouped_dealloc,
    .tp_methods = grouped_methods,
    .tp_getset = grouped_fields,
};

/* --------------------------------------------------------------------------------------------- the backward pass */
typedef struct {
    Node **at;
    int64_t n, room;
} Nodes;

static int reserve(Nodes *to, int64_t room) {
    Node **made = PyMem_Realloc(to->at, (size_t)room * sizeof *made);
    if (!made) return PyErr_NoMemory(), -1;
    to->at = made, to->room = room;
    return 0;
}

static inline int append(Nodes *to, Node *node) {
    if (to->n == to->room && reserve(to, 2 * to->room + 64)) return -1;
    to->at[to->n++] = node;
    return 0;
}

/* The nodes of large graphs are out of the caches: those that come soon are asked for while one is looked at. */
static inline Node *node_at(const Nodes *nodes, int64_t n) {
    if (n + 8 < nodes->n) __builtin_prefetch(nodes->at[n + 8]), __builtin_prefetch((char *)nodes->at[n + 8] + 64);
    return nodes->at[n];
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
    return node->a ? node->slot[n ? DB : DA].d : node->slot[DB].many[n];
}

static inline int is_frozen(const Node *node) { return !node->a && node->b == Py_False; }

/* Adds the gradient of this pass to what is there; a frozen leaf has none. */
static inline void keep_gradient(Node *node, double now) {
    if (is_frozen(node)) {
        slot_clear(node, GRAD);
        return;
    }
    node->slot[GRAD].d = node->kind[GRAD] == NUMBER ? node->slot[GRAD].d + now : now;
    node->kind[GRAD] = NUMBER;
}

/* How far a sweep goes: the order alone, the gradients of a pass in the nodes, these added to what is there. */
enum { ORDER, UPSTREAMS, GRADIENTS };

static inline void upstream_set(Node *node, double number) {
    if (node->kind[UPSTREAM] == OBJECT) slot_clear(node, UPSTREAM);
    node->slot[UPSTREAM].d = number, node->kind[UPSTREAM] = NUMBER;
}

static PyObject *listed(const Nodes *nodes) {
    PyObject *made = PyList_New(nodes->n);
    for (int64_t n = 0; made && n < nodes->n; n++) PyList_SET_ITEM(made, n, Py_NewRef((PyObject *)nodes->at[n]));
    return made;
}

/* All nodes, and in `pending` how often each is used; 1 where somebody has put something else into a grad. */
static inline __attribute__((always_inline)) int reach(Node *root, int far, Nodes *reached) {
    int odd = 0, failed = append(reached, root);
    for (int64_t n = 0; n < reached->n && !failed; n++) {
        Node *node = node_at(reached, n);
        for (int64_t i = 0, count = operands_of(node); i < count && !failed; i++) {
            Node *operand = operand_at(node, i);
            if (operand && !operand->pending++) failed = append(reached, operand);
        }
        if (far) upstream_set(node, 0.0);
        if (far == GRADIENTS) odd |= node->kind[GRAD] == OBJECT && !is_frozen(node);
    }
    return failed ? -1 : odd;
}

static int settle(Node *root, Nodes *nodes);

/* Kahn's algorithm as in node.py. The order takes the place of what was reached, which is never behind it. */
static inline __attribute__((always_inline)) int sweep(Node *root, int far, Nodes *nodes) {
    int failed;
    while ((failed = reach(root, far, nodes))) {
        for (int64_t n = 0; n < nodes->n; n++) nodes->at[n]->pending = 0;
        nodes->n = 0;
        if (failed < 0 || settle(root, nodes)) return -1;
    }
    const int64_t count = nodes->n;
    nodes->n = 1;
    if (far) upstream_set(root, 1.0);
    for (int64_t n = 0; n < count; n++) {
        Node *node = node_at(nodes, n);
        const double upstream = far ? node->slot[UPSTREAM].d : 0.0;
        if (far == GRADIENTS) keep_gradient(node, upstream);
        for (int64_t i = operands_of(node) - 1; i >= 0; i--) {
            Node *operand = operand_at(node, i);
            if (!operand) continue;
            if (far) operand->slot[UPSTREAM].d += upstream * local_at(node, i);
            if (!--operand->pending && nodes->n < count) nodes->at[nodes->n++] = operand; /* after its last use */
        }
    }
    return 0;
}

/* What somebody has put into the grad of nodes, as floats: Python is asked before a pass has begun, in
   its order. */
static int settle(Node *root, Nodes *nodes) {
    PyObject *held = sweep(root, ORDER, nodes) ? NULL : listed(nodes);
    nodes->n = 0;
    for (int64_t n = 0; held && n < PyList_GET_SIZE(held); n++) {
        Node *node = (Node *)PyList_GET_ITEM(held, n);
        if (node->kind[GRAD] != OBJECT || is_frozen(node)) continue;
        PyObject *number = PyObject_CallOneArg(known.gradient_of, (PyObject *)node);
        if (number) slot_set(node, number, (void *)GRAD), Py_DECREF(number);
        else Py_CLEAR(held);
    }
    Py_XDECREF(held);
    return held ? 0 : -1;
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

/* The columns of nodes that are numbered in `pending`, the last one first, and their notes by number. */
static int fill(const Nodes *nodes, PyObject *rules, PyObject *notes, char *const *to) {
    int64_t *op = (int64_t *)to[OP], *first = (int64_t *)to[FIRST], *args = (int64_t *)to[ARGS], literals = 0;
    double *consts = (double *)to[CONSTS], *data = (double *)to[DATA], *local = (double *)to[LOCAL], *grad = (double *)to[GRADS];
    *first = 0;
    for (int64_t n = 0; n < nodes->n; n++) {
        const Node *node = node_at(nodes, n);
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
    Nodes nodes = {0};
    PyObject *held[HELD] = {NULL}, *made = NULL;
    if (!is_node(above)) return refused(above);
    int failed = sweep((Node *)above, ORDER, &nodes);
    const int64_t count = failed ? 0 : nodes.n - 1, roots = operands_of((Node *)above);
    for (int64_t n = 0; n < nodes.n / 2; n++) { /* operands first; `above` is the last one, and goes */
        Node *other = nodes.at[n];
        nodes.at[n] = nodes.at[nodes.n - 1 - n], nodes.at[nodes.n - 1 - n] = other;
    }
    nodes.n = count;
    failed = failed || !(held[VALUES] = PyTuple_New(count)) || !(held[PLACES] = PyTuple_New(roots)) || !(held[RULES] = PyList_New(0)) ||
             !(held[NOTES] = PyDict_New());
    int64_t uses = 0, literals = 0;
    int odd = 0;
    for (int64_t n = 0; n < count && !failed; n++) {
        Node *node = node_at(&nodes, n);
        PyTuple_SET_ITEM(held[VALUES], n, Py_NewRef((PyObject *)node));
        node->pending = (int32_t)(n + 1);
        odd |= node->kind[GRAD] == OBJECT;
        for (int64_t i = operands_in_all(node) - 1; i >= 0; i--, uses++) literals += !operand_at(node, i);
    }
    const int64_t sizes[COLUMNS] = {8 * count, 8 * count + 8, 8 * uses, 8 * literals, 8 * count, 8 * uses, 8 * count, count, count};
    char *to[COLUMNS];
    for (int k = 0; k < COLUMNS && !failed; k++) {
        PyObject *column = held[NOTES + 1 + k] = PyBytes_FromStringAndSize(NULL, sizes[k]);
        failed = !column || !(to[k] = PyBytes_AS_STRING(column));
    }
    failed = failed || fill(&nodes, held[RULES], held[NOTES], to);
    for (int64_t k = 0; k < roots && !failed; k++)
        PyTuple_SET_ITEM(held[PLACES], k, PyLong_FromLong(operand_at((Node *)above, k)->pending - 1));
    for (int64_t n = 0; n < count; n++) node_at(&nodes, n)->pending = 0;
    PyMem_Free(nodes.at);
    for (int64_t n = 0; n < count && odd && !failed; n++) { /* what somebody has put there: Python looks at it */
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

/* ---------------------------------------------------------------------------------------------------- several leaves */
/* read(leaves, array): their numbers as doubles or, in an array of bytes, whether they take a gradient. */
static PyObject *leaves_read(PyObject *module, PyObject *given) {
    (void)module;
    PyObject *several;
    Py_buffer to;
    if (!PyArg_ParseTuple(given, "Ow*", &several, &to)) return NULL;
    PyObject *leaves = PySequence_Fast(several, "leaves are in a list");
    const Py_ssize_t count = leaves ? PySequence_Fast_GET_SIZE(leaves) : 0;
    for (Py_ssize_t n = 0; n < count && !PyErr_Occurred(); n++) {
        PyObject *each = PySequence_Fast_GET_ITEM(leaves, n);
        if (!is_node(each) || to.len != count * to.itemsize) PyErr_SetString(PyExc_TypeError, "an array has a place for each Value");
        else if (to.itemsize == 8) ((double *)to.buf)[n] = ((Node *)each)->data;
        else ((char *)to.buf)[n] = !((Node *)each)->b;
    }
    PyBuffer_Release(&to);
    Py_XDECREF(leaves);
    if (PyErr_Occurred()) return NULL;
    Py_RETURN_NONE;
}

/* write(leaves, numbers, gradients): new ones; False, with nothing done, where a subclass may have setters of its own. */
static PyObject *leaves_write(PyObject *module, PyObject *given) {
    (void)module;
    PyObject *several;
    Py_buffer data, grad = {0};
    if (!PyArg_ParseTuple(given, "Oy*|y*", &several, &data, &grad)) return NULL;
    PyObject *leaves = PySequence_Tuple(several); /* of our own: a gradient that goes may be an object that runs code */
    const Py_ssize_t count = leaves ? PyTuple_GET_SIZE(leaves) : 0;
    int ours = leaves && data.len == 8 * count && (!grad.buf || grad.len == data.len);
    for (Py_ssize_t n = 0; n < count && ours; n++) {
        PyObject *each = PyTuple_GET_ITEM(leaves, n);
        ours = is_value(each) && !((Node *)each)->rule;
    }
    for (Py_ssize_t n = 0; n < count && ours; n++) {
        Node *leaf = (Node *)PyTuple_GET_ITEM(leaves, n);
        const double number = ((const double *)data.buf)[n];
        if (number != leaf->data) leaf->slot[DA].d = leaf->data, leaf->kind[DA] = NUMBER; /* as the setter does */
        leaf->data = number;
        if (grad.buf) slot_clear(leaf, GRAD);
        if (grad.buf && !leaf->b) leaf->slot[GRAD].d = ((const double *)grad.buf)[n], leaf->kind[GRAD] = NUMBER;
    }
    PyBuffer_Release(&data);
    if (grad.buf) PyBuffer_Release(&grad);
    Py_XDECREF(leaves);
    return PyErr_Occurred() ? NULL : PyBool_FromLong(ours);
}

/* ------------------------------------------------------------------------------------------------------------ the type */
/* The sweeps rely on this: the first operand is a node, and there are as many derivatives as operands. */
static int operand_set(Node *self, PyObject *x, void *at) {
    if ((intptr_t)at == offsetof(Node, b)) {
        if (self->kind[DB] == MANY && !(x && PyTuple_Check(x) && PyTuple_GET_SIZE(x) == width(self))) slot_clear(self, DB);
    } else if (x && x != Py_None && !is_node(x)) return PyErr_SetString(PyExc_TypeError, "the first operand of a Value is a Value"), -1;
    return object_set(self, x, at);
}

/* a += 0.5, a -= 0.5: as a + 0.5, but Python is told where a is a leaf that has a gradient. */
static PyObject *in_place(PyObject *a, PyObject *b) {
    const Node *leaf = (Node *)a;
    PyObject *told = NULL;
    if (!leaf->rule && leaf->kind[GRAD] != NONE && PyFloat_Check(b) && !(told = PyObject_CallFunctionObjArgs(known.moved, a, b, NULL)))
        return NULL;
    Py_XDECREF(told);
    Py_RETURN_NOTIMPLEMENTED;
}

static PyNumberMethods numbers = {
    .nb_add = binary_add, .nb_subtract = binary_sub, .nb_multiply = binary_mul, .nb_true_divide = binary_div, .nb_power = power,
    .nb_negative = unary_neg, .nb_absolute = unary_abs, .nb_inplace_add = in_place, .nb_inplace_subtract = in_place,
};
static PyMethodDef node_methods[] = {
#define METHOD(name) {#name, (PyCFunction)(void (*)(void))method_##name, METH_FASTCALL | METH_KEYWORDS, NULL},
#define METHOD_OF(name, singles, lists, may_fail) UNARY_##singles##_##lists(METHOD, name)
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
    static char *names[] = {"value", "record", "foreign", "begin", "gradient_of", "moved", "passed", "refuse", "special", "sited", "grouped",
                            "current", "group", "serial", "users", "rules", "swapped", NULL};
    PyObject **at = &known.value;
    if (!PyArg_ParseTupleAndKeywords(positional, named, "OOOOOOOOOOOOOOOO!O!", names, at, at + 1, at + 2, at + 3, at + 4, at + 5, at + 6,
                                     at + 7, at + 8, at + 9, at + 10, at + 11, at + 12, at + 13, at + 14, &PyList_Type, at + 15, &PyList_Type, at + 16))
        return NULL;
    for (int n = 0; n < 17; n++) Py_INCREF(at[n]);
    /* Python tracks instances of every class of its own; there are none yet. */
    PyTypeObject *type = (PyTypeObject *)known.value;
    type->tp_flags &= ~(unsigned long)Py_TPFLAGS_HAVE_GC;
    type->tp_traverse = NULL, type->tp_clear = NULL, type->tp_free = value_free;
    type->tp_alloc = value_alloc, type->tp_dealloc = value_dealloc, type->tp_vectorcall = value_call;
    PyType_Modified(type);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"know", (PyCFunction)(void (*)(void))know, METH_VARARGS | METH_KEYWORDS, NULL},
    {"record", (PyCFunction)(void (*)(void))node_record, METH_FASTCALL, NULL},
    {"neurons", node_neurons, METH_VARARGS, NULL},
    {"order", node_order, METH_VARARGS, NULL},
    {"columns", node_columns, METH_O, NULL},
    {"read", leaves_read, METH_VARARGS, NULL},
    {"write", leaves_write, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL}};

int add_node_type(PyObject *module) {
    NodeType.tp_new = PyBaseObject_Type.tp_new;
    for (int n = 0; n < 3; n++)
        if (!(words[n] = PyUnicode_InternFromString(n == 0 ? "w" : n == 1 ? "_activation" : "b"))) return -1;
    /* these are operators, and no methods */
    return PyType_Ready(&NodeType) || PyDict_DelItemString(NodeType.tp_dict, "neg") || PyDict_DelItemString(NodeType.tp_dict, "abs") || PyModule_AddFunctions(module, functions) ||
           PyModule_AddObjectRef(module, "Node", (PyObject *)&NodeType) || PyModule_AddType(module, &GroupedType);
}
