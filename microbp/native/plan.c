/* The plan for rows of samples: which values are sums of products with coefficients that no sample changes, and
   which of these are over the same rows, so that they are one product with a matrix. */
#include "machine.h"

/* Among so many products before it one over the same rows is sought. */
enum { BEFORE = 64 };

/* A step for each slot that is computed, and how often the slot is used. */
typedef struct {
    const Step *step;
    const int32_t *arg;
    int32_t uses;
    uint8_t absorbed;        /* into the sum of its only user */
} Node;

typedef struct {
    Program *p;
    Node *node;              /* of all slots; step is NULL for leaves */
    int32_t *stack, *spread_of;
    uint8_t *row_flags;      /* what each row depends on */
    /* the terms of one sum, as pairs (coefficient, row), and the first of those that do not vary, or -1 */
    List w, x;
    int32_t bias, one;       /* the slot of 1 */
} Planner;

/* Adds numbers to the end of a list. */
static int push(List *to, const int32_t *from, int64_t count) {
    if (to->n + count > to->room) {
        const int64_t room = to->n + count > 2 * to->room ? to->n + count : 2 * to->room;
        int32_t *made = realloc(to->at, (size_t)room * sizeof *made + 1);
        if (!made) return -1;
        to->at = made, to->room = room;
    }
    if (count) memcpy(to->at + to->n, from, (size_t)count * sizeof *from);
    to->n += count;
    return 0;
}

static int varies(const Planner *at, int32_t slot) { return at->p->flags[slot] & VARIES; }

/* Whether it is a sum of what varies, each with a coefficient that does not. */
static int linear(const Planner *at, int32_t slot) {
    const Node *node = at->node + slot;
    if (!node->step || !varies(at, slot) || at->p->exact) return 0;
    if (node->step->op != ROW_dot) return node->step->op == ROW_add || node->step->op == ROW_sum;
    const int len = elements(ROW_dot, node->step->width);
    for (int e = 0; e < len; e++)
        if (!varies(at, node->arg[e]) == !varies(at, node->arg[len + e])) return 0;
    return 1;
}

/* Where the arguments begin that are terms as they are; those before are the factors of a dot. */
static int first_term(const Step *step) { return step->op == ROW_dot ? 2 * elements(ROW_dot, step->width) : 0; }

static int is_product(const Planner *at, int32_t slot) {
    const Node *node = at->node + slot;
    return node->step && node->step->op == ROW_mul && varies(at, slot) &&
           !varies(at, node->arg[0]) != !varies(at, node->arg[1]);
}

/* A row that has the number of a slot that no sample changes. */
static int32_t row_of(Planner *at, int32_t slot) {
    Program *p = at->p;
    if (p->row[slot] >= 0) return p->row[slot];
    if (at->spread_of[slot] < 0) {
        at->row_flags[p->rows] = p->flags[slot];
        at->spread_of[slot] = (int32_t)p->rows++;
        p->spread[2 * p->spreads] = slot;
        p->spread[2 * p->spreads++ + 1] = at->spread_of[slot];
    }
    return at->spread_of[slot];
}

static int term(Planner *at, int32_t w, int32_t x) { return push(&at->w, &w, 1) || push(&at->x, &x, 1) ? -1 : 0; }

/* The product of what varies and what does not. */
static int product_term(Planner *at, int32_t a, int32_t b) { return varies(at, a) ? term(at, b, row_of(at, a)) : term(at, a, row_of(at, b)); }

/* The terms of the sum that ends at a slot. */
static int collect(Planner *at, int32_t root) {
    int64_t depth = 0;
    int failed = 0;
    at->w.n = at->x.n = 0, at->bias = -1;
    at->stack[depth++] = root;
    while (depth && !failed) {
        const int32_t slot = at->stack[--depth], *arg = at->node[slot].arg;
        const Step *step = at->node[slot].step;
        if (slot != root && !at->node[slot].absorbed) {
            if (varies(at, slot)) failed = term(at, at->one, row_of(at, slot));
            else if (at->bias < 0) at->bias = slot;
            else failed = term(at, slot, row_of(at, at->one));
        } else if (step->op == ROW_mul)
            failed = product_term(at, arg[0], arg[1]);
        else {
            const int first = first_term(step);
            for (int e = step->width - 1; e >= first; e--) at->stack[depth++] = arg[e];
            for (int e = 0; e < first / 2 && !failed; e++) failed = product_term(at, arg[e], arg[first / 2 + e]);
        }
    }
    return failed;
}

/* A sum becomes a member of the product over the same rows, which stands where its first member stood. */
static int add_affine(Planner *at, int32_t slot) {
    Program *p = at->p;
    Affine *found = NULL;
    for (int64_t n = p->affines - 1; n >= 0 && n >= p->affines - BEFORE && !found; n--) {
        Affine *each = p->affine + n;
        if (each->k == at->x.n && !memcmp(each->x.at, at->x.at, (size_t)at->x.n * 4)) found = each;
    }
    if (!found) {
        if (!(p->affines & (p->affines - 1))) { /* room for twice as many */
            Affine *made = realloc(p->affine, (size_t)(p->affines ? 2 * p->affines : 1) * sizeof *made);
            if (!made) return -1;
            p->affine = made;
        }
        found = p->affine + p->affines;
        *found = (Affine){.k = (int32_t)at->x.n};
        p->lane_step[p->lane_steps++] = (LaneStep){.op = AFFINE, .row = (int32_t)p->affines++};
        if (push(&found->x, at->x.at, at->x.n)) return -1;
    }
    found->m++;
    return push(&found->w, at->w.at, at->w.n) || push(&found->bias, &at->bias, 1) || push(&found->y, &p->row[slot], 1) ? -1 : 0;
}

/* Which sums are taken into the sum of their only user, from the last one back. */
static void absorb(Planner *at) {
    const Program *p = at->p;
    for (int64_t slot = p->params + p->inputs + p->computed - 1; slot >= p->params + p->inputs; slot--) {
        const Node *node = at->node + slot;
        if (!linear(at, (int32_t)slot)) continue;
        for (int n = first_term(node->step); n < node->step->width; n++) {
            const int32_t child = node->arg[n];
            at->node[child].absorbed = at->node[child].uses == 1 && (linear(at, child) || is_product(at, child));
        }
    }
}

static int is_sum(const Planner *at, int32_t slot) {
    const Node *node = at->node + slot;
    if (!linear(at, slot)) return 0;
    if (node->step->op == ROW_dot || node->step->op == ROW_sum) return 1;
    for (int n = 0; n < node->step->width; n++)
        if (at->node[node->arg[n]].absorbed) return 1;
    return 0;
}

/* A value by itself, from the rows of its arguments. */
static void add_single(Planner *at, int32_t slot) {
    Program *p = at->p;
    const Node *node = at->node + slot;
    const Step *step = node->step;
    LaneStep made = {.op = step->op, .row = p->row[slot], .len = elements(step->op, step->width), .first = p->lane_args, .kept = p->lane_kept,
                     .may_fail = widths[step->op][2], .takes = {step->takes[0], step->takes[1]}};
    int32_t *arg = p->lane_arg + p->lane_args;
    for (int n = 0; n < step->width; n++) arg[n] = row_of(at, node->arg[n]);
    p->lane_args += step->width, p->lane_kept += made.len;
    if (step->op == ROW_pow && !p->flags[node->arg[1]] && p->constant[node->arg[1]] == 2.0) {
        made.op = ROW_mul, arg[1] = arg[0]; /* a square */
        for (int n = 0; n < 2; n++) made.takes[n] = made.takes[n] & 1 ? 3 : 0;
    }
    p->lane_step[p->lane_steps++] = made;
}

/* What takes a gradient; and even strides, by which coefficients are read and their gradients written where they lie. */
static void finish(const Planner *at, Affine *each) {
    const int32_t *w = each->w.at, *x = each->x.at;
    each->base = w[0], each->even = 1;
    each->along = each->k > 1 ? w[1] - w[0] : 0;
    each->down = each->m > 1 ? w[each->k] - w[0] : 0;
    for (int64_t i = 0; i < each->m; i++)
        for (int64_t j = 0; j < each->k; j++, w++) {
            each->takes_w |= at->p->flags[*w] & TRAINED;
            each->even &= *w == each->base + i * each->down + j * each->along;
        }
    for (int64_t j = 0; j < each->k; j++) {
        each->takes_x[0] |= at->row_flags[x[j]] & TRAINED;
        each->takes_x[1] |= at->row_flags[x[j]] & (TRAINED | FROM_INPUT);
    }
}

static int planned(Planner *at) {
    Program *p = at->p;
    const int64_t start = p->params + p->inputs;
    for (int64_t n = 0; n < p->inputs; n++) {
        at->row_flags[p->rows] = p->flags[p->params + n];
        p->row[p->params + n] = (int32_t)p->rows++;
    }
    absorb(at);
    for (int64_t slot = start; slot < start + p->computed; slot++) {
        const Node *node = at->node + slot;
        if (!node->step || !varies(at, (int32_t)slot) || node->absorbed) continue;
        const int sum = is_sum(at, (int32_t)slot);
        if (!sum && node->step->op >= TABLE_ROWS) return -2;
        if (sum && collect(at, (int32_t)slot)) return -1;
        for (int n = 0; n < node->step->width && !sum; n++) row_of(at, node->arg[n]); /* they have their rows before it has its own */
        at->row_flags[p->rows] = p->flags[slot];
        p->row[slot] = (int32_t)p->rows++;
        if (!sum) add_single(at, (int32_t)slot);
        else if (add_affine(at, (int32_t)slot)) return -1;
    }
    for (int64_t n = 0; n < p->outputs; n++) p->row[p->output[n]] = row_of(at, p->output[n]);
    for (Affine *each = p->affine; each < p->affine + p->affines; each++) {
        const int64_t coefficients = (int64_t)each->m * each->k;
        finish(at, each);
        if (!each->even) each->base = p->gathered, each->down = each->k, each->along = 1, p->gathered += coefficients;
        if (coefficients > p->largest) p->largest = coefficients;
    }
    return 0;
}

int plan_lanes(Program *p) {
    const int64_t args = p->arguments;
    Planner at = {.p = p, .one = (int32_t)p->slots - 1};
    at.node = calloc((size_t)p->slots, sizeof *at.node);
    at.stack = malloc(((size_t)args + 2) * sizeof *at.stack);
    at.spread_of = malloc((size_t)p->slots * sizeof *at.spread_of);
    at.row_flags = calloc(2 * (size_t)p->slots, 1);
    p->row = malloc((size_t)p->slots * sizeof *p->row);
    p->spread = malloc(2 * (size_t)p->slots * sizeof *p->spread);
    p->lane_step = malloc(((size_t)p->computed + 1) * sizeof *p->lane_step);
    p->lane_arg = malloc(((size_t)args + 1) * sizeof *p->lane_arg);
    int failed = !at.node || !at.stack || !at.spread_of || !at.row_flags || !p->row || !p->spread ||
                 !p->lane_step || !p->lane_arg ? -1 : 0;
    if (!failed) {
        memset(p->row, 0xff, (size_t)p->slots * sizeof *p->row);
        memset(at.spread_of, 0xff, (size_t)p->slots * sizeof *at.spread_of);
        for (const Step *step = p->step[WHOLE], *end = step + p->steps[WHOLE]; step < end; step++)
            for (int32_t n = 0; n < step->count; n++)
                at.node[step->out + n] = (Node){.step = step, .arg = p->args + step->arg + (int64_t)n * step->width};
        for (int64_t n = 0; n < args; n++) at.node[p->args[n]].uses++;
        for (int64_t n = 0; n < p->outputs; n++) at.node[p->output[n]].uses += 2; /* it keeps a row */
        failed = planned(&at);
    }
    free(at.node), free(at.stack), free(at.spread_of), free(at.row_flags), free(at.w.at), free(at.x.at);
    return failed;
}
