/* The rows of the table read as single numbers, with the functions of Python's math; what they refuse is noted in *bad.

   How operands are found, and where local derivatives go, is for those to say who include this. */
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

#define AND &&
#define OR ||
#define Y y
#define KEPT kept[e]
#define GIVE(x) return (x);
#define GIVE_IF(c, a, b) return (c) ? (a) : (b);
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
#define REST_AGAIN REST
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wunused-function"
