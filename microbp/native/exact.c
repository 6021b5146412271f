/* One sample with the bits of the eager engine: the same functions of the same library in the same order.

   This file is built without contraction, so that a * b + c is rounded twice, as in Python. */
#include "machine.h"
#include "single.h"

/* -------------------------------------------------------------------------- the rows, read as single numbers */
#define A(place) ((place) ? v[arg[place]] : first)
#define E(place) v[arg[(place) + e]]
#define PASS(place, x) return g[arg[place]] += up * (x);
#define PASS_IF(place, c, a, b) PASS(place, (c) ? (a) : (b))
#define PASS_EACH(place, x) for (int64_t e = len - 1; e >= 0; e--) g[arg[(place) + e]] += up * (x); return up;
#define OPERATION const double *v, double first, const int32_t *arg, int64_t len, double *kept, int *bad
#define VALUE(name) static inline double value_##name(OPERATION)
#define SLOPE(name, n) static inline double slope_##name##_##n(OPERATION, double *g, double y, double up)
#define SLOPES(name) static inline void slopes_##name(OPERATION, double *g, double y, double up, int takes, double *next)
#define TAKES(name, n) \
    if (takes >> n & 1) *next = slope_##name##_##n(v, first, arg, len, kept, bad, g, y, up);

#include "rows.h"

/* ------------------------------------------------------------------------------------------------- the loops */
/* A chain keeps what goes from one operation to the next in a register: memory takes longer to give it back than an
   addition takes. Place 0 is the last that SLOPES serves, so that `next` is the whole gradient of the one before. */
int64_t exact_forward(const Program *p, double *v, double *kept, int part) {
    for (const Step *step = p->step[part], *end = step + p->steps[part]; step < end; step++) {
        const int32_t *arg = p->args + step->arg;
        const int64_t width = step->width;
        double *out = v + step->out, *last = out + step->count, y = v[*arg];
        int bad = 0;
        switch (step->op) {
#define FORWARD(name, singles, lists, may_fail) \
    case ROW_##name: \
        for (const int64_t len = elements(ROW_##name, width); out < last; out++, arg += lists ? width : singles) { \
            if (!step->chain) y = v[*arg]; \
            *out = y = value_##name(v, y, arg, len, kept, &bad); \
            if (bad) return out - v; \
        } \
        break;
            ROWS(FORWARD)
        default:
            for (; out < last; out++, arg += width) {
                if (user_value(p, step->op, v, arg, (int)width, out, &bad) < 0) return -2;
                if (bad) return out - v;
            }
        }
    }
    return -1;
}

int exact_backward(const Program *p, const double *v, double *g, double *kept, int part, int wrt_inputs) {
    int bad = 0; /* a derivative that math refuses is what IEEE 754 has there */
    for (const Step *step = p->step[part] + p->steps[part] - 1; step >= p->step[part]; step--) {
        const int takes = step->takes[wrt_inputs], chain = step->chain & takes;
        const int64_t width = step->width, first = step->out;
        const int32_t *arg = p->args + step->arg + step->count * width;
        int64_t out = first + step->count;
        double next = g[out - 1];
        if (!takes) continue;
        switch (step->op) {
#define BACKWARD(name, singles, lists, may_fail) \
    case ROW_##name: \
        for (const int64_t len = elements(ROW_##name, width); out > first;) { \
            out--, arg -= lists ? width : singles; \
            if (!chain) next = g[out]; \
            slopes_##name(v, v[*arg], arg, len, kept, &bad, g, v[out], next, takes, &next); \
        } \
        break;
            ROWS(BACKWARD)
        default:
            while (out > first) {
                out--, arg -= width;
                if (user_slopes(p, step->op, v, arg, (int)width, v[out], g[out], g) < 0) return -2;
            }
        }
    }
    return 0;
}

int64_t exact_sample(const Program *p, Room *room, int part, int slopes, int wrt_inputs) {
    const int64_t slot = exact_forward(p, room->v, room->kept, part);
    if (slot != -1 || !slopes) return slot;
    memset(room->g, 0, (size_t)p->sloping * 8);
    for (int64_t n = 0; n < p->outputs; n++) room->g[p->output[n]] += 1.0;
    if (exact_backward(p, room->v, room->g, room->kept, WHOLE, wrt_inputs)) return -2;
    for (int64_t n = 0; n < p->params; n++) room->g[n] = p->flags[n] & TRAINED ? room->g[n] + 0.0 : 0.0;
    return -1;
}
