/* One sample with the bits of the eager engine: the same functions of the same library in the same order.

   This file is built without contraction, so that a * b + c is rounded twice, as in Python. */
#include "machine.h"
#include "single.h"

/* -------------------------------------------------------------------------- the rows, read as single numbers */
#define A(place) v[arg[place]]
#define E(place) v[arg[(place) + e]]
#define PASS(place, x) g[arg[place]] += up * (x);
#define PASS_IF(place, c, a, b) g[arg[place]] += up * ((c) ? (a) : (b));
#define PASS_EACH(place, x) for (int64_t e = len - 1; e >= 0; e--) g[arg[(place) + e]] += up * (x);
#define VALUE(name) \
    static inline double value_##name(const double *v, const int32_t *arg, int64_t len, double *kept, int *bad)
#define SLOPE(name, n) \
    static inline void slope_##name##_##n(const double *v, double *g, const int32_t *arg, int64_t len, \
                                          double *kept, double y, double up, int *bad)
#define SLOPES(name) \
    static inline void slopes_##name(const double *v, double *g, const int32_t *arg, int64_t len, \
                                     double *kept, double y, double up, int *bad, int takes)
#define TAKES(name, n) \
    if (takes >> n & 1) slope_##name##_##n(v, g, arg, len, kept, y, up, bad);

#include "rows.h"

/* ------------------------------------------------------------------------------------------------- the loops */
static inline int of_part(const Step *step, int part) { return part >> (step->flags & (VARIES | STAYS)) & 1; }

int64_t exact_forward(const Program *p, double *v, double *kept, int part) {
    const int32_t *arg = p->args;
    double *out = v + p->params + p->inputs;
    for (const Step *step = p->step, *end = step + p->steps; step < end; step++) {
        const int64_t width = step->width;
        double *last = out + step->count;
        int bad = 0;
        if (!of_part(step, part)) {
            out = last, arg += step->count * width;
            continue;
        }
        switch (step->op) {
#define FORWARD(name, singles, lists, may_fail) \
    case ROW_##name: \
        for (const int64_t len = elements(ROW_##name, width); out < last; out++, arg += lists ? width : singles) { \
            *out = value_##name(v, arg, len, kept, &bad); \
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
    const int32_t *arg = p->args + p->arguments;
    int64_t out = p->params + p->inputs + p->computed;
    for (const Step *step = p->step + p->steps - 1; step >= p->step; step--) {
        const int takes = step->takes[wrt_inputs];
        const int64_t width = step->width, first = out - step->count;
        if (!takes || !of_part(step, part)) {
            out = first, arg -= step->count * width;
            continue;
        }
        switch (step->op) {
#define BACKWARD(name, singles, lists, may_fail) \
    case ROW_##name: \
        for (const int64_t len = elements(ROW_##name, width); out > first;) { \
            out--, arg -= lists ? width : singles; \
            slopes_##name(v, g, arg, len, kept, v[out], g[out], &bad, takes); \
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
    memset(room->g, 0, (size_t)p->slots * 8);
    for (int64_t n = 0; n < p->outputs; n++) room->g[p->output[n]] += 1.0;
    if (exact_backward(p, room->v, room->g, room->kept, WHOLE, wrt_inputs)) return -2;
    for (int64_t n = 0; n < p->params; n++) room->g[n] = p->flags[n] & TRAINED ? room->g[n] + 0.0 : 0.0;
    return -1;
}
