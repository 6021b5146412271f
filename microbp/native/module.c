/* The machine as a Python type: a program is taken from the columns of a graph and checked, and then it runs.

   After the checks here no step can read or write outside its buffers. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "machine.h"

typedef struct {
    PyObject_HEAD
    Program p;
    int32_t *node_of;       /* the node of a slot */
    const Lanes *lanes;     /* NULL where there is no plan for rows of samples */
    Room *room;             /* of the last call, to be used again */
    PyObject *users;        /* for each row that the user has defined (value, slopes) */
} Machine;

/* How wide each row of the table is: single arguments, lists. */
static const int32_t widths[][2] = {
#define WIDTHS(name, singles, lists, may_fail) {singles, lists},
    ROWS(WIDTHS)
#undef WIDTHS
};

static const Lanes *const variants[] = {
#ifdef MICROBP_X86
    &lanes_avx512, &lanes_avx2,
#endif
    &lanes_plain,
};

/* ------------------------------------------------------------------------------------- rows of the user's own */
static PyObject *numbers(const double *v, const int32_t *arg, int width) {
    PyObject *made = PyTuple_New(width);
    for (int n = 0; made && n < width; n++) {
        PyObject *number = PyFloat_FromDouble(v[arg[n]]);
        if (!number) Py_CLEAR(made);
        else PyTuple_SET_ITEM(made, n, number);
    }
    return made;
}

int user_value(const Program *p, int32_t op, const double *v, const int32_t *arg, int width, double *y, int *bad) {
    PyObject *given = numbers(v, arg, width);
    PyObject *both = PyTuple_GET_ITEM((PyObject *)p->user, op - TABLE_ROWS);
    PyObject *found = given ? PyObject_CallOneArg(PyTuple_GET_ITEM(both, 0), given) : NULL;
    Py_XDECREF(given);
    if (!found) {
        if (!PyErr_ExceptionMatches(PyExc_ArithmeticError) && !PyErr_ExceptionMatches(PyExc_ValueError)) return -1;
        PyErr_Clear();
        *bad = 1, *y = NAN;
        return 0;
    }
    *y = PyFloat_AsDouble(found);
    Py_DECREF(found);
    return PyErr_Occurred() ? -1 : 0;
}

int user_slopes(const Program *p, int32_t op, const double *v, const int32_t *arg, int width, double y, double up, double *g) {
    PyObject *given = numbers(v, arg, width), *result = PyFloat_FromDouble(y);
    PyObject *both = PyTuple_GET_ITEM((PyObject *)p->user, op - TABLE_ROWS);
    PyObject *found = given && result ? PyObject_CallFunctionObjArgs(PyTuple_GET_ITEM(both, 1), given, result, NULL) : NULL;
    Py_XDECREF(given), Py_XDECREF(result);
    if (found && (!PyTuple_Check(found) || PyTuple_GET_SIZE(found) != width))
        PyErr_SetString(PyExc_TypeError, "the slopes of a row are a tuple, one for each argument");
    for (int n = width - 1; found && !PyErr_Occurred() && n >= 0; n--)
        g[arg[n]] += up * PyFloat_AsDouble(PyTuple_GET_ITEM(found, n));
    Py_XDECREF(found);
    return PyErr_Occurred() ? -1 : 0;
}

/* -------------------------------------------------------------------------------------------------- what is given */
/* A contiguous buffer of int64 ('l' or 'q') or of doubles ('d'); its length is in *length. */
static int buffer(PyObject *given, Py_buffer *view, char kind, int writable, int64_t *length, const char *what) {
    if (PyObject_GetBuffer(given, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0))) return -1;
    const char format = view->format ? view->format[0] : 'B';
    if (view->itemsize != 8 || !(kind == 'd' ? format == 'd' : format == 'l' || format == 'q')) {
        PyErr_Format(PyExc_TypeError, "%s: a contiguous array of %s is needed", what, kind == 'd' ? "float64" : "int64");
        PyBuffer_Release(view);
        return -1;
    }
    *length = view->len / 8;
    return 0;
}

static int refused(const char *what, int64_t where) {
    PyErr_Format(PyExc_ValueError, "no program: %s at %lld", what, (long long)where);
    return -1;
}

typedef struct {
    const int64_t *op, *first, *args, *params, *inputs, *outputs, *trained;
    const double *consts, *data;
    int64_t nodes, firsts, arguments, n_params, n_inputs, n_outputs, n_trained, n_consts, n_data;
} Given;

/* All that the loops rely on. */
static int check(const Given *at, int64_t users) {
    if (at->firsts != at->nodes + 1 || at->n_data != at->nodes || at->n_trained != at->n_params || !at->n_outputs)
        return refused("columns of unequal length", at->nodes);
    if (at->nodes + at->arguments + at->n_params + at->n_inputs > INT32_MAX / 4) return refused("too many values", at->nodes);
    if (at->first[0] != 0 || at->first[at->nodes] != at->arguments) return refused("arguments that do not end", at->nodes);
    for (int64_t node = 0; node < at->nodes; node++) {
        const int64_t op = at->op[node], width = at->first[node + 1] - at->first[node];
        if (width < 0 || at->first[node] < 0 || at->first[node + 1] > at->arguments) return refused("arguments out of order", node);
        if (op < -1 || op >= TABLE_ROWS + users) return refused("no such operation", node);
        if (op < 0 ? width != 0 : width < 1) return refused("a wrong number of arguments", node);
        if (op >= 0 && op < TABLE_ROWS) {
            const int32_t singles = widths[op][0], lists = widths[op][1];
            if (lists ? width < singles + lists || (width - singles) % lists : width != singles)
                return refused("a wrong number of arguments", node);
        }
        for (int64_t n = at->first[node]; n < at->first[node + 1]; n++)
            if (at->args[n] >= node || at->args[n] < -at->n_consts) return refused("an argument that does not precede", node);
    }
    for (int64_t n = 0; n < at->n_outputs; n++)
        if (at->outputs[n] < 0 || at->outputs[n] >= at->nodes) return refused("an output that is none", n);
    return 0;
}

/* The slots of the leaves that are given from outside; -1 stands for one that is not in the graph. */
static int place_leaves(const Given *at, const int64_t *leaves, int64_t count, int64_t start, int32_t *slot) {
    for (int64_t n = 0; n < count; n++) {
        if (leaves[n] < 0) continue;
        if (leaves[n] >= at->nodes || at->op[leaves[n]] >= 0 || slot[leaves[n]] >= 0) return refused("a leaf that is none", n);
        slot[leaves[n]] = (int32_t)(start + n);
    }
    return 0;
}

static int build(Machine *self, const Given *at) {
    Program *p = &self->p;
    const int64_t lead = at->n_params + at->n_inputs, N = at->nodes, K = at->n_consts;
    p->params = at->n_params, p->inputs = at->n_inputs, p->outputs = at->n_outputs;
    p->slots = lead + N + K + 2;
    int32_t *slot = malloc((size_t)(N + 1) * sizeof *slot);
    p->args = malloc((size_t)(at->arguments + 1) * sizeof *p->args);
    p->step = malloc((size_t)(N + 1) * sizeof *p->step);
    p->constant = calloc((size_t)p->slots, 8);
    p->flags = calloc((size_t)p->slots, 1);
    p->trained = malloc((size_t)p->params + 1);
    p->output = malloc((size_t)p->outputs * sizeof *p->output);
    self->node_of = malloc((size_t)p->slots * sizeof *self->node_of);
    int failed = !slot || !p->args || !p->step || !p->constant || !p->flags || !p->trained || !p->output || !self->node_of;
    if (failed) {
        PyErr_NoMemory();
        free(slot);
        return -1;
    }
    for (int64_t n = 0; n < N; n++) slot[n] = -1;
    if (place_leaves(at, at->params, at->n_params, 0, slot) || place_leaves(at, at->inputs, at->n_inputs, at->n_params, slot)) {
        free(slot);
        return -1;
    }
    for (int64_t n = 0; n < p->params; n++) p->flags[n] = (p->trained[n] = at->trained[n] != 0) ? TRAINED : 0;
    for (int64_t n = 0; n < p->inputs; n++) p->flags[p->params + n] = VARIES | FROM_INPUT;
    /* What depends on nothing keeps the number that was recorded; parameters that are not trained are given anew. */
    uint8_t *given = calloc((size_t)N + 1, 1);
    if (!given) {
        free(slot);
        PyErr_NoMemory();
        return -1;
    }
    for (int64_t n = 0; n < N; n++) {
        given[n] = slot[n] >= 0;
        for (int64_t a = at->first[n]; a < at->first[n + 1]; a++) given[n] |= at->args[a] >= 0 && given[at->args[a]];
    }
    int32_t computed = (int32_t)lead;
    for (int64_t n = 0; n < N; n++)
        if (at->op[n] >= 0 && given[n]) slot[n] = computed++;
    p->computed = computed - lead;
    int32_t constants = computed;
    for (int64_t n = 0; n < N; n++)
        if (slot[n] < 0) slot[n] = constants++;
    for (int64_t n = 0; n < N; n++) p->constant[slot[n]] = at->data[n], self->node_of[slot[n]] = (int32_t)n;
    const int64_t literals = p->slots - K - 2;
    for (int64_t n = 0; n < K; n++) p->constant[literals + n] = at->consts[n];
    p->constant[p->slots - 2] = 1.0, p->constant[p->slots - 1] = -1.0;

    int64_t next = 0;
    for (int64_t n = 0; n < N; n++) {
        if (at->op[n] < 0 || !given[n]) continue;
        const int64_t width = at->first[n + 1] - at->first[n];
        const int32_t op = (int32_t)at->op[n], lists = op < TABLE_ROWS ? widths[op][1] : 0;
        Step made = {.op = op, .out = slot[n], .count = 1, .width = (int32_t)width, .first = next,
                     .len = lists ? (int32_t)(width - widths[op][0]) / lists : 0};
        for (int64_t a = 0; a < width; a++) {
            const int64_t arg = at->args[at->first[n] + a];
            const int32_t from = arg < 0 ? (int32_t)(literals - 1 - arg) : slot[arg];
            const int64_t number = !lists ? a : a < lists * made.len ? a / made.len : a - lists * made.len + lists;
            p->args[next++] = from;
            made.flags |= p->flags[from];
            for (int wrt = 0; wrt < 2; wrt++)
                if (p->flags[from] & (TRAINED | (wrt ? FROM_INPUT : 0))) made.takes[wrt] |= op < TABLE_ROWS ? 1 << number : 1;
        }
        p->flags[slot[n]] = made.flags;
        if (made.len > p->most) p->most = made.len;
        Step *last = p->step + p->steps - 1;
        if (p->steps && last->op == op && last->width == width && last->flags == made.flags &&
            last->takes[0] == made.takes[0] && last->takes[1] == made.takes[1])
            last->count++;
        else
            p->step[p->steps++] = made;
    }
    for (int64_t n = 0; n < p->outputs; n++) p->output[n] = slot[at->outputs[n]];
    free(slot), free(given);
    return 0;
}

static void free_room(Room *room) {
    if (room) free(room->v), free(room->g), free(room->V), free(room->G), free(room->kept);
    free(room);
}

static void machine_dealloc(Machine *self) {
    Program *p = &self->p;
    free(p->args), free(p->step), free(p->constant), free(p->flags), free(p->trained), free(p->output);
    for (int64_t n = 0; n < p->affines; n++) {
        Affine *at = p->affine + n;
        free(at->x), free(at->y), free(at->w), free(at->bias), free(at->gathered), free(at->dgathered);
    }
    free(p->affine), free(p->lane_step), free(p->lane_arg), free(p->row), free(p->spread), free(self->node_of);
    free_room(self->room);
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
    Py_buffer view[9];
    int64_t length[9];
    int open = 0;
    Machine *self = NULL;
    while (open < 9 && !buffer(given[open], view + open, open < 7 ? 'l' : 'd', 0, length + open, words[open])) open++;
    if (open == 9) {
        const Given at = {view[0].buf, view[1].buf, view[2].buf, view[3].buf, view[4].buf, view[5].buf, view[6].buf,
                          view[7].buf, view[8].buf, length[0], length[1], length[2], length[3], length[4], length[5],
                          length[6], length[7], length[8]};
        if (!check(&at, PyTuple_GET_SIZE(users)) && (self = (Machine *)type->tp_alloc(type, 0))) {
            self->users = Py_NewRef(users);
            self->p.user = users;
            if (build(self, &at)) Py_CLEAR(self);
        }
    }
    while (open) PyBuffer_Release(view + --open);
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
static void *aligned(size_t size) { return aligned_alloc(64, (size + 64) / 64 * 64); }

static Room *new_room(const Program *p, int64_t lanes) {
    Room *room = calloc(1, sizeof *room);
    if (!room) return NULL;
    room->lanes = lanes;
    room->v = malloc((size_t)p->slots * 8), room->g = malloc((size_t)p->slots * 8);
    room->V = aligned((size_t)(p->rows * lanes) * 8), room->G = aligned((size_t)(p->rows * lanes) * 8);
    room->kept = aligned((size_t)((p->most + 1) * (lanes ? lanes : 1)) * 8);
    if (room->v && room->g && room->V && room->G && room->kept) return room;
    free_room(room);
    return NULL;
}

/* A call: what it computes from, and where its results go; costs, gradient and dx, or values. */
typedef struct {
    const double *x, *theta;
    int64_t samples;
    double *values, *costs, *gradient, *dx;
} Call;

/* So many samples in a row that all rows stay in the second cache, if they can. */
static int lanes_for(const Program *p, int64_t samples) {
    int64_t most = (1 << 20) / (16 * (p->rows + 1)) / LANES * LANES;
    most = most > 104 ? 104 : most < LANES ? LANES : most;
    const int64_t blocks = (samples + most - 1) / most, each = (samples + blocks - 1) / blocks;
    return (int)((each + LANES - 1) / LANES * LANES);
}

static void give_gradient(const Program *p, const Room *room, const Call *call) {
    for (int64_t n = 0; n < p->params; n++) call->gradient[n] = p->trained[n] ? room->g[n] : 0.0;
}

/* Sample after sample. The sample and the slot that are undefined go to fault; -2 where Python has raised. */
static int run_exactly(const Program *p, Room *room, const Call *call, int64_t fault[2]) {
    double *v = room->v, *g = room->g;
    memcpy(v, p->constant, (size_t)p->slots * 8);
    memcpy(v, call->theta, (size_t)p->params * 8);
    if (call->gradient) memset(call->gradient, 0, (size_t)p->params * 8);
    for (int64_t sample = 0; sample < call->samples; sample++) {
        memcpy(v + p->params, call->x + sample * p->inputs, (size_t)p->inputs * 8);
        const int64_t slot = exact_forward(p, v, room->kept, sample ? VARYING_PART : WHOLE);
        if (slot != -1) {
            fault[0] = sample, fault[1] = slot;
            return slot == -2 ? -2 : 1;
        }
        if (call->values)
            for (int64_t n = 0; n < p->outputs; n++) call->values[sample * p->outputs + n] = v[p->output[n]];
        if (!call->gradient) continue;
        memset(g, 0, (size_t)p->slots * 8);
        double cost = p->outputs == 1 ? v[p->output[0]] : 0.0;
        for (int64_t n = 0; n < p->outputs; n++) {
            g[p->output[n]] += 1.0;
            if (p->outputs > 1) cost += v[p->output[n]];
        }
        call->costs[sample] = cost;
        if (exact_backward(p, v, g, room->kept, WHOLE, call->dx != NULL)) return -2;
        for (int64_t n = 0; n < p->params; n++)
            if (p->trained[n]) call->gradient[n] += g[n];
        if (call->dx)
            for (int64_t n = 0; n < p->inputs; n++) call->dx[sample * p->inputs + n] = g[p->params + n] + 0.0;
    }
    return 0;
}

/* In rows of samples; 1 where something may be undefined or is not finite, so that each sample is to be looked at. */
static int run_rows(const Program *p, const Lanes *to, Room *room, const Call *call, int lanes) {
    double *V = room->V, *G = room->G;
    memcpy(room->v, p->constant, (size_t)p->slots * 8);
    memcpy(room->v, call->theta, (size_t)p->params * 8);
    if (exact_forward(p, room->v, room->kept, SHARED_PART) != -1) return 1;
    to->prepare(p, room, lanes);
    if (call->gradient) memset(room->g, 0, (size_t)p->slots * 8);
    for (int64_t start = 0; start < call->samples; start += lanes) {
        const int64_t left = call->samples - start;
        const int here = left < lanes ? (int)left : lanes;
        const double *x = call->x + start * p->inputs;
        for (int l = 0; l < lanes; l += LANES) { /* what is beyond the samples repeats the last */
            int64_t from[LANES];
            for (int n = 0; n < LANES; n++) from[n] = (l + n < here ? l + n : here - 1) * p->inputs;
            for (int64_t i = 0; i < p->inputs; i++)
                for (int n = 0; n < LANES; n++) V[i * lanes + l + n] = x[from[n] + i];
        }
        if (to->forward(p, room, lanes)) return 1;
        for (int64_t n = 0; n < p->outputs && call->values; n++)
            for (int l = 0; l < here; l++)
                call->values[(start + l) * p->outputs + n] = V[(int64_t)p->row[p->output[n]] * lanes + l];
        if (!call->gradient) continue;
        memset(G, 0, (size_t)(p->rows * lanes) * 8);
        for (int l = 0; l < here; l++) {
            double cost = 0.0;
            for (int64_t n = 0; n < p->outputs; n++) {
                const int64_t at = (int64_t)p->row[p->output[n]] * lanes + l;
                cost += V[at], G[at] += 1.0;
            }
            call->costs[start + l] = cost;
            if (!isfinite(cost)) return 1;
        }
        to->backward(p, room, lanes, call->dx != NULL);
        for (int l = 0; l < here && call->dx; l++)
            for (int64_t i = 0; i < p->inputs; i++) {
                const double slope = G[i * lanes + l] + 0.0;
                call->dx[(start + l) * p->inputs + i] = slope;
                if (!isfinite(slope)) return 1;
            }
    }
    if (!call->gradient) return 0;
    exact_backward(p, room->v, room->g, room->kept, SHARED_PART, 0);
    give_gradient(p, room, call);
    for (int64_t n = 0; n < p->params; n++)
        if (!isfinite(call->gradient[n])) return 1;
    return 0;
}

/* None, or (sample, node) where an operation is undefined. */
static PyObject *run(Machine *self, const Call *call) {
    const Program *p = &self->p;
    const int lanes = self->lanes && call->samples > 1 ? lanes_for(p, call->samples) : 0;
    Room *room = self->room;
    self->room = NULL;
    if (!room || room->lanes < lanes) {
        free_room(room);
        room = new_room(p, lanes);
        if (!room) return PyErr_NoMemory();
    }
    int64_t fault[2] = {0, 0};
    PyThreadState *thread = PyTuple_GET_SIZE(self->users) ? NULL : PyEval_SaveThread();
    int state = lanes ? run_rows(p, self->lanes, room, call, lanes) : 1;
    if (state) state = run_exactly(p, room, call, fault);
    if (thread) PyEval_RestoreThread(thread);
    if (self->room) free_room(room); /* another thread has put its own back */
    else self->room = room;
    if (state == -2) return NULL;
    if (state) return Py_BuildValue("Li", (long long)fault[0], (int)self->node_of[fault[1]]);
    Py_RETURN_NONE;
}

/* values(x, theta, out) and gradients(x, theta, costs, gradient, dx or None): how long each array is. */
static PyObject *called(Machine *self, PyObject *const *given, Py_ssize_t count, int gradients) {
    static const char *const words[2][5] = {{"x", "theta", "out"}, {"x", "theta", "costs", "gradient", "dx"}};
    const Program *p = &self->p;
    if (count != (gradients ? 5 : 3)) return PyErr_Format(PyExc_TypeError, "%d arrays are needed", gradients ? 5 : 3);
    if (gradients && given[4] == Py_None) count--;
    Py_buffer view[5];
    int64_t length[5] = {0};
    int open = 0;
    PyObject *result = NULL;
    while (open < count && !buffer(given[open], view + open, 'd', open > 1, length + open, words[gradients][open])) open++;
    if (open == count) {
        /* without inputs nothing but the results tells how many samples there are */
        const int64_t samples = gradients ? length[2] : length[2] / p->outputs;
        if (length[1] != p->params || length[0] != samples * p->inputs ||
            (gradients ? length[3] != p->params || (count == 5 && length[4] != length[0]) : length[2] != samples * p->outputs))
            PyErr_SetString(PyExc_ValueError, "the arrays do not fit the program");
        else {
            Call call = {.x = view[0].buf, .theta = view[1].buf, .samples = samples};
            if (gradients) call.costs = view[2].buf, call.gradient = view[3].buf, call.dx = count == 5 ? view[4].buf : NULL;
            else call.values = view[2].buf;
            result = run(self, &call);
        }
    }
    while (open) PyBuffer_Release(view + --open);
    return result;
}

static PyObject *machine_values(Machine *self, PyObject *const *given, Py_ssize_t count) { return called(self, given, count, 0); }
static PyObject *machine_gradients(Machine *self, PyObject *const *given, Py_ssize_t count) { return called(self, given, count, 1); }

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
    {"values", (PyCFunction)(void (*)(void))machine_values, METH_FASTCALL, "values(x, theta, out): None, or the (sample, node) that is undefined."},
    {"gradients", (PyCFunction)(void (*)(void))machine_gradients, METH_FASTCALL,
     "gradients(x, theta, costs, gradient, dx): None, or the (sample, node) that is undefined."},
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
    PyObject *names = PyList_New(0), *rows = PyList_New(0);
#define NAMED(name, singles, lists, may_fail) {PyObject *text = PyUnicode_FromString(#name); PyList_Append(rows, text); Py_XDECREF(text);}
    ROWS(NAMED)
    for (size_t n = 0; n < sizeof variants / sizeof *variants; n++)
        if (variants[n]->supported()) {
            PyObject *text = PyUnicode_FromString(variants[n]->name);
            PyList_Append(names, text);
            Py_XDECREF(text);
        }
    PyModule_AddStringConstant(module, "digest", TABLE_DIGEST);
    PyModule_AddObjectRef(module, "Machine", (PyObject *)&MachineType);
    PyModule_AddObject(module, "variants", names);
    PyModule_AddObject(module, "rows", rows);
    return module;
}
