/* What the parts of the machine share: a program, a plan of it for rows of samples, and the room it runs in.

   A program works on slots: the parameters in the order of the caller's vector, the inputs, one slot for each
   computed value, constants. It consists of steps over equal operations whose outputs lie side by side. */
#ifndef MICROBP_MACHINE_H
#define MICROBP_MACHINE_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "rows.h"

#define ONE_ROW(name, singles, lists, may_fail) ROW_##name,
enum { ROWS(ONE_ROW) TABLE_ROWS };

/* How wide each row of the table is: single arguments, lists; and whether it may be undefined. */
static const int32_t widths[][3] = {
#define WIDTHS(name, singles, lists, may_fail) {singles, lists, may_fail},
    ROWS(WIDTHS)
};

/* What a slot depends on: on the sample; on a parameter that is trained; on an input; on any of these or a parameter. */
enum { VARIES = 1, TRAINED = 2, FROM_INPUT = 4, GIVEN = 8 };
/* The parts of a program to run for one sample: all, what no sample changes, the others. */
enum { WHOLE, SHARED_PART, VARYING_PART, PARTS };
/* The most samples in a row, and in how many their number is a multiple. */
enum { MOST_LANES = 128, LANES = 8 };

/* Whether all numbers are, in a loop that vectorises: adding 1 to an exponent of ones only carries into the sign. */
static inline int all_finite(const double *x, int64_t count) {
    const uint64_t ones = 0x7ffull << 52;
    uint64_t seen = 0, each;
    for (int64_t n = 0; n < count; n++) memcpy(&each, x + n, 8), seen |= (each & ones) + (1ull << 52);
    return !(seen >> 63);
}

/* Equal operations whose outputs lie side by side, and so do their arguments. */
typedef struct {
    int32_t op;        /* a row of the table; from TABLE_ROWS on, one that the user has defined */
    int32_t count;     /* of outputs */
    int32_t width;     /* how many arguments each has */
    int32_t out, arg;  /* the slot of the first output; where its arguments begin */
    uint8_t flags;     /* what the outputs depend on */
    uint8_t takes[2];  /* which arguments get a gradient: towards parameters; towards inputs as well */
    uint8_t chain;     /* 1 where each first argument, but for the first one, is the output before */
} Step;

/* How many lists a row has, and how many elements each of them. */
static inline int32_t lists_of(int32_t op) { return op >= 0 && op < TABLE_ROWS ? widths[op][1] : 0; }
static inline int32_t elements(int32_t op, int64_t width) { return lists_of(op) ? (int32_t)(width - widths[op][0]) / lists_of(op) : 0; }

/* A list that grows. */
typedef struct {
    int32_t *at;
    int64_t n, room;
} List;

/* Values that are sums of products with coefficients no sample changes: y = W x + b. */
typedef struct {
    int32_t m, k;
    List y, x, w, bias;     /* m rows; k rows; m k slots of coefficients; m slots, or -1 */
    int64_t base, down, along; /* where the coefficients lie: in even strides among the slots, or gathered in a room */
    uint8_t even, takes_w, takes_x[2];
} Affine;

typedef struct {
    int32_t op;        /* a row of the table, or AFFINE */
    int32_t row;       /* the output; of AFFINE its number */
    int32_t len;
    int64_t first, kept;    /* where its arguments begin, and what it keeps of each element */
    uint8_t may_fail, takes[2];
} LaneStep;
enum { AFFINE = -1 };

typedef struct {
    int64_t slots, params, inputs, computed; /* computed values begin at params + inputs */
    int64_t sloping, arguments, most, frozen; /* slots before constants, which have no slope; of all steps; in the longest list; parameters that stay */
    int64_t steps[PARTS];
    Step *step[PARTS];
    int32_t *args;
    double *constant;                        /* what stands in a slot before anything is computed */
    uint8_t *flags;                          /* of each slot */
    int exact;                               /* no products: each operation is rounded as for one sample */
    int64_t outputs;
    int32_t *output;
    /* the plan for rows of samples */
    int64_t rows, lane_steps, affines, largest, spreads, lane_args, lane_kept, gathered;
    LaneStep *lane_step;
    Affine *affine;
    int32_t *lane_arg;
    int32_t *row;                            /* of a slot that varies; else -1 */
    int32_t *spread;                         /* pairs: a slot that does not vary, and the row filled with it */
    void *user;                              /* what Python says of the rows that the user has defined */
} Program;

/* Where one thread computes. */
typedef struct Room {
    double *v, *g;     /* of all slots: values, gradients */
    double *V, *G;     /* of all rows */
    double *kept;      /* what rows over lists keep of each element */
    double *w;         /* coefficients that are gathered; after them, their gradients */
    int64_t lanes;     /* for how many there is room in V and G */
    struct Room *next; /* another that is free */
} Room;

/* What is computed from, and where results go: costs, gradient and dx, or values. */
typedef struct {
    const double *x, *theta;
    const double *const *column;         /* of each input, instead of x; values are in columns then, too */
    const int64_t *order;                /* which samples, or NULL for all in their order */
    int64_t samples;
    int same;                            /* those of the call before, in the same room */
    double *values, *costs, *gradient, *dx;
    double shares;                       /* by which the gradient is divided */
} Call;

/* Steps of a descent. */
typedef struct {
    const double *x, *rates;             /* the rate of each step */
    const int64_t *order, *sizes;        /* the samples of all steps; how many each step takes */
    const int64_t *alike;                /* of each number that is remembered: whether all parameters have the same */
    int64_t steps, longest, memories, mean, milliseconds;
    double *theta, *memory, *costs;
    double *best, *gradient;             /* the parameters of the lowest cost, and that cost; that of the last step */
} Course;

/* exact.c: one sample with the bits of the eager engine. Returns the slot that is undefined, or -1; -2 where Python has raised. */
int64_t exact_forward(const Program *, double *v, double *kept, int part);
int exact_backward(const Program *, const double *v, double *g, double *kept, int part, int wrt_inputs);
/* The part forward and, for the slopes, all backward. */
int64_t exact_sample(const Program *, Room *, int part, int slopes, int wrt_inputs);

/* run.c */
enum { UNDEFINED = 1, RAISED = 2 };
Room *new_room(const Program *, int64_t lanes);
int lanes_for(const Program *, int64_t samples);
/* module.c: a row that the user has defined; -1 where Python has raised. */
int user_value(const Program *, int32_t op, const double *v, const int32_t *arg, int width, double *y, int *bad);
int user_slopes(const Program *, int32_t op, const double *v, const int32_t *arg, int width, double y, double up, double *g);

/* plan.c: for rows of samples. 0, or -1 where there is no memory. */
int plan_lanes(Program *);

/* lanes.c, built for several instruction sets. */
typedef struct {
    const char *name;
    int (*supported)(void);
    /* Returns 1 where a value may be undefined. */
    int (*forward)(const Program *, Room *, int lanes);
    /* Adds up in g what the block's samples give. */
    void (*backward)(const Program *, Room *, int lanes, int wrt_inputs);
    /* Whether the quotients, which go to the first array, are finite; in place nothing is divided. */
    int (*divided)(double *, const double *, double by, int64_t count);
} Lanes;
extern const Lanes lanes_plain, lanes_avx2, lanes_avx512;

/* Without lanes, sample after sample. Where it is not 0, the sample and the slot are in fault. */
int run(const Program *, const Lanes *, Room *, const Call *, long threads, int64_t fault[2]);
/* How many steps were taken: a step that is undefined, or gives what is not finite, changes nothing. -1: no memory. */
int64_t train(const Program *, const Lanes *, Room *, const Program *update, const Lanes *, Room *, const Course *, long threads);

#endif
