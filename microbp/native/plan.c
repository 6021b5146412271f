/* The plan for rows of samples: which values are sums of products with coefficients that no sample changes, and
   which of these are over the same rows, so that they are one product with a matrix. */
#include "machine.h"

/* A step for each slot that is computed, and how often the slot is used. */
typedef struct {
    const Step *step;
    const int32_t *arg;
    int32_t uses;
    uint8_t absorbed;        /* into the sum of its only user: 1, or 2 with a minus */
} Node;

typedef struct {
    Program *p;
    Node *node;              /* of all slots; step is NULL for leaves */
    int32_t *stack, *spread_of;
    uint8_t *row_flags;      /* what each row depends on */
    /* the terms of one sum, as pairs (coefficient, row) */
    List w, x;
    int32_t one, minus_one;  /* slots of constants */
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
    if (!node->step || !varies(at, slot)) return 0;
    const int len = elements(node->step->op, node->step->width);
    switch (node->step->op) {
    case ROW_add: case ROW_sub: case ROW_neg: case ROW_sum: return 1;
    case ROW_dot:
        for (int e = 0; e < len; e++)
            if (!varies(at, node->arg[e]) == !varies(at, node->arg[len + e])) return 0;
        return 1;
    }
    return 0;
}

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

/* The terms of the sum that ends at a slot; *bias is the first of those that do not vary, or -1. */
static int collect(Planner *at, int32_t root, int32_t *bias) {
    int64_t depth = 0;
    at->w.n = at->x.n = 0, *bias = -1;
    at->stack[depth++] = root;
    while (depth) {
        /* A slot below 0 has a minus. */
        const int32_t entry = at->stack[--depth], slot = entry < 0 ? ~entry : entry;
        const int minus = entry < 0;
        const Node *node = at->node + slot;
        if (slot != root && !node->absorbed) {
            int failed;
            if (varies(at, slot) || minus)
                failed = term(at, minus ? at->minus_one : at->one, row_of(at, slot));
            else if (*bias < 0)
                *bias = slot, failed = 0;
            else
                failed = term(at, slot, row_of(at, at->one));
            if (failed) return -1;
            continue;
        }
        const int32_t *arg = node->arg;
        const int len = elements(node->step->op, node->step->width);
        switch (node->step->op) {
        case ROW_mul: {
            const int left = !varies(at, arg[0]);
            if (term(at, arg[!left], row_of(at, arg[left]))) return -1;
            break;
        }
        case ROW_neg: at->stack[depth++] = minus ? arg[0] : ~arg[0]; break;
        case ROW_add: case ROW_sub: {
            const int turned = (node->step->op == ROW_sub) != minus;
            at->stack[depth++] = turned ? ~arg[1] : arg[1];
            at->stack[depth++] = minus ? ~arg[0] : arg[0];
            break;
        }
        case ROW_sum:
            for (int e = len - 1; e >= 0; e--) at->stack[depth++] = minus ? ~arg[e] : arg[e];
            break;
        case ROW_dot: /* never below a minus */
            at->stack[depth++] = arg[2 * len];
            for (int e = 0; e < len; e++) {
                const int left = !varies(at, arg[e]);
                if (term(at, arg[left ? e : len + e], row_of(at, arg[left ? len + e : e]))) return -1;
            }
        }
    }
    return 0;
}

static uint64_t hashed(const int32_t *x, int64_t k) {
    uint64_t h = 14695981039346656037u;
    for (int64_t i = 0; i < k; i++) h = (h ^ (uint32_t)x[i]) * 1099511628211u;
    return h ^ h >> 29;
}

/* Even strides, by which coefficients are read and their gradients written where they lie. */
static void find_strides(Affine *at) {
    const int32_t *w = at->w.at;
    at->base = w[0];
    at->along = at->k > 1 ? w[1] - w[0] : 0;
    at->down = at->m > 1 ? w[at->k] - w[0] : 0;
    at->even = 1;
    for (int64_t i = 0; i < at->m; i++)
        for (int64_t j = 0; j < at->k; j++)
            if (w[i * at->k + j] != at->base + i * at->down + j * at->along) at->even = 0;
}

/* A sum becomes a member of the product over the same rows, which stands where its first member stood. */
static int add_affine(Planner *at, int32_t slot, int32_t bias, int32_t *table, uint64_t mask) {
    Program *p = at->p;
    uint64_t place = hashed(at->x.at, at->x.n) & mask;
    Affine *found = NULL;
    for (; table[place] >= 0 && !found; place = (place + 1) & mask) {
        Affine *each = p->affine + table[place];
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
        table[place] = (int32_t)p->affines++;
        p->lane_step[p->lane_steps++] = (LaneStep){.op = AFFINE, .row = table[place]};
        if (push(&found->x, at->x.at, at->x.n)) return -1;
    }
    found->m++;
    return push(&found->w, at->w.at, at->w.n) || push(&found->bias, &bias, 1) || push(&found->y, &p->row[slot], 1) ? -1 : 0;
}

/* Which sums are taken into the sum of their only user, from the last one back. */
static void absorb(Planner *at) {
    const Program *p = at->p;
    for (int64_t slot = p->params + p->inputs + p->computed - 1; slot >= p->params + p->inputs; slot--) {
        const Node *node = at->node + slot;
        if (!linear(at, (int32_t)slot)) continue;
        const int op = node->step->op, minus = node->absorbed == 2;
        const int first = op == ROW_dot ? 2 * elements(op, node->step->width) : 0;
        for (int n = first; n < node->step->width; n++) {
            Node *child = at->node + node->arg[n];
            const int turned = minus != (op == ROW_neg || (op == ROW_sub && n == 1));
            const int sum = linear(at, node->arg[n]);
            if (child->uses != 1 || !(sum || is_product(at, node->arg[n]))) continue;
            if (turned && (!sum || child->step->op == ROW_dot)) continue; /* no coefficient has a minus */
            child->absorbed = 1 + turned;
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
    static const uint8_t may_fail[] = {
#define MAY_FAIL(name, singles, lists, may) may,
        ROWS(MAY_FAIL)
#undef MAY_FAIL
    };
    LaneStep made = {.op = step->op, .row = p->row[slot], .len = elements(step->op, step->width), .first = p->lane_args,
                     .may_fail = may_fail[step->op], .takes = {step->takes[0], step->takes[1]}};
    int32_t *arg = p->lane_arg + p->lane_args;
    for (int n = 0; n < step->width; n++) arg[n] = row_of(at, node->arg[n]);
    p->lane_args += step->width;
    if (step->op == ROW_pow && !p->flags[node->arg[1]] && p->constant[node->arg[1]] == 2.0) {
        made.op = ROW_mul, arg[1] = arg[0]; /* a square */
        for (int n = 0; n < 2; n++) made.takes[n] = made.takes[n] & 1 ? 3 : 0;
    }
    p->lane_step[p->lane_steps++] = made;
}

static void finish(Planner *at, Affine *each) {
    const Program *p = at->p;
    find_strides(each);
    for (int64_t i = 0; i < (int64_t)each->m * each->k; i++) each->takes_w |= p->flags[each->w.at[i]] & TRAINED;
    for (int64_t j = 0; j < each->k; j++) {
        each->takes_x[0] |= at->row_flags[each->x.at[j]] & TRAINED;
        each->takes_x[1] |= at->row_flags[each->x.at[j]] & (TRAINED | FROM_INPUT);
    }
}

static int planned(Planner *at) {
    Program *p = at->p;
    const int64_t start = p->params + p->inputs;
    uint64_t mask = 1;
    while (mask < 2 * (uint64_t)(p->computed + 1)) mask *= 2;
    int32_t *table = malloc(mask * sizeof *table);
    if (!table) return -1;
    memset(table, 0xff, mask * sizeof *table);
    for (int64_t n = 0; n < p->inputs; n++) {
        at->row_flags[p->rows] = p->flags[p->params + n];
        p->row[p->params + n] = (int32_t)p->rows++;
    }
    absorb(at);
    int failed = 0;
    for (int64_t slot = start; slot < start + p->computed && !failed; slot++) {
        const Node *node = at->node + slot;
        if (!node->step || !varies(at, (int32_t)slot) || node->absorbed) continue;
        int32_t bias = -1;
        const int sum = is_sum(at, (int32_t)slot);
        if (sum) failed = collect(at, (int32_t)slot, &bias);
        else if (node->step->op < TABLE_ROWS) { /* its arguments have their rows before it has its own */
            for (int n = 0; n < node->step->width; n++) row_of(at, node->arg[n]);
        } else failed = -2;
        if (failed) break;
        at->row_flags[p->rows] = p->flags[slot];
        p->row[slot] = (int32_t)p->rows++;
        if (sum) failed = add_affine(at, (int32_t)slot, bias, table, mask - 1);
        else add_single(at, (int32_t)slot);
    }
    free(table);
    for (int64_t n = 0; n < p->outputs && !failed; n++) row_of(at, p->output[n]);
    for (int64_t n = 0; n < p->affines && !failed; n++) {
        Affine *each = p->affine + n;
        finish(at, each);
        each->gathered = p->gathered;
        if (!each->even) p->gathered += (int64_t)each->m * each->k;
    }
    return failed;
}

int plan_lanes(Program *p) {
    const int64_t args = p->arguments;
    Planner at = {.p = p, .one = (int32_t)p->slots - 2, .minus_one = (int32_t)p->slots - 1};
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
        const int32_t *arg = p->args;
        Node *node = at.node + p->params + p->inputs;
        for (const Step *step = p->step; step < p->step + p->steps; step++)
            for (int32_t n = 0; n < step->count; n++, arg += step->width) *node++ = (Node){.step = step, .arg = arg};
        for (int64_t n = 0; n < args; n++) at.node[p->args[n]].uses++;
        for (int64_t n = 0; n < p->outputs; n++) at.node[p->output[n]].uses += 2; /* it keeps a row */
        failed = planned(&at);
        /* outputs that no sample changes have a row that is filled */
        for (int64_t n = 0; n < p->outputs && !failed; n++)
            if (p->row[p->output[n]] < 0) p->row[p->output[n]] = at.spread_of[p->output[n]];
    }
    free(at.node), free(at.stack), free(at.spread_of), free(at.row_flags), free(at.w.at), free(at.x.at);
    return failed;
}
