/* The machine as a Python type: a program is taken from the columns of a graph and checked, and then it runs.

   After the checks here no step can read or write outside its buffers. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include "machine.h"

/* value.c */
int add_node_type(PyObject *module);

typedef struct {
    PyObject_HEAD
    Program p;
    int32_t *node_of;       /* the node of a slot that is computed */
    const Lanes *lanes;     /* NULL where there is no plan for rows of samples */
    Room *room;             /* those that are free, to be used again */
} Machine;

static const Lanes *const variants[] = {LANES_BUILT};

/* ------------------------------------------------------------------------------------- rows of the user's own */
/* Numbers, or those of some slots, as a list. */
static PyObject *listed(const double *x, const int32_t *slot, int64_t count) {
    PyObject *made = PyList_New(count);
    for (int64_t n = 0; made && n < count; n++) PyList_SET_ITEM(made, n, PyFloat_FromDouble(x[slot ? slot[n] : n]));
    if (PyErr_Occurred()) Py_CLEAR(made);
    return made;
}

/* What Python says of such a row: its value, or where the value y is given, its slopes. */
static PyObject *asked(const Program *p, int32_t op, const double *v, const int32_t *arg, int width, const double *y) {
    return PyObject_CallFunction(p->user, y ? "iNd" : "iN", op - TABLE_ROWS, listed(v, arg, width), y ? *y : 0.0);
}

int user_value(const Program *p, int32_t op, const double *v, const int32_t *arg, int width, double *y, int *bad) {
    PyObject *found = asked(p, op, v, arg, width, NULL);
    *y = found ? PyFloat_AsDouble(found) : NAN;
    Py_XDECREF(found);
    if (found || !(PyErr_ExceptionMatches(PyExc_ArithmeticError) || PyErr_ExceptionMatches(PyExc_ValueError)))
        return PyErr_Occurred() ? -1 : 0;
    PyErr_Clear();
    *bad = 1;
    return 0;
}

int user_slopes(const Program *p, int32_t op, const double *v, const int32_t *arg, int width, double y, double up, double *g) {
    PyObject *found = asked(p, op, v, arg, width, &y);
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
static int opened(PyObject *const *given, const char *kinds, Column *column) {
    for (int n = 0; kinds[n]; n++) {
        Column *each = column + n;
        const int real = kinds[n] != 'l';
        memset(each, 0, sizeof *each);
        if (kinds[n] == 'n' && given[n] == Py_None) continue;
        if (PyObject_GetBuffer(given[n], &each->view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (real && kinds[n] != 'd' ? PyBUF_WRITABLE : 0)))
            return closed(column, n, NULL), -1;
        const char format = each->view.format ? each->view.format[0] : 'B';
        if (each->view.itemsize != 8 || !(real ? format == 'd' : format == 'l' || format == 'q')) {
            PyErr_Format(PyExc_TypeError, "array %d: a contiguous array of %s is needed", n, real ? "float64" : "int64");
            return closed(column, n + 1, NULL), -1;
        }
        each->n = each->view.len / 8, each->d = each->view.buf, each->l = each->view.buf;
    }
    return 0;
}

static int refused(const char *what, int64_t where) {
    PyErr_Format(PyExc_ValueError, "no program: %s at %lld", what, (long long)where);
    return -1;
}

/* Parameters and inputs have the first slots; -1 stands for a leaf that is not in the graph. */
static int place_leaves(Program *p, const int64_t *op, int64_t N, const Column *params, const Column *inputs, const int64_t *trained, int32_t *slot) {
    for (int64_t n = 0; n < p->params + p->inputs; n++) {
        const int64_t leaf = n < p->params ? params->l[n] : inputs->l[n - p->params];
        p->flags[n] = GIVEN | (n >= p->params ? VARIES | FROM_INPUT : trained[n] ? TRAINED : 0);
        p->frozen += n < p->params && !trained[n];
        if (leaf < 0) continue;
        if (leaf >= N || op[leaf] >= 0 || slot[leaf] >= 0) return refused("a leaf that is none", n);
        slot[leaf] = (int32_t)n;
    }
    return 0;
}

/* A step like the one before, and beside it, is one with it. */
static void add_step(Program *p, int part, const Step *made) {
    Step *last = p->step[part] + p->steps[part] - 1;
    if (p->steps[part] && last->op == made->op && last->width == made->width && last->flags == made->flags &&
        last->takes[0] == made->takes[0] && last->takes[1] == made->takes[1] && last->out + last->count == made->out &&
        last->arg + (int64_t)last->count * last->width == made->arg && (last->count == 1 || last->chain == made->chain))
        last->count++, last->chain = made->chain;
    else
        p->step[part][p->steps[part]++] = *made;
}

/* When a node is computed, among IN_A_ROW: by its level, then its operation, then its number. */
enum { IN_A_ROW = 1 << 12 };
#define LEVEL ((int64_t)IN_A_ROW << 32)

static int by_rank(const void *a, const void *b) {
    const int64_t one = *(const int64_t *)a, other = *(const int64_t *)b;
    return (one > other) - (one < other);
}

/* As few levels up as bring it behind another. */
static void not_before(int64_t *rank, int64_t other) {
    if (*rank < other) *rank += (other - *rank + LEVEL - 1) / LEVEL * LEVEL;
}

/* From the columns of a graph, node after node, with all that the loops rely on looked at. What depends on nothing that
   is given keeps the number that was recorded. Of some nodes in a row equal
   operations come side by side where none needs another; those that pass gradients on to one value keep their order,
   and so do those that may be undefined. Of each node: its slot, -1 so far; its rank; which one used it last. */
static int build(Machine *self, const Column *columns, int32_t *slot, int64_t *rank, int64_t *used, uint8_t *flags) {
    enum { OP, FIRST, ARGS, PARAMS, INPUTS, OUTPUTS, TRAINS, CONSTS, DATA };
    Program *p = &self->p;
    const int64_t *op = columns[OP].l, *first = columns[FIRST].l, *args = columns[ARGS].l, *outputs = columns[OUTPUTS].l;
    const int64_t N = columns[OP].n, M = columns[ARGS].n, K = columns[CONSTS].n;
    const double *data = columns[DATA].d;
    p->params = columns[PARAMS].n, p->inputs = columns[INPUTS].n, p->outputs = columns[OUTPUTS].n;
    if (columns[FIRST].n != N + 1 || columns[DATA].n != N || columns[TRAINS].n != p->params || !p->outputs)
        return refused("columns of unequal length", N);
    const int64_t lead = p->params + p->inputs, literals = lead + N;
    p->slots = literals + K + 1;
    if (p->slots + M > INT32_MAX / 4) return refused("too many values", N);
    p->args = malloc((size_t)(M + 1) * sizeof *p->args);
    for (int part = 0; part < PARTS; part++) p->step[part] = malloc((size_t)(N + 1) * sizeof(Step));
    p->constant = calloc((size_t)p->slots, 8);
    p->flags = calloc((size_t)p->slots, 1);
    p->output = malloc((size_t)p->outputs * sizeof *p->output);
    self->node_of = malloc((size_t)p->slots * sizeof *self->node_of);
    if (!p->args || !p->step[WHOLE] || !p->step[SHARED_PART] || !p->step[VARYING_PART] || !p->constant || !p->flags || !p->output || !self->node_of) return PyErr_NoMemory(), -1;
    memset(slot, 0xff, (size_t)N * sizeof *slot);
    if (place_leaves(p, op, N, columns + PARAMS, columns + INPUTS, columns[TRAINS].l, slot)) return -1;
    int64_t begin = 0, undefined = -1;
    for (int64_t n = 0; n < N; n++) {
        const int64_t start = first[n], width = start < 0 || first[n + 1] < start ? -1 : first[n + 1] - start;
        if (width < 0 || first[n + 1] > M) return refused("arguments out of order", n);
        if (op[n] < -1 || op[n] > INT32_MAX - 1 || (op[n] >= TABLE_ROWS && p->user == Py_None)) return refused("no such operation", n);
        const int32_t lists = lists_of((int32_t)op[n]), len = elements((int32_t)op[n], width);
        if (op[n] < 0 ? width : op[n] >= TABLE_ROWS ? !width : width != widths[op[n]][0] + lists * len || (lists && len < 1))
            return refused("a wrong number of arguments", n);
        rank[n] = (op[n] + 1) * IN_A_ROW + n - begin, used[n] = -1;
        flags[n] = slot[n] < 0 ? 0 : p->flags[slot[n]];
        for (int64_t a = start; a < start + width; a++) {
            if (args[a] >= n || args[a] < -K) return refused("an argument that does not precede", n);
            if (args[a] < 0) continue;
            flags[n] |= flags[args[a]];
            if (args[a] >= begin) not_before(rank + n, (rank[args[a]] / LEVEL + 1) * LEVEL);
            if (used[args[a]] >= begin) not_before(rank + n, rank[used[args[a]]]);
            used[args[a]] = n;
        }
        const int may_fail = op[n] >= 0 && (op[n] >= TABLE_ROWS || widths[op[n]][2]);
        if (may_fail && undefined >= begin) not_before(rank + n, rank[undefined]);
        if (may_fail) undefined = n;
        p->computed += op[n] >= 0;
        if (len > p->most) p->most = len;
        if (n < N - 1 && n + 1 - begin < IN_A_ROW) continue;
        qsort(rank + begin, (size_t)(n + 1 - begin), sizeof *rank, by_rank);
        for (int64_t k = begin; k <= n; k++) rank[k] = begin + rank[k] % IN_A_ROW;
        begin = n + 1;
    }
    p->sloping = lead + p->computed;
    int32_t computed = (int32_t)lead, constants = (int32_t)p->sloping;
    for (int64_t k = 0; k < N; k++) {
        const int64_t n = rank[k], start = first[n], width = first[n + 1] - start;
        Step made = {.op = (int32_t)op[n], .count = 1, .width = (int32_t)width, .flags = flags[n]};
        const int32_t lists = lists_of(made.op), len = elements(made.op, width);
        if (slot[n] < 0) slot[n] = made.op < 0 ? constants++ : computed++;
        p->constant[slot[n]] = data[n], self->node_of[slot[n]] = (int32_t)n;
        if (made.op < 0 || !made.flags) continue;
        made.out = slot[n], made.arg = (int32_t)p->arguments;
        for (int64_t a = 0; a < width; a++) {
            const int64_t arg = args[start + a], number = a < lists * len ? a / len : a - lists * len + lists;
            const int32_t from = arg < 0 ? (int32_t)(literals - 1 - arg) : slot[arg];
            p->args[p->arguments + a] = from;
            for (int wrt = 0; wrt < 2; wrt++)
                if (p->flags[from] & (TRAINED | (wrt ? FROM_INPUT : 0))) made.takes[wrt] |= made.op < TABLE_ROWS ? 1 << number : 1;
        }
        made.chain = !lists && p->args[made.arg] == made.out - 1;
        p->flags[made.out] = made.flags, p->arguments += width;
        add_step(p, WHOLE, &made);
        add_step(p, made.flags & VARIES ? VARYING_PART : SHARED_PART, &made);
    }
    for (int64_t n = 0; n < K; n++) p->constant[literals + n] = columns[CONSTS].d[n];
    p->constant[p->slots - 1] = 1.0;
    for (int64_t n = 0; n < p->outputs; n++) {
        if (outputs[n] < 0 || outputs[n] >= N) return refused("an output that is none", n);
        p->output[n] = slot[outputs[n]];
    }
    return 0;
}

static void machine_dealloc(Machine *self) {
    Program *p = &self->p;
    for (int part = 0; part < PARTS; part++) free(p->step[part]);
    free(p->args), free(p->constant), free(p->flags), free(p->output), free(self->node_of);
    for (Affine *at = p->affine; at < p->affine + p->affines; at++) free(at->x.at), free(at->y.at), free(at->w.at), free(at->bias.at);
    free(p->affine), free(p->lane_step), free(p->lane_arg), free(p->row), free(p->spread);
    for (Room *room = self->room, *next; room; room = next) next = room->next, free(room);
    Py_XDECREF((PyObject *)p->user);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

/* Machine(op, first, args, params, inputs, outputs, trained, consts, data, user, variant); user(number, arguments[, y]) is
   what a row says that the user has defined, or None. */
static PyObject *machine_new(PyTypeObject *type, PyObject *positional, PyObject *named) {
    if (named || PyTuple_GET_SIZE(positional) != 11) return PyErr_Format(PyExc_TypeError, "nine arrays, a function and a word are needed");
    PyObject *const *given = &PyTuple_GET_ITEM(positional, 0);
    const char *variant = PyUnicode_AsUTF8(given[10]);
    if (!variant) return NULL;
    const Lanes *lanes = NULL;
    for (size_t n = 0; n < sizeof variants / sizeof *variants && !lanes; n++)
        if (variants[n]->supported() && (!*variant || !strcmp(variant, variants[n]->name))) lanes = variants[n];
    if (!lanes) return PyErr_Format(PyExc_ValueError, "no variant %s on this processor", variant);
    Column columns[9];
    if (opened(given, "llllllldd", columns)) return NULL;
    Machine *self = (Machine *)type->tp_alloc(type, 0);
    const size_t N = (size_t)columns[0].n;
    int32_t *slot = malloc((N + 1) * sizeof *slot);
    int64_t *rank = malloc((N + 1) * (2 * sizeof *rank + 1)), *used = rank + N; /* and a byte for each */
    if (self) {
        self->p.user = Py_NewRef(given[9]);
        int failed = slot && rank ? build(self, columns, slot, rank, used, (uint8_t *)(used + N)) : -1;
        if (!failed) failed = plan_lanes(&self->p);
        self->lanes = failed ? NULL : lanes;
        if (failed == -1 && !PyErr_Occurred()) PyErr_NoMemory();
        if (failed == -1) Py_CLEAR(self);
    }
    free(slot), free(rank);
    return closed(columns, 9, (PyObject *)self);
}

/* ------------------------------------------------------------------------------------------------------- running */
/* Room for one sample or for any block of them, taken out of those that are free; the GIL is held. */
static Room *take_room(Machine *self, int64_t samples) {
    const int lanes = self->lanes && samples > 1 ? lanes_for(&self->p, 1ll << 40) : 0;
    Room *room = self->room;
    if (room) self->room = room->next;
    if (room && room->lanes >= lanes) return room;
    free(room);
    room = new_room(&self->p, lanes);
    if (!room) PyErr_NoMemory();
    return room;
}

static void give_back(Machine *self, Room *room) {
    if (room) room->next = self->room, self->room = room;
}

/* None; of costs their sum over the shares, nan where a derivative is not finite; (sample, node) of what is undefined. */
static PyObject *computed(Machine *self, const Call *call, long threads) {
    Room *room = take_room(self, call->samples);
    if (!room) return NULL;
    int64_t fault[2] = {0, 0};
    PyThreadState *thread = self->p.user == Py_None ? PyEval_SaveThread() : NULL;
    const int state = run(&self->p, self->lanes, room, call, threads, fault);
    if (thread) PyEval_RestoreThread(thread);
    give_back(self, room);
    if (state == RAISED) return NULL;
    if (state == UNDEFINED) return Py_BuildValue("Li", (long long)fault[0], (int)self->node_of[fault[1]]);
    if (!call->costs) Py_RETURN_NONE;
    double sum = all_finite(call->gradient, self->p.params) ? -0.0 : NAN;
    for (int64_t n = 0; n < call->samples; n++) sum += call->costs[n];
    return PyFloat_FromDouble(sum / call->shares);
}

/* run(threads, x, theta, out, costs, gradient, dx[, mean]), of which out or the other three, or dx may be None. */
static PyObject *machine_run(Machine *self, PyObject *const *given, Py_ssize_t count) {
    const Program *p = &self->p;
    Column at[6], *x = at, *theta = at + 1, *out = at + 2, *costs = at + 3, *gradient = at + 4, *dx = at + 5;
    if (count < 7) return PyErr_Format(PyExc_TypeError, "a number and six arrays are needed");
    const long threads = PyLong_AsLong(given[0]), mean = count > 7 && given[7] == Py_True;
    if (PyErr_Occurred() || opened(given + 1, "ddnnnn", at)) return NULL;
    /* without inputs nothing but the results tells how many samples there are */
    const int64_t samples = costs->d ? costs->n : out->n / p->outputs;
    if (theta->n != p->params || x->n != samples * p->inputs || (out->d && out->n != samples * p->outputs) || (!out->d && !costs->d) ||
        !costs->d != !gradient->d || (gradient->d && gradient->n != p->params) || (dx->d && (!costs->d || dx->n != x->n)) ||
        (gradient->d && ((gradient->d < x->d + x->n && x->d < gradient->d + gradient->n) ||
                         (gradient->d < theta->d + theta->n && theta->d < gradient->d + gradient->n))))
        return PyErr_SetString(PyExc_ValueError, "the arrays do not fit the program"), closed(at, 6, NULL);
    const Call call = {.x = x->d, .theta = theta->d, .samples = samples, .values = out->d, .costs = costs->d,
                       .gradient = gradient->d, .dx = dx->d, .shares = mean && samples > 1 ? (double)samples : 1.0};
    return closed(at, 6, computed(self, &call, threads));
}

/* As many numbers of a sequence as are wanted; a list is copied where code may run that changes it, as it cannot for floats. */
static int numbers(PyObject *given, double *into, int64_t wanted) {
    if ((PyList_CheckExact(given) || PyTuple_CheckExact(given)) && PySequence_Fast_GET_SIZE(given) == wanted) {
        PyObject **all = PySequence_Fast_ITEMS(given);
        int64_t read = 0;
        for (; read < wanted && PyFloat_CheckExact(all[read]); read++) into[read] = PyFloat_AS_DOUBLE(all[read]);
        if (read == wanted) return 0;
    }
    PyObject *row = PySequence_Tuple(given);
    if (row && PyTuple_GET_SIZE(row) != wanted)
        PyErr_Format(PyExc_ValueError, "%lld numbers are needed, not %zd", (long long)wanted, PyTuple_GET_SIZE(row));
    for (int64_t n = 0; n < wanted && !PyErr_Occurred(); n++) into[n] = PyFloat_AsDouble(PyTuple_GET_ITEM(row, n));
    Py_XDECREF(row);
    return PyErr_Occurred() ? -1 : 0;
}

/* Of one sample, as the functions of straight-line code. */
static PyObject *one_sample(Machine *self, PyObject *const *given, Py_ssize_t count, int slopes) {
    const Program *p = &self->p;
    if (count != 2) return PyErr_Format(PyExc_TypeError, "the inputs of a sample and the parameters are needed");
    Room *room = take_room(self, 1);
    PyObject *result = NULL;
    int64_t slot = -2;
    if (room && !numbers(given[0], room->v + p->params, p->inputs) && !numbers(given[1], room->v, p->params))
        slot = exact_sample(p, room, WHOLE, slopes, 0);
    if (slot >= 0) PyErr_Format(PyExc_ArithmeticError, "the operation at node %d has no result; a call of the program explains it", self->node_of[slot]);
    if (slot == -1) result = p->outputs > 1 ? listed(room->v, p->output, p->outputs) : PyFloat_FromDouble(room->v[p->output[0]]);
    if (result && slopes) result = Py_BuildValue("NN", result, listed(room->g, NULL, p->params));
    give_back(self, room);
    return result;
}

static PyObject *machine_value(Machine *self, PyObject *const *given, Py_ssize_t count) { return one_sample(self, given, count, 0); }
static PyObject *machine_value_and_grad(Machine *self, PyObject *const *given, Py_ssize_t count) { return one_sample(self, given, count, 1); }

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
    if (count != 14 || Py_TYPE(given[0]) != Py_TYPE(self) || given[0] == (PyObject *)self)
        return PyErr_Format(PyExc_TypeError, "another machine, three numbers and ten arrays are needed");
    Machine *update = (Machine *)given[0];
    const long threads = PyLong_AsLong(given[1]), mean = PyLong_AsLong(given[2]), milliseconds = PyLong_AsLong(given[3]);
    Column at[10];
    if (PyErr_Occurred() || opened(given + 4, "ddlllwwwww", at)) return NULL;
    const Course course = {.mean = mean, .milliseconds = milliseconds, .x = at[0].d, .rates = at[1].d, .order = at[2].l, .sizes = at[3].l,
                           .alike = at[4].l, .theta = at[5].d, .memory = at[6].d, .costs = at[7].d, .best = at[8].d, .gradient = at[9].d, .steps = at[3].n,
                           .memories = at[4].n, .longest = fitting(&self->p, &update->p, at)};
    if (course.longest < 0)
        return PyErr_SetString(PyExc_ValueError, "the arrays do not fit the programs"), closed(at, 10, NULL);
    int64_t taken = 0;
    Room *room = take_room(self, course.longest), *another = room ? take_room(update, self->p.params) : NULL;
    if (another) {
        PyThreadState *thread = self->p.user == Py_None && update->p.user == Py_None ? PyEval_SaveThread() : NULL;
        taken = train(&self->p, self->lanes, room, &update->p, update->lanes, another, &course, threads);
        if (thread) PyEval_RestoreThread(thread);
        if (taken < 0) PyErr_NoMemory();
    }
    give_back(self, room), give_back(update, another);
    return closed(at, 10, PyErr_Occurred() ? NULL : PyLong_FromLongLong(taken));
}

static PyMethodDef machine_methods[] = {
    {"run", (PyCFunction)(void (*)(void))machine_run, METH_FASTCALL, "A batch: None, the sum of the costs, or the (sample, node) that is undefined."},
    {"value", (PyCFunction)(void (*)(void))machine_value, METH_FASTCALL, "value(x, theta): of one sample, in numbers."},
    {"value_and_grad", (PyCFunction)(void (*)(void))machine_value_and_grad, METH_FASTCALL, "value_and_grad(x, theta): the same with the gradient."},
    {"train", (PyCFunction)(void (*)(void))machine_train, METH_FASTCALL, "Steps of a descent: how many were taken."},
    {NULL, NULL, 0, NULL}};
static PyMemberDef machine_members[] = {
    {"steps", T_LONGLONG, offsetof(Machine, p.lane_steps), READONLY, "Steps over rows of samples."},
    {"products", T_LONGLONG, offsetof(Machine, p.affines), READONLY, "How many of them are products with matrices."},
    {"largest", T_LONGLONG, offsetof(Machine, p.largest), READONLY, "How many coefficients the largest of these has."},
    {NULL, 0, 0, 0, NULL}};
static PyTypeObject MachineType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "microbp.native._machine.Machine",
    .tp_basicsize = sizeof(Machine),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "A program over the columns of a graph, checked before it runs.",
    .tp_new = machine_new,
    .tp_dealloc = (destructor)machine_dealloc,
    .tp_methods = machine_methods,
    .tp_members = machine_members,
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_machine", "Programs over the columns of a graph, in C.", -1, NULL, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__machine(void) {
    PyObject *module = PyType_Ready(&MachineType) ? NULL : PyModule_Create(&definition);
    if (!module) return NULL;
    PyObject *names = PyList_New(0);
    for (size_t n = 0; n < sizeof variants / sizeof *variants; n++)
        if (variants[n]->supported()) Py_XDECREF(PyObject_CallMethod(names, "append", "s", variants[n]->name));
    PyModule_AddStringConstant(module, "digest", TABLE_DIGEST);
    PyModule_AddIntConstant(module, "interface", 6); /* what machine.py and node.py expect */
    PyModule_AddObjectRef(module, "Machine", (PyObject *)&MachineType);
    PyModule_AddObject(module, "variants", names);
    if (add_node_type(module)) Py_CLEAR(module);
    return module;
}
