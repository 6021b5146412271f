/* One sample with the bits of the eager engine: the same functions of the same library in the same order.

   This file is built without contraction, so that a * b + c is rounded twice, as in Python. */
#include "machine.h"

/* ------------------------------------------------------------------ what Python's math refuses, noted in *bad */
static inline double divided(double a, double b, int *bad) {
    *bad |= b == 0.0;
    return a / b;
}
static inline double checked(double x, double y, int *bad) {
    if (!isfinite(y)) *bad |= isnan(y) ? !isnan(x) : isfinite(x);
    return y;
}
static inline double checked_pow(double a, double b, int *bad) {
    double y = pow(a, b);
    if (!isfinite(y)) *bad |= isnan(y) ? !isnan(a) && !isnan(b) : isfinite(a) && isfinite(b);
    return y;
}
#define CHECKED(function, x) checked(x, function(x), bad)
#define div_(a, b) divided(a, b, bad)
#define pow_(a, b) checked_pow(a, b, bad)

/* -------------------------------------------------------------------------- the rows, read as single numbers */
#define AND &&
#define OR ||
#define A(place) v[arg[place]]
#define E(place) v[arg[(place) + e]]
#define Y y
#define KEPT kept[e]
#define GIVE(x) return (x);
#define GIVE_IF(c, a, b) return (c) ? (a) : (b);
#define PASS(place, x) g[arg[place]] += up * (x);
#define PASS_IF(place, c, a, b) g[arg[place]] += up * ((c) ? (a) : (b));
#define PASS_EACH(place, x) for (int64_t e = len - 1; e >= 0; e--) g[arg[(place) + e]] += up * (x);
#define T(n) of_##n
#define TOTAL(t, x) \
    double T(t) = 0.0; \
    for (int64_t e = 0; e < len; e++) T(t) += (x);
#define LARGEST(t, x) \
    double T(t) = -INFINITY; \
    for (int64_t e = 0; e < len; e++) { \
        double next = (x); \
        T(t) = next > T(t) || next != next || !e ? next : T(t); \
        if (T(t) != T(t)) break; \
    }
/* The sum of all but the first of the largest; all are kept. */
#define REST(t, x) \
    double T(t) = 0.0; \
    { \
        int64_t top = 0, nan = 0; \
        for (int64_t e = 0; e < len; e++) { \
            kept[e] = (x); \
            nan |= kept[e] != kept[e]; \
            if (kept[e] > kept[top]) top = e; \
        } \
        for (int64_t e = 0; e < len; e++) \
            if (e != top) T(t) += kept[e]; \
        if (nan) T(t) = NAN; \
    }
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

#pragma GCC diagnostic ignored "-Wunused-parameter"
#include "rows.h"

/* ------------------------------------------------------------------------------------------------- the loops */
static inline int of_part(const Step *step, int part) {
    return part >> (step->flags & VARIES) & 1;
}

int64_t exact_forward(const Program *p, double *v, double *kept, int part) {
    for (const Step *step = p->step, *end = step + p->steps; step < end; step++) {
        if (!of_part(step, part)) continue;
        const int32_t *arg = p->args + step->first;
        const int width = step->width, len = step->len;
        double *out = v + step->out, *last = out + step->count;
        int bad = 0;
        switch (step->op) {
#define CASE(name, singles, lists, may_fail) \
    case ROW_##name: \
        for (; out < last; out++, arg += lists ? width : singles) { \
            *out = value_##name(v, arg, len, kept, &bad); \
            if (bad) return out - v; \
        } \
        break;
            ROWS(CASE)
#undef CASE
        default:
            for (; out < last; out++, arg += width) {
                if (user_value(p, step->op, v, arg, width, out, &bad) < 0) return -2;
                if (bad) return out - v;
            }
        }
    }
    return -1;
}

int exact_backward(const Program *p, const double *v, double *g, double *kept, int part, int wrt_inputs) {
    int bad = 0; /* a derivative that math refuses is what IEEE 754 has there */
    for (const Step *step = p->step + p->steps - 1; step >= p->step; step--) {
        const int takes = step->takes[wrt_inputs];
        if (!takes || !of_part(step, part)) continue;
        const int width = step->width, len = step->len;
        const int32_t *arg = p->args + step->first + (int64_t)step->count * width;
        int32_t out = step->out + step->count;
        switch (step->op) {
#define CASE(name, singles, lists, may_fail) \
    case ROW_##name: \
        while (out > step->out) { \
            out--, arg -= lists ? width : singles; \
            slopes_##name(v, g, arg, len, kept, v[out], g[out], &bad, takes); \
        } \
        break;
            ROWS(CASE)
#undef CASE
        default:
            while (out > step->out) {
                out--, arg -= width;
                if (user_slopes(p, step->op, v, arg, width, v[out], g[out], g) < 0) return -2;
            }
        }
    }
    return 0;
}
