/* The machine as a Python type: a program is taken from the columns of a graph and checked, and then it runs.

   After the checks here no step can read or write outside its buffers. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "machine.h"

/* value.c */
int add_node_type(PyObject *module);

typedef struct {
    PyObject_HEAD
    Program p;
    int32_t *node_of;       /* the node of a slot */
    const Lanes *lanes;     /* NULL where there is no plan for rows of samples */
    Room *room;             /* those that are free, to be used again */
    PyObject *users;        /* for each row that the user has defined (value, slopes) */
} Machine;

static const Lanes *const variants[] = {
#ifdef MICROBP_X86
    &lanes_avx512, &lanes_avx2,
#endif
    &lanes_plain,
};

/* ------------------------------------------------------------------------------------- rows of the user's own */
/* What the function for the value (0) or the slopes (1) of such a row says. */
static PyObject *asked(const Program *p, int32_t op, int which, const double *v, const int32_t *arg, int width, double y) {
    PyObject *given = PyTuple_New(width), *found = NULL;
    for (int n = 0; given && n < width; n++) {
        PyObject *number = PyFloat_FromDouble(v[arg[n]]);
        if (!number) Py_CLEAR(given);
        else PyTuple_SET_ITEM(given, n, number);
    }
    PyObject *function = PyTuple_GET_ITEM(PyTuple_GET_ITEM((PyObject *)p->user, op - TABLE_ROWS), which);
    if (given) found = which ? PyObject_CallFunction(function, "Od", given, y) : PyObject_CallOneArg(function, given);
    Py_XDECREF(given);
    return found;
}

int user_value(const Program *p, int32_t op, const double *v, const int32_t *arg, int width, double *y, int *bad) {
    PyObject *found = asked(p, op, 0, v, arg, width, 0.0);
    *y = found ? PyFloat_AsDouble(found) : NAN;
    Py_XDECREF(found);
    if (found || !(PyErr_ExceptionMatches(PyExc_ArithmeticError) || PyErr_ExceptionMatches(PyExc_ValueError)))
        return PyErr_Occurred() ? -1 : 0;
    PyErr_Clear();
    *bad = 1;
    return 0;
}

int user_slopes(const Program *p, int32_t op, const double *v, const int32_t *arg, int width, double y, double up, double *g) {
    PyObject *found = asked(p, op, 1, v, arg, width, y);
    if (found && (!PyTuple_Check(found) || PyTuple_GET_SIZE(found) != width))
        PyErr_SetString(PyExc_TypeError, "the slopes of a row are a tuple, one for each argument");
    for (int n = width - 1; !PyErr_Occurred() && n >= 0; n--) g[arg[n]] += up * PyFloat_AsDouble(PyTuple_GET_ITEM(found, n));
    Py_XDECREF(found);
    return PyErr_Occurred() ? -1 : 0;
}

/* -------------------------------------------------------------------------------------------------- what is given */
typedef struct {
    const int64_t *l;
    double *d;
    int64_t n;
    Py_buffer view;
} Column;

static PyObject *closed(Column *column, int count, PyObject *result) {
    for (int n = 0; n < count; n++) PyBuffer_Release(&column[n].view);
    return result;
}

/* Arrays of int64 (l), of doubles (d), such to write to (w), and such that may be None (n). */
static int opened(PyObject *const *given, const char *kinds, const char *const *words, Column *column) {
    for (int n = 0; kinds[n]; n++) {
        Column *each = column + n;
        const int real = kinds[n] != 'l';
        memset(each, 0, sizeof *each);
        if (kinds[n] == 'n' && given[n] == Py_None) continue;
        if (PyObject_GetBuffer(given[n], &each->view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (real && kinds[n] != 'd' ? PyBUF_WRITABLE : 0))) {
            closed(column, n, NULL);
            return -1;
        }
        const char format = each->view.format ? each->view.format[0] : 'B';
        if (each->view.itemsize != 8 || !(real ? format == 'd' : format == 'l' || format == 'q')) {
            PyErr_Format(PyExc_TypeError, "%s: a contiguous array of %s is needed", words[n], real ? "float64" : "int64");
            closed(column, n + 1, NULL);
            return -1;
        }
        each->n = each->view.len / 8, each->d = each->view.buf, each->l = each->view.buf;
    }
    return 0;
}

static int refused(const char *what, int64_t where) {
    PyErr_Format(PyExc_ValueError, "no program: %s at %lld", what, (long long)where);
    return -1;
}

typedef struct {
    Column op, first, args, params, inputs, outputs, trained, consts, data;
} Given;

/* All that the loops rely on. */
static int check(const Given *at, int64_t users) {
    const int64_t N = at->op.n, *first = at->first.l;
    if (at->first.n != N + 1 || at->data.n != N || at->trained.n != at->params.n || !at->outputs.n)
        return refused("columns of unequal length", N);
    if (N + at->args.n + at->params.n + at->inputs.n > INT32_MAX / 4) return refused("too many values", N);
    if (first[0] != 0 || first[N] != at->args.n) return refused("arguments that do not end", N);
    for (int64_t node = 0; node < N; node++) {
        const int64_t op = at->op.l[node], width = first[node + 1] - first[node];
        if (width < 0 || first[node] < 0 || first[node + 1] > at->args.n) return refused("arguments out of order", node);
        if (op < -1 || op >= TABLE_ROWS + users) return refused("no such operation", node);
        const int32_t singles = op >= 0 && op < TABLE_ROWS ? widths[op][0] : 0, lists = op >= 0 && op < TABLE_ROWS ? widths[op][1] : 0;
        if (op < 0 ? width != 0 : op >= TABLE_ROWS ? width < 1
            : lists ? width < singles + lists || (width - singles) % lists : width != singles)
            return refused("a wrong number of arguments", node);
        for (int64_t n = first[node]; n < first[node + 1]; n++)
            if (at->args.l[n] >= node || at->args.l[n] < -at->consts.n) return refused("an argument that does not precede", node);
    }
    for (int64_t n = 0; n < at->outputs.n; n++)
        if (at->outputs.l[n] < 0 || at->outputs.l[n] >= N) return refused("an output that is none", n);
    return 0;
}

/* The slots of the leaves that are given from outside; -1 stands for one that is not in the graph. */
static int place_leaves(const Given *at, const Column *leaves, int64_t start, int32_t *slot) {
    for (int64_t n = 0; n < leaves->n; n++) {
        const int64_t leaf = leaves->l[n];
        if (leaf < 0) continue;
        if (leaf >= at->op.n || at->op.l[leaf] >= 0 || slot[leaf] >= 0) return refused("a leaf that is none", n);
        slot[leaf] = (int32_t)(start + n);
    }
    return 0;
}

/* slot: of each node, -1 so far; given: whether it depends on what is given from outside. */
static int build(Machine *self, const Given *at, int32_t *slot, uint8_t *given) {
    Program *p = &self->p;
    const int64_t *first = at->first.l, *args = at->args.l;
    const int64_t lead = at->params.n + at->inputs.n, N = at->op.n, K = at->consts.n;
    p->params = at->params.n, p->inputs = at->inputs.n, p->outputs = at->outputs.n;
    p->slots = lead + N + K + 2;
    p->args = malloc((size_t)(at->args.n + 1) * sizeof *p->args);
    p->step = malloc((size_t)(N + 1) * sizeof *p->step);
    p->constant = calloc((size_t)p->slots, 8);
    p->flags = calloc((size_t)p->slots, 1);
    p->trained = malloc((size_t)p->params + 1);
    p->output = malloc((size_t)p->outputs * sizeof *p->output);
    self->node_of = malloc((size_t)p->slots * sizeof *self->node_of);
    if (!slot || !given || !p->args || !p->step || !p->constant || !p->flags || !p->trained || !p->output || !self->node_of) {
        PyErr_NoMemory();
        return -1;
    }
    if (place_leaves(at, &at->params, 0, slot) || place_leaves(at, &at->inputs, p->params, slot)) return -1;
    for (int64_t n = 0; n < p->params; n++) p->flags[n] = (p->trained[n] = at->trained.l[n] != 0) ? TRAINED : 0;
    for (int64_t n = 0; n < p->inputs; n++) p->flags[p->params + n] = VARIES | FROM_INPUT;
    /* What depends on nothing keeps the number that was recorded; parameters that are not trained are given anew. */
    for (int64_t n = 0; n < N; n++) {
        given[n] = slot[n] >= 0;
        for (int64_t a = first[n]; a < first[n + 1]; a++) given[n] |= args[a] >= 0 && given[args[a]];
    }
    int32_t computed = (int32_t)lead;
    for (int64_t n = 0; n < N; n++)
        if (at->op.l[n] >= 0 && given[n]) slot[n] = computed++;
    p->computed = computed - lead;
    int32_t constants = computed;
    for (int64_t n = 0; n < N; n++)
        if (slot[n] < 0) slot[n] = constants++;
    for (int64_t n = 0; n < N; n++) p->constant[slot[n]] = at->data.d[n], self->node_of[slot[n]] = (int32_t)n;
    const int64_t literals = p->slots - K - 2;
    for (int64_t n = 0; n < K; n++) p->constant[literals + n] = at->consts.d[n];
    p->constant[p->slots - 2] = 1.0, p->constant[p->slots - 1] = -1.0;

    int64_t next = 0;
    for (int64_t n = 0; n < N; n++) {
        if (at->op.l[n] < 0 || !given[n]) continue;
        const int64_t width = first[n + 1] - first[n];
        const int32_t op = (int32_t)at->op.l[n], lists = op < TABLE_ROWS ? widths[op][1] : 0;
        Step made = {.op = op, .count = 1, .width = (int32_t)width};
        const int32_t len = elements(op, width);
        for (int64_t a = 0; a < width; a++) {
            const int64_t arg = args[first[n] + a];
            const int32_t from = arg < 0 ? (int32_t)(literals - 1 - arg) : slot[arg];
            const int64_t number = !lists ? a : a < lists * len ? a / len : a - lists * len + lists;
            p->args[next++] = from;
            made.flags |= p->flags[from];
            for (int wrt = 0; wrt < 2; wrt++)
                if (p->flags[from] & (TRAINED | (wrt ? FROM_INPUT : 0))) made.takes[wrt] |= op < TABLE_ROWS ? 1 << number : 1;
        }
        p->flags[slot[n]] = made.flags;
        if (len > p->most) p->most = len;
        Step *last = p->step + p->steps - 1;
        if (p->steps && last->op == op && last->width == width && last->flags == made.flags &&
            last->takes[0] == made.takes[0] && last->takes[1] == made.takes[1])
            last->count++;
        else
            p->step[p->steps++] = made;
    }
    p->arguments = next;
    for (int64_t n = 0; n < p->outputs; n++) p->output[n] = slot[at->outputs.l[n]];
    return 0;
}

static void machine_dealloc(Machine *self) {
    Program *p = &self->p;
    free(p->args), free(p->step), free(p->constant), free(p->flags), free(p->trained), free(p->output);
    for (int64_t n = 0; n < p->affines; n++) {
        Affine *at = p->affine + n;
        free(at->x.at), free(at->y.at), free(at->w.at), free(at->bias.at);
    }
    free(p->affine), free(p->lane_step), free(p->lane_arg), free(p->row), free(p->spread), free(self->node_of);
    for (Room *room = self->room, *next; room; room = next) next = room->next, free_room(room);
    Py_XDECREF(self->users);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *machine_new(PyTypeObject *type, PyObject *positional, PyObject *named) {
    static char *words[] = {"op", "first", "args", "params", "inputs", "outputs", "trained", "consts", "data", "users", "variant", NULL};
    PyObject *given[9], *users;
    const char *variant = "";
    if (!PyArg_ParseTupleAndKeywords(positional, named, "OOOOOOOOOO!|s:Machine", words, given, given + 1, given + 2, given + 3,
                                     given + 4, given + 5, given + 6, given + 7, given + 8, &PyTuple_Type, &users, &variant))
        return NULL;
    for (Py_ssize_t n = 0; n < PyTuple_GET_SIZE(users); n++) {
        PyObject *both = PyTuple_GET_ITEM(users, n);
        if (!PyTuple_Check(both) || PyTuple_GET_SIZE(both) != 2)
            return PyErr_Format(PyExc_TypeError, "users are pairs (value, slopes)");
    }
    const Lanes *lanes = NULL;
    for (size_t n = 0; n < sizeof variants / sizeof *variants && !lanes; n++)
        if (variants[n]->supported() && (!*variant || !strcmp(variant, variants[n]->name))) lanes = variants[n];
    if (!lanes) return PyErr_Format(PyExc_ValueError, "no variant %s on this processor", variant);
    Given at;
    if (opened(given, "llllllldd", (const char *const *)words, &at.op)) return NULL;
    Machine *self = check(&at, PyTuple_GET_SIZE(users)) ? NULL : (Machine *)type->tp_alloc(type, 0);
    if (self) {
        self->users = Py_NewRef(users), self->p.user = users;
        int32_t *slot = malloc((size_t)(at.op.n + 1) * sizeof *slot);
        if (slot) memset(slot, 0xff, (size_t)at.op.n * sizeof *slot);
        uint8_t *depends = calloc((size_t)at.op.n + 1, 1);
        if (build(self, &at, slot, depends)) Py_CLEAR(self);
        free(slot), free(depends);
    }
    closed(&at.op, 9, NULL);
    if (self) {
        const int failed = plan_lanes(&self->p);
        if (failed == -1) {
            Py_DECREF(self);
            return PyErr_NoMemory();
        }
        self->lanes = failed ? NULL : lanes;
    }
    return (PyObject *)self;
}

/* ------------------------------------------------------------------------------------------------------- running */
/* Room for so many samples, taken out of those that are free; the GIL is held. */
static Room *take_room(Machine *self, int64_t samples) {
    const int lanes = self->lanes && samples > 1 ? lanes_for(&self->p, samples) : 0;
    Room *room = self->room;
    if (room) self->room = room->next;
    if (room && room->lanes >= lanes) return room;
    free_room(room);
    room = new_room(&self->p, lanes);
    if (!room) PyErr_NoMemory();
    return room;
}

static void give_back(Machine *self, Room *room) {
    if (room) room->next = self->room, self->room = room;
}

/* The sum of the costs; nan where a derivative is not finite. */
static double total(const Call *call, int64_t params) {
    double sum = -0.0, zero = 0.0;
    for (int64_t n = 0; n < call->samples; n++) sum += call->costs[n];
    for (int64_t n = 0; n < params; n++) zero += 0.0 * call->gradient[n];
    return zero == 0.0 ? sum : NAN;
}

/* None, or of costs their sum; (sample, node) where an operation is undefined. */
static PyObject *computed(Machine *self, const Call *call, long threads) {
    Room *room = take_room(self, call->samples);
    if (!room) return NULL;
    int64_t fault[2] = {0, 0};
    PyThreadState *thread = PyTuple_GET_SIZE(self->users) ? NULL : PyEval_SaveThread();
    const int state = run(&self->p, self->lanes, room, call, threads, fault);
    if (thread) PyEval_RestoreThread(thread);
    give_back(self, room);
    if (state == RAISED) return NULL;
    if (state == UNDEFINED) return Py_BuildValue("Li", (long long)fault[0], (int)self->node_of[fault[1]]);
    if (call->costs) return PyFloat_FromDouble(total(call, self->p.params));
    Py_RETURN_NONE;
}

/* run(threads, x, theta, out, costs, gradient, dx), of which out or the other three, or dx may be None. */
static PyObject *machine_run(Machine *self, PyObject *const *given, Py_ssize_t count) {
    static const char *const words[] = {"x", "theta", "out", "costs", "gradient", "dx"};
    const Program *p = &self->p;
    Column at[6], *x = at, *theta = at + 1, *out = at + 2, *costs = at + 3, *gradient = at + 4, *dx = at + 5;
    if (count != 7) return PyErr_Format(PyExc_TypeError, "a number and six arrays are needed");
    const long threads = PyLong_AsLong(given[0]);
    if (PyErr_Occurred() || opened(given + 1, "ddnnnn", words, at)) return NULL;
    /* without inputs nothing but the results tells how many samples there are */
    const int64_t samples = costs->d ? costs->n : out->n / p->outputs;
    if (theta->n != p->params || x->n != samples * p->inputs || (out->d && out->n != samples * p->outputs) || (!out->d && !costs->d) ||
        !costs->d != !gradient->d || (gradient->d && gradient->n != p->params) || (dx->d && (!costs->d || dx->n != x->n)))
        return PyErr_SetString(PyExc_ValueError, "the arrays do not fit the program"), closed(at, 6, NULL);
    const Call call = {.x = x->d, .theta = theta->d, .samples = samples, .down = p->inputs, .along = 1, .down_out = p->outputs,
                       .along_out = 1, .values = out->d, .costs = costs->d, .gradient = gradient->d, .dx = dx->d};
    return closed(at, 6, computed(self, &call, threads));
}

static PyTypeObject MachineType;

/* The arrays of a training fit one another, and the program of the update; the most samples in a step, or -1. */
static int64_t fitting(const Program *p, const Program *update, const Column *at) {
    const Column *x = at, *rates = at + 1, *order = at + 2, *sizes = at + 3, *alike = at + 4, *theta = at + 5, *memory = at + 6;
    int64_t samples = 0, longest = 0, same = 0;
    for (int64_t s = 0; s < sizes->n; s++) {
        if (sizes->l[s] < 1 || sizes->l[s] > order->n - samples) return -1;
        samples += sizes->l[s], longest = sizes->l[s] > longest ? sizes->l[s] : longest;
    }
    for (int64_t m = 0; m < alike->n; m++) same += alike->l[m] != 0;
    if (p->inputs < 1 || p->params < 1 || samples != order->n || x->n % p->inputs || rates->n != sizes->n || theta->n != p->params ||
        memory->n != alike->n * p->params || at[7].n != sizes->n || at[8].n != p->params + 1 || at[9].n != p->params || update->params != 1 + same ||
        update->inputs != 2 + alike->n - same || (update->outputs != 1 + alike->n && update->outputs != 3 + alike->n))
        return -1;
    for (int64_t n = 0; n < order->n; n++)
        if (order->l[n] < 0 || order->l[n] >= x->n / p->inputs) return -1;
    return longest;
}

/* train(update, threads, mean, milliseconds, x, rates, order, sizes, alike, theta, memory, costs, best, gradient): how many steps were taken. */
static PyObject *machine_train(Machine *self, PyObject *const *given, Py_ssize_t count) {
    static const char *const words[] = {"x", "rates", "order", "sizes", "alike", "theta", "memory", "costs", "best", "gradient"};
    if (count != 14 || !PyObject_TypeCheck(given[0], &MachineType) || given[0] == (PyObject *)self)
        return PyErr_Format(PyExc_TypeError, "another machine, three numbers and ten arrays are needed");
    Machine *update = (Machine *)given[0];
    const long threads = PyLong_AsLong(given[1]), mean = PyLong_AsLong(given[2]), milliseconds = PyLong_AsLong(given[3]);
    Column at[10];
    if (PyErr_Occurred() || opened(given + 4, "ddlllwwwww", words, at)) return NULL;
    const Course course = {.mean = mean, .milliseconds = milliseconds, .x = at[0].d, .rates = at[1].d, .order = at[2].l, .sizes = at[3].l,
                           .alike = at[4].l, .theta = at[5].d, .memory = at[6].d, .costs = at[7].d, .best = at[8].d, .gradient = at[9].d, .steps = at[3].n,
                           .memories = at[4].n, .longest = fitting(&self->p, &update->p, at)};
    if (course.longest < 0)
        return PyErr_SetString(PyExc_ValueError, "the arrays do not fit the programs"), closed(at, 10, NULL);
    int64_t taken = 0, widest = course.longest; /* 88 samples are one block, and wider than the two of 128 */
    for (int64_t s = 0; s < course.steps; s++)
        if (lanes_for(&self->p, course.sizes[s]) > lanes_for(&self->p, widest)) widest = course.sizes[s];
    Room *room = take_room(self, widest), *another = room ? take_room(update, self->p.params) : NULL;
    if (another) {
        PyThreadState *thread = PyTuple_GET_SIZE(self->users) || PyTuple_GET_SIZE(update->users) ? NULL : PyEval_SaveThread();
        taken = train(&self->p, self->lanes, room, &update->p, update->lanes, another, &course, threads);
        if (thread) PyEval_RestoreThread(thread);
        if (taken < 0) PyErr_NoMemory();
    }
    give_back(self, room), give_back(update, another);
    return closed(at, 10, PyErr_Occurred() ? NULL : PyLong_FromLongLong(taken));
}

/* How many steps over rows and products it has become, and how many coefficients the largest of these has. */
static PyObject *machine_sizes(Machine *self, void *unused) {
    (void)unused;
    const Program *p = &self->p;
    long long largest = 0;
    for (const Affine *each = p->affine; each < p->affine + p->affines; each++)
        if ((long long)each->m * each->k > largest) largest = (long long)each->m * each->k;
    return Py_BuildValue("LLL", (long long)p->lane_steps, (long long)p->affines, largest);
}

static PyMethodDef machine_methods[] = {
    {"run", (PyCFunction)(void (*)(void))machine_run, METH_FASTCALL,
     "run(threads, x, theta, out, costs, gradient, dx): None, or the sum of the costs; or the (sample, node) that is undefined."},
    {"train", (PyCFunction)(void (*)(void))machine_train, METH_FASTCALL,
     "train(update, threads, mean, milliseconds, x, rates, order, sizes, alike, theta, memory, costs, best, gradient): how many steps were taken."},
    {NULL, NULL, 0, NULL}};
static PyGetSetDef machine_attributes[] = {
    {"sizes", (getter)machine_sizes, NULL, "(steps over rows of samples, products with matrices, coefficients of the largest).", NULL}, {NULL, NULL, NULL, NULL, NULL}};
static PyTypeObject MachineType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "microbp.native._machine.Machine",
    .tp_basicsize = sizeof(Machine),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "A program over the columns of a graph, checked before it runs.",
    .tp_new = machine_new,
    .tp_dealloc = (destructor)machine_dealloc,
    .tp_methods = machine_methods,
    .tp_getset = machine_attributes,
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_machine", "Programs over the columns of a graph, in C.", -1, NULL, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__machine(void) {
    PyObject *module = PyType_Ready(&MachineType) ? NULL : PyModule_Create(&definition);
    if (!module) return NULL;
    PyObject *names = PyList_New(0);
    for (size_t n = 0; n < sizeof variants / sizeof *variants; n++)
        if (variants[n]->supported()) {
            PyObject *text = PyUnicode_FromString(variants[n]->name);
            PyList_Append(names, text);
            Py_XDECREF(text);
        }
    PyModule_AddStringConstant(module, "digest", TABLE_DIGEST);
    PyModule_AddIntConstant(module, "interface", 3); /* what machine.py and node.py expect */
    PyModule_AddObjectRef(module, "Machine", (PyObject *)&MachineType);
    PyModule_AddObject(module, "variants", names);
    if (add_node_type(module)) Py_CLEAR(module);
    return module;
}
