/* Rows of samples: each value is a row with one number for each of up to MOST_LANES samples.

   Built once for each instruction set, as LANES_OF, whose name is LANES_NAME. Sums may be re-ordered here, the
   same way on every run; exponentials are polynomials. What the eager engine might refuse is only noticed. */
#include "machine.h"

#define INLINE static inline __attribute__((always_inline))

/* As many numbers as a register holds, and how many rows a product works on at a time. */
#if defined(__AVX512F__)
enum { WIDE = 8, TALL = 12 };
#define SUPPORTED __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")
#define IN_A_REGISTER(x) __asm__("" : "+v"(x)) /* GCC would read it from memory for each use */
#elif defined(__AVX2__)
enum { WIDE = 4, TALL = 6 };
#define SUPPORTED __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
#define IN_A_REGISTER(x) __asm__("" : "+x"(x))
#else
enum { WIDE = 2, TALL = 2 };
#define SUPPORTED 1
#define IN_A_REGISTER(x)
#endif
enum { VECTORS = LANES / WIDE };
typedef double vec __attribute__((vector_size(WIDE * 8))), four __attribute__((vector_size(32))),
    loose __attribute__((vector_size(32), aligned(8), may_alias));

/* a * b + c, rounded once where that is quick. Nothing else is contracted, so that the rows have the bits of a single sample. */
#ifdef __FP_FAST_FMA
#define FMA(a, b, c) __builtin_fma(a, b, c)
#else
#define FMA(a, b, c) ((a) * (b) + (c))
#endif
INLINE vec fused(vec a, vec b, vec c) {
    for (int n = 0; n < WIDE; n++) c[n] = FMA(a[n], b[n], c[n]);
    return c;
}

/* ------------------------------------------------------ exponentials, in loops that vectorise */
static const double ROUND = 0x1.8p52, LOG2E = 0x1.71547652b82fep0, LN2_HIGH = 0x1.62e42fefa38p-1, LN2_LOW = 0x1.ef35793c7673p-45;

/* 2**n for a whole number -1023 < n <= 1023: n goes into the exponent's bits. */
INLINE double power_of_two(double n) {
    union { double number; uint64_t bits; } shifted = {n + (ROUND + 1023.0)};
    shifted.bits <<= 52;
    return shifted.number;
}

/* exp(r) - 1 for |r| <= log(2) / 2, by Taylor's series up to r**13: its even and its odd powers, side by side. */
INLINE double near_zero(double r) {
    static const double of[] = {1.0 / 6227020800.0, 1.0 / 479001600.0, 1.0 / 39916800.0, 1.0 / 3628800.0, 1.0 / 362880.0,
                                1.0 / 40320.0, 1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5};
    double sum[2] = {of[0], of[1]}, square = r * r;
    for (int n = 2; n < 12; n++) sum[n % 2] = FMA(sum[n % 2], square, of[n]);
    return FMA(square, FMA(sum[0], r, sum[1]), r);
}

/* x = n log(2) + r, and 2**n as the product of two numbers; where it is 0 or infinite, x may as well be nearer. */
#define REDUCED(x) \
    x = fabs(x) > 746.0 ? copysign(746.0, x) : (x); \
    double n = FMA(x, LOG2E, ROUND) - ROUND, r = FMA(-n, LN2_LOW, FMA(-n, LN2_HIGH, x)), half = FMA(n, 0.5, ROUND) - ROUND, \
           one = power_of_two(half), other = power_of_two(n - half)

INLINE double fast_exp(double x) {
    REDUCED(x);
    return FMA(near_zero(r), one, one) * other;
}

INLINE double fast_expm1(double x) {
    REDUCED(x);
    return FMA(one * other, near_zero(r), one * other - 1.0);
}

/* By exp(2|x|) - 1, which keeps the digits of a small x. */
INLINE double fast_tanh(double x) {
    double twice = 2.0 * fabs(x), beyond = fast_expm1(twice > 40.0 ? 40.0 : twice);
    return copysign(beyond / (beyond + 2.0), x);
}

#define exp_ fast_exp
#define tanh_ fast_tanh
#define expm1_ fast_expm1
#define div_(a, b) ((a) / (b))
#define pow_(a, b) (__builtin_constant_p(b) && (b) == 2.0 ? (a) * (a) : pow(a, b))

/* ------------------------------------------------------------------------------ the rows, read as rows of samples */
#define EVERY _Pragma("GCC ivdep") for (int l = 0; l < (lanes & -LANES); l++) /* with no samples left over */
#define AND &
#define OR |
#define AT(row) [(int64_t)(row) * lanes + l]
#define A(place) V AT(arg[place])
#define E(place) V AT(arg[(place) + e])
#define Y V AT(row)
#define KEPT kept AT(e)
#define GIVE(x) EVERY Y = (x);
/* Where all samples take one branch, the other is not computed. */
#define BRANCHES(to, c, a, b) \
    { \
        int taken = 0; \
        EVERY taken += (c); \
        if (taken == lanes) EVERY to (a); \
        else if (!taken) EVERY to (b); \
        else EVERY to ((c) ? (a) : (b)); \
    }
#define GIVE_IF(c, a, b) BRANCHES(Y =, c, a, b)
#define PASS(place, x) EVERY G AT(arg[place]) += G AT(row) * (x);
#define PASS_IF(place, c, a, b) BRANCHES(G AT(arg[place]) += G AT(row) *, c, a, b)
#define PASS_EACH(place, x) for (int e = len - 1; e >= 0; e--) EVERY G AT(arg[(place) + e]) += G AT(row) * (x);
#define T(n) of_##n[l]
#define TOTAL(t, x) \
    double of_##t[MOST_LANES]; \
    EVERY T(t) = 0.0; \
    for (int e = 0; e < len; e++) EVERY T(t) += (x);
#define LARGEST(t, x) \
    double of_##t[MOST_LANES]; \
    EVERY T(t) = -INFINITY; \
    for (int e = 0; e < len; e++) EVERY T(t) = ((x) > T(t)) | ((x) != (x)) ? (x) : T(t);
#define REST(t, x) \
    double of_##t[MOST_LANES], top[MOST_LANES]; \
    EVERY top[l] = -INFINITY, T(t) = 0.0; \
    for (int e = 0; e < len; e++) { \
        EVERY kept AT(e) = (x); \
        EVERY { \
            double next = kept AT(e), most = top[l], less = next > most ? most : next; \
            T(t) += (e > 0) | (next != next) ? less : 0.0; \
            top[l] = next > most ? next : most; \
        } \
    }
#define REST_AGAIN(t, x) REST(t, KEPT)
#define STEP const int32_t *arg, int len, double *kept, int32_t row, int lanes
#define VALUE(name) static void value_##name(double *V, STEP)
#define SLOPE(name, n) INLINE void slope_##name##_##n(const double *V, double *G, STEP)
#define SLOPES(name) static void slopes_##name(const double *V, double *G, STEP, int takes)
#define TAKES(name, n) \
    if (takes >> n & 1) slope_##name##_##n(V, G, arg, len, kept, row, lanes);

#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wunknown-pragmas"
#include "rows.h"

/* ------------------------------------------------------------------------------------------ products of matrices */
/* Adds up what y = W x + b passes to b, and tells in which LANES samples, a bit for each, it passes a gradient on at all. Where it
   passes 0, as for samples without a loss, so get W and x, if they are finite; if they are not, y is not. */
static uint64_t passes(const Affine *at, const double *V, const double *G, double *g, int lanes) {
    double any[MOST_LANES] = {0.0};
    uint64_t found = 0;
    for (int64_t i = 0; i < at->m; i++) {
        const double *y = V + (int64_t)at->y.at[i] * lanes, *dy = G + (int64_t)at->y.at[i] * lanes;
        double sum[LANES] = {0.0};
        EVERY any[l] += fabs(dy[l]) + y[l] * 0.0;
        for (int l = 0; l < lanes; l += LANES)
            for (int n = 0; n < LANES; n++) sum[n] += dy[l + n];
        for (int n = 0; n < LANES && at->bias.at[i] >= 0; n++) g[at->bias.at[i]] += sum[n];
    }
    for (int l = 0; l < lanes; l++) found |= (uint64_t)(any[l] != 0.0) << l / LANES; /* and so is nan */
    return found;
}

/* to[i] = bias[i] + the sum over j of W(i, j) from[j], in tiles of TALL rows and LANES samples; of those from one to another.
   Without biases, which are slots in v, it is added to what is there. */
static void product(double *to_rows, int64_t m, const int32_t *to, const double *w, int64_t down, int64_t along, const double *from_rows,
                    int64_t k, const int32_t *from, const int32_t *bias, const double *v, int lanes, int start, int end) {
    for (int l = start; l < end; l += LANES) {
        int64_t i = 0;
#define ALL(number) ((number) - (vec){0.0}) /* which compilers know to be the number */
#define TILE(height)                                                                                         \
    for (; i + (height) == m || i + (height) + (height) / 6 * 4 <= m; i += (height)) {                       \
        vec sum[height][VECTORS];                                                                            \
        const double *at = w + i * down;                                                                     \
        for (int a = 0; a < (height); a++)                                                                   \
            for (int b = 0; b < VECTORS; b++) sum[a][b] = ALL(bias && bias[i + a] >= 0 ? v[bias[i + a]] : 0.0); \
        for (int64_t j = 0; j < k; j++, at += along) {                                                       \
            const vec *x = (const vec *)(from_rows + (int64_t)from[j] * lanes + l);                          \
            _Pragma("GCC unroll 12") for (int a = 0; a < (height); a++)                                      \
                _Pragma("GCC unroll 4") for (int b = 0; b < VECTORS; b++) sum[a][b] = fused(ALL(at[a * down]), x[b], sum[a][b]); \
        }                                                                                                    \
        for (int a = 0; a < (height); a++)                                                                   \
            for (int b = 0; b < VECTORS; b++) {                                                              \
                vec *row = (vec *)(to_rows + (int64_t)to[i + a] * lanes + l) + b;                            \
                *row = bias ? sum[a][b] : *row + sum[a][b];                                                  \
            }                                                                                                \
    }
        TILE(TALL)
        TILE(4)
        TILE(2)
        TILE(1)
    }
}

/* Adds the sums across four vectors to numbers in even strides: what belongs together is put side by side first. */
INLINE void add_across(double *to, int64_t along, int64_t count, const vec *sum) {
#define NUMBER(n) (WIDE > (n) ? sum[b][(n) % WIDE] : 0.0)
#define FOUR(n) (four){NUMBER(n), NUMBER(n + 1), NUMBER(n + 2), NUMBER(n + 3)}
    four s[4];
    for (int b = 0; b < 4; b++) s[b] = WIDE == 8 ? FOUR(0) + FOUR(4) : FOUR(0);
    const four one = (four){s[0][0], s[1][0], s[0][2], s[1][2]} + (four){s[0][1], s[1][1], s[0][3], s[1][3]},
               other = (four){s[2][0], s[3][0], s[2][2], s[3][2]} + (four){s[2][1], s[3][1], s[2][3], s[3][3]},
               made = (four){one[0], one[1], other[0], other[1]} + (four){one[2], one[3], other[2], other[3]};
    if (along == 1 && count >= 4) *(loose *)to += made;
    else for (int b = 0; b < 4 && b < count; b++) to[b * along] += made[b];
}

/* dW(i, j) += the sum over the samples of dy[i] x[j], in tiles of up to 3 by 4. */
static void outer(double *w, int64_t down, int64_t along, const double *dy_rows, int64_t m, const int32_t *dy,
                  const double *x_rows, int64_t k, const int32_t *x, int lanes, int start, int end) {
    for (int64_t j = 0; j < k; j += 4) {
        const double *r[4];
        for (int b = 0; b < 4; b++) r[b] = x_rows + (int64_t)x[j + b < k ? j + b : k - 1] * lanes;
        int64_t i = 0;
#define OUTER(height)                                                                                         \
    for (; i + (height) <= m; i += (height)) {                                                               \
        const double *d[height];                                                                             \
        vec sum[height][4] = {{{0.0}}};                                                                      \
        for (int a = 0; a < (height); a++) d[a] = dy_rows + (int64_t)dy[i + a] * lanes;                      \
        for (int l = start; l < end; l += WIDE)                                                              \
            _Pragma("GCC unroll 4") for (int b = 0; b < 4; b++) {                                            \
                vec here = *(const vec *)(r[b] + l);                                                         \
                IN_A_REGISTER(here);                                                                         \
                _Pragma("GCC unroll 3") for (int a = 0; a < (height); a++)                                   \
                    sum[a][b] = fused(*(const vec *)(d[a] + l), here, sum[a][b]);                            \
            }                                                                                                \
        for (int a = 0; a < (height); a++) add_across(w + (i + a) * down + j * along, along, k - j, sum[a]); \
    }
        OUTER(3)
        OUTER(2)
        OUTER(1)
    }
}

/* ------------------------------------------------------------------------------------------------------ the steps */
static int forward(const Program *p, Room *room, int lanes) {
    double *V = room->V;
    int suspect = 0;
    for (int64_t n = 0; n < p->spreads; n++) EVERY V AT(p->spread[2 * n + 1]) = room->v[p->spread[2 * n]];
    for (const LaneStep *step = p->lane_step, *end = step + p->lane_steps; step < end; step++) {
        const int32_t *arg = p->lane_arg + step->first;
        if (step->op == AFFINE) {
            const Affine *at = p->affine + step->row;
            const double *w = (at->even ? room->v : room->w) + at->base;
            for (int64_t i = 0; i < (int64_t)at->m * at->k && !at->even; i++) room->w[at->base + i] = room->v[at->w.at[i]];
            product(V, at->m, at->y.at, w, at->down, at->along, V, at->k, at->x.at, at->bias.at, room->v, lanes, 0, lanes);
            continue;
        }
        switch (step->op) {
#define FORWARD(name, singles, lists, may_fail)                                                                 \
    case ROW_##name: value_##name(V, arg, step->len, room->kept + step->kept * lanes, step->row, lanes); break;
            ROWS(FORWARD)
        }
        if (step->may_fail) suspect |= !all_finite(V + (int64_t)step->row * lanes, lanes);
    }
    return suspect;
}

static void backward(const Program *p, Room *room, int lanes, int wrt_inputs) {
    double *V = room->V, *G = room->G, *g = room->g;
    for (const LaneStep *step = p->lane_step + p->lane_steps - 1; step >= p->lane_step; step--) {
        const int32_t *arg = p->lane_arg + step->first;
        const int takes = step->takes[wrt_inputs];
        if (step->op == AFFINE) {
            const Affine *at = p->affine + step->row;
            const double *w = (at->even ? room->v : room->w) + at->base;
            double *dw = (at->even ? g : room->w + p->gathered) + at->base;
            const uint64_t passing = passes(at, V, G, g, lanes);
            for (int start = 0, end; start < lanes; start = end + LANES) {
                for (end = start; end < lanes && passing >> end / LANES & 1;) end += LANES;
                if (end > start && at->takes_x[wrt_inputs])
                    product(G, at->k, at->x.at, w, at->along, at->down, G, at->m, at->y.at, NULL, NULL, lanes, start, end);
                if (end > start && at->takes_w) outer(dw, at->down, at->along, G, at->m, at->y.at, V, at->k, at->x.at, lanes, start, end);
            }
            for (int64_t i = 0; i < (int64_t)at->m * at->k && at->takes_w && !at->even; i++)
                g[at->w.at[i]] += dw[i], dw[i] = 0.0;
            continue;
        }
        if (!takes) continue;
        switch (step->op) {
#define BACKWARD(name, singles, lists, may_fail)                                                                 \
    case ROW_##name: slopes_##name(V, G, arg, step->len, room->kept + step->kept * lanes, step->row, lanes, takes); break;
            ROWS(BACKWARD)
        }
    }
    for (int64_t n = 0; n < p->spreads; n++)
        for (int l = 0; l < lanes && p->spread[2 * n] < p->sloping; l++) g[p->spread[2 * n]] += G AT(p->spread[2 * n + 1]);
}

static int supported(void) { return SUPPORTED; }

static int divided(double *to, const double *from, double by, int64_t count) {
    for (int64_t n = 0; n < count && to != from; n++) to[n] = from[n] / by;
    return all_finite(to, count);
}

const Lanes LANES_OF = {LANES_NAME, supported, forward, backward, divided};
