/* How a program is run: sample after sample, in blocks of samples on one thread or several, through a training.

   Blocks go to threads in CHUNKS parts at most, and their gradients are added in the order of the parts: what
   comes out does not depend on how many threads there are. */
#include <pthread.h>
#include <time.h>

#include "machine.h"

enum { CHUNKS = 16 };
typedef double pair __attribute__((vector_size(16), aligned(8), may_alias));

Room *new_room(const Program *p, int64_t lanes) {
    /* v, g, V, G, kept, w and its gradients stand one after the other behind it, each at the start of a cache line. */
    const int64_t most = p->most + 1 + p->lane_kept * lanes, rows = p->rows * lanes;
    const int64_t size[] = {p->slots, p->slots, rows, rows, most, 2 * p->gathered};
    int64_t whole = (sizeof(Room) + 63) / 64 * 8, start[6];
    for (int n = 0; n < 6; n++) start[n] = whole, whole += (size[n] + 7) / 8 * 8;
    Room *room = aligned_alloc(64, (size_t)whole * 8);
    double *at = (double *)room;
    if (!room) return NULL;
    *room = (Room){at + start[0], at + start[1], at + start[2], at + start[3], at + start[4], at + start[5], lanes, NULL};
    memcpy(room->v, p->constant, (size_t)p->slots * 8); /* what stays as it is */
    memset(room->w, 0, (size_t)p->gathered * 16);
    return room;
}

/* So many samples in a row that all rows stay in the second cache, if they can. */
int lanes_for(const Program *p, int64_t samples) {
    int64_t most = (1 << 20) / (16 * (p->rows + 1)) / LANES * LANES;
    const int64_t top = p->exact && !p->most ? 512 : 104; /* MOST_LANES is a limit for lists and products */
    most = most > top ? top : most < LANES ? LANES : most;
    const int64_t blocks = (samples + most - 1) / most, each = (samples + blocks - 1) / blocks;
    return (int)((each + LANES - 1) / LANES * LANES);
}

/* Where the inputs of a sample stand, if not in columns. */
static const double *given(const Program *p, const Call *at, int64_t n) { return at->x + (at->order ? at->order[n] : n) * p->inputs; }

int run_exactly(const Program *p, Room *room, const Call *call, int64_t fault[2]) {
    double *v = room->v, *g = room->g;
    if (v != call->theta) memcpy(v, call->theta, (size_t)p->params * 8);
    if (call->gradient) memset(call->gradient, 0, (size_t)p->params * 8);
    for (int64_t sample = 0; sample < call->samples; sample++) {
        for (int64_t i = 0; i < p->inputs; i++) v[p->params + i] = call->column ? call->column[i][sample] : given(p, call, sample)[i];
        const int64_t slot = exact_sample(p, room, sample ? VARYING_PART : WHOLE, call->gradient != NULL, call->dx != NULL);
        if (slot != -1) {
            fault[0] = sample, fault[1] = slot;
            return slot == -2 ? RAISED : UNDEFINED;
        }
        for (int64_t n = 0; n < p->outputs && call->values; n++)
            call->values[call->column ? n * call->samples + sample : sample * p->outputs + n] = v[p->output[n]];
        if (!call->gradient) continue;
        call->costs[sample] = p->outputs > 1 ? 0.0 : v[p->output[0]];
        for (int64_t n = 0; n < p->outputs && p->outputs > 1; n++) call->costs[sample] += v[p->output[n]];
        for (int64_t n = 0; n < p->params; n++) call->gradient[n] += g[n];
        for (int64_t n = 0; n < p->inputs && call->dx; n++) call->dx[sample * p->inputs + n] = g[p->params + n] + 0.0;
    }
    for (int64_t n = 0; n < p->params && call->gradient; n++) call->gradient[n] /= call->shares;
    return 0;
}

/* ------------------------------------------------------------------------------------------ in blocks of samples */
/* One block; 1 where something may be undefined or is not finite. */
static int run_block(const Program *p, const Lanes *to, Room *room, const Call *call, int64_t first, int here, int lanes) {
    double *V = room->V, *G = room->G;
    for (int64_t i = 0; i < p->inputs && call->column; i++) { /* as they are wanted here */
        const double *x = call->column[i] + first;
        memcpy(V + i * lanes, x, (size_t)here * 8);
        for (int l = here; l < lanes; l++) V[i * lanes + l] = x[here - 1];
    }
    /* what is beyond the samples repeats the last */
    for (int l = 0; l < lanes && !call->column && !(call->same && call->samples <= lanes); l += LANES) {
        const double *x[2 * LANES]; /* the second half are the next, which are fetched meanwhile */
        for (int n = 0; n < 2 * LANES; n++) x[n] = given(p, call, first + (l + n < here ? l + n : here - 1));
        int64_t i = 0;
        for (; i + 1 < p->inputs; i += 2) { /* two by two: half as many reads and writes */
            for (int n = 0; n < LANES && i % LANES == 0; n++) __builtin_prefetch(x[LANES + n] + i);
            for (int n = 0; n < LANES; n += 2) {
                const pair one = *(const pair *)(x[n] + i), other = *(const pair *)(x[n + 1] + i);
                *(pair *)(V + i * lanes + l + n) = (pair){one[0], other[0]};
                *(pair *)(V + (i + 1) * lanes + l + n) = (pair){one[1], other[1]};
            }
        }
        for (int n = 0; n < LANES && i < p->inputs; n++) V[i * lanes + l + n] = x[n][i];
    }
    if (to->forward(p, room, lanes)) return 1;
    for (int64_t n = 0; n < p->outputs && call->values; n++) {
        const double *row = V + (int64_t)p->row[p->output[n]] * lanes;
        if (call->column) memcpy(call->values + n * call->samples + first, row, (size_t)here * 8);
        else if (!all_finite(row, here)) return 1;
        else for (int l = 0; l < here; l++) call->values[(first + l) * p->outputs + n] = row[l];
    }
    if (!call->gradient) return 0;
    const int64_t unread = call->dx ? 0 : p->inputs * lanes; /* the gradients of inputs */
    memset(G + unread, 0, (size_t)(p->rows * lanes - unread) * 8);
    for (int l = 0; l < here; l++) {
        double cost = 0.0;
        for (int64_t n = 0; n < p->outputs; n++) {
            const int64_t at = (int64_t)p->row[p->output[n]] * lanes + l;
            cost += V[at], G[at] += 1.0;
        }
        if (!isfinite(call->costs[first + l] = cost)) return 1;
    }
    to->backward(p, room, lanes, call->dx != NULL);
    for (int l = 0; l < here && call->dx; l++)
        for (int64_t i = 0; i < p->inputs; i++)
            if (!isfinite(call->dx[(first + l) * p->inputs + i] = G[i * lanes + l] + 0.0)) return 1;
    return 0;
}

/* What the threads of a call share. */
typedef struct {
    const Program *p;
    const Lanes *to;
    const Call *call;
    const double *shared; /* what no sample changes */
    double *total;        /* the gradients of all slots, where there are several parts */
    int lanes, suspect;
    int64_t blocks, chunks, next, turn;
    pthread_mutex_t lock;
    pthread_cond_t turned;
} Job;
typedef struct {
    Job *job;
    Room *room;
    pthread_t thread;
} Worker;

static void *work(void *given_) {
    const Worker *self = given_;
    Job *job = self->job;
    Room *room = self->room;
    const Program *p = job->p;
    if (room->v != job->shared) memcpy(room->v, job->shared, (size_t)p->slots * 8);
    for (;;) {
        pthread_mutex_lock(&job->lock);
        const int64_t chunk = job->next++, last = (chunk + 1) * job->blocks / job->chunks;
        int suspect = job->suspect;
        pthread_mutex_unlock(&job->lock);
        if (chunk >= job->chunks) return NULL;
        if (job->call->gradient) memset(room->g, 0, (size_t)p->sloping * 8);
        for (int64_t block = chunk * job->blocks / job->chunks; block < last && !suspect; block++) {
            const int64_t first = block * job->lanes, left = job->call->samples - first;
            suspect = run_block(p, job->to, room, job->call, first, left < job->lanes ? (int)left : job->lanes, job->lanes);
        }
        pthread_mutex_lock(&job->lock);
        while (job->turn != chunk) pthread_cond_wait(&job->turned, &job->lock);
        for (int64_t n = 0; n < p->sloping && job->total; n++) job->total[n] += room->g[n];
        job->suspect |= suspect, job->turn++;
        pthread_cond_broadcast(&job->turned);
        pthread_mutex_unlock(&job->lock);
    }
}

/* UNDEFINED where something may be so, or is not finite: each sample is to be looked at. RAISED where Python has raised. */
static int run_rows(const Program *p, const Lanes *to, Room *room, const Call *call, int lanes, long threads) {
    if (room->v != call->theta) memcpy(room->v, call->theta, (size_t)p->params * 8);
    const int64_t slot = exact_forward(p, room->v, room->kept, SHARED_PART);
    if (slot != -1) return slot == -2 ? RAISED : UNDEFINED;
    const int64_t blocks = (call->samples + lanes - 1) / lanes;
    Job job = {.p = p, .to = to, .call = call, .shared = room->v, .lanes = lanes, .blocks = blocks,
               .chunks = threads < 2 && !call->gradient ? 1 : blocks < CHUNKS ? blocks : CHUNKS,
               .lock = PTHREAD_MUTEX_INITIALIZER, .turned = PTHREAD_COND_INITIALIZER};
    if (call->gradient && job.chunks > 1 && !(job.total = calloc((size_t)p->slots, 8))) return UNDEFINED;
    Worker worker[CHUNKS] = {{.job = &job, .room = room}};
    int more = 0;
    for (; more + 1 < threads && more + 1 < job.chunks; more++) {
        Worker *each = worker + more + 1;
        *each = (Worker){.job = &job, .room = new_room(p, lanes)};
        if (!each->room || pthread_create(&each->thread, NULL, work, each)) {
            free(each->room);
            break; /* the threads there are do the work */
        }
    }
    work(worker);
    for (; more; more--) pthread_join(worker[more].thread, NULL), free(worker[more].room);
    if (call->gradient && !job.suspect) {
        double *total = job.total ? job.total : room->g;
        const int raised = exact_backward(p, room->v, total, room->kept, SHARED_PART, 0);
        for (int64_t n = 0; n < p->params && p->frozen; n++)
            if (!(p->flags[n] & TRAINED)) total[n] = 0.0;
        job.suspect = raised ? RAISED : to->divided(call->gradient, total, call->shares, p->params) ? 0 : UNDEFINED;
    }
    return free(job.total), job.suspect;
}

int run(const Program *p, const Lanes *to, Room *room, const Call *call, long threads, int64_t fault[2]) {
    const int lanes = to && call->samples > 1 ? lanes_for(p, call->samples) : 0;
    const int state = lanes ? run_rows(p, to, room, call, lanes, threads) : UNDEFINED;
    return state == UNDEFINED ? run_exactly(p, room, call, fault) : state;
}

/* --------------------------------------------------------------------------------------------- through a training */
static int64_t milliseconds(void) {
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t train(const Program *p, const Lanes *to, Room *room, const Program *update, const Lanes *update_to, Room *update_room,
              const Course *at, long threads) {
    const int64_t P = p->params, M = at->memories, until = milliseconds() + at->milliseconds;
    const int penalised = update->outputs > M + 1;
    const int64_t each = (1 + update->outputs) * P; /* of a step: the gradient, and what the update makes of it */
    double *made = malloc((size_t)(2 * each + at->longest + update->params + M + 2) * 8);
    if (!made) return -1;
    double *theta = room->v, *costs = made + 2 * each, *same = costs + at->longest;
    const double **column = (const double **)(same + update->params);
    int64_t step = 0, first = 0, fault[2], apart = 2;
    /* The update as a program whose samples are the parameters: p, g and what is remembered of each. */
    column[0] = theta;
    for (int64_t m = 0; m < M; m++)
        if (!at->alike[m]) column[apart++] = at->memory + m * P;
    memcpy(theta, at->theta, (size_t)P * 8);
    for (; step < at->steps; first += at->sizes[step++]) {
        const int64_t n = at->sizes[step];
        const double shares = at->mean ? (double)n : 1.0;
        double *gradient = made + step % 2 * each, *out = gradient + P;
        Call call = {.x = at->x, .order = at->order + first, .samples = n, .theta = theta, .costs = costs, .gradient = gradient, .shares = shares,
                     .same = step && at->sizes[step - 1] == n && !memcmp(at->order + first - n, at->order + first, (size_t)n * 8)};
        if ((step && milliseconds() >= until) || run(p, to, room, &call, threads, fault)) break;
        double cost = 0.0, penalty = 0.0;
        for (int64_t l = 0; l < n; l++) cost += costs[l];
        int64_t alike = 1;
        same[0] = at->rates[step], column[1] = gradient;
        for (int64_t m = 0; m < M; m++)
            if (at->alike[m]) same[alike++] = at->memory[m * P];
        Call next = {.column = column, .samples = P, .theta = same, .values = out};
        if (run(update, update_to, update_room, &next, 1, fault)) break;
        for (int64_t i = 0; i < P && penalised; i++) penalty += out[(M + 2) * P + i];
        cost = cost / shares + penalty;
        if (!isfinite(cost) || !update_to->divided(out, out, 1.0, update->outputs * P)) break;
        at->costs[step] = cost;
        if (cost < at->best[P]) memcpy(at->best, theta, (size_t)P * 8), at->best[P] = cost;
        for (int64_t m = 0; m <= M; m++) {
            double *into = m ? at->memory + (m - 1) * P : theta;
            if (!p->frozen) memcpy(into, out + m * P, (size_t)P * 8);
            for (int64_t i = 0; i < P && p->frozen; i++)
                if (p->flags[i] & TRAINED) into[i] = out[m * P + i];
        }
    }
    memcpy(at->theta, theta, (size_t)P * 8);
    if (step) memcpy(at->gradient, made + (step - 1) % 2 * each + (penalised ? (M + 2) * P : 0), (size_t)P * 8);
    return free(made), step;
}
