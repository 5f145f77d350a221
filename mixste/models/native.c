/* What lies between a network's matrix products, on a CPU in float32: attention, norms with residual sums, GELU; and
   rounding to 8 bits. Called by native.py.

   Each reads every number once and writes it once, where torch's operations copy, pad and come back to what has left
   the cache. A linear layer's bias is added by what follows the layer. What is summed over tokens is summed in parts,
   so that results do not depend on how many threads there are. Pointers that may be NULL say so. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512F__)
#define LANES 16 /* floats of a vector */
#define TALL 8   /* rows of a product in registers, of two vectors each at most */
#elif defined(__AVX__)
#define LANES 8
#define TALL 4
#else
#define LANES 4
#define TALL 8
#endif
#define SHORT 4    /* rows of a product are padded to a multiple of it */
#define QUERIES 32 /* at once */
/* WIDEST, numbers of a token that is normed at most, is native.py's. */

typedef int64_t Int;
typedef float Vector __attribute__((vector_size(4 * LANES)));
typedef int32_t Bits __attribute__((vector_size(4 * LANES)));
typedef float Anywhere __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef float Four __attribute__((vector_size(16)));

static inline Int padded(Int count, Int to) { return (count + to - 1) / to * to; }
static inline Vector load(const float *from) { return *(const Anywhere *)from; }
static inline void store(float *to, Vector value) { *(Anywhere *)to = value; }

/* e to a power that is not above 0, to 2e-7 of it; below -87, where float32 ends, 0. */
static inline float power(float x) {
    float whole = x * 1.44269504f + 12582912.0f, scale; /* a whole number in the lowest bits */
    uint32_t bits;
    memcpy(&bits, &whole, 4);
    bits = (bits + 127) << 23;
    memcpy(&scale, &bits, 4);
    whole -= 12582912.0f;
    float rest = x - whole * 0.693359375f + whole * 2.12194440e-4f;
    float sum = rest * 1.9875691500e-4f + 1.3981999507e-3f;
    sum = sum * rest + 8.3334519073e-3f;
    sum = sum * rest + 4.1665795894e-2f;
    sum = sum * rest + 1.6666665459e-1f;
    sum = sum * rest + 5.0000001201e-1f;
    sum = sum * rest * rest + rest + 1.0f;
    return x <= -87.0f ? 0.0f : sum * scale;
}

/* A, `tall` rows by `depth`, times B, depth by `wide` vectors, into C or added to it. */
static inline __attribute__((always_inline)) void product(
    int tall, int wide, Int depth, const float *a, Int row, Int column, const float *b, Int b_row, float *c, Int c_row,
    int add) {
    Vector sums[TALL][2];
#pragma GCC unroll 8
    for (int i = 0; i < tall; i++)
#pragma GCC unroll 2
        for (int j = 0; j < wide; j++) sums[i][j] = add ? load(c + i * c_row + j * LANES) : (Vector){0};
    for (Int k = 0; k < depth; k++) {
#pragma GCC unroll 8
        for (int i = 0; i < tall; i++)
#pragma GCC unroll 2
            for (int j = 0; j < wide; j++) sums[i][j] += a[i * row + k * column] * load(b + k * b_row + j * LANES);
    }
#pragma GCC unroll 8
    for (int i = 0; i < tall; i++)
#pragma GCC unroll 2
        for (int j = 0; j < wide; j++) store(c + i * c_row + j * LANES, sums[i][j]);
}

/* The same for `rows`, a multiple of SHORT, and `columns`, a multiple of LANES. A is read by any strides. */
static void multiply(
    Int rows, Int columns, Int depth, const float *a, Int row, Int column, const float *b, Int b_row, float *c,
    Int c_row, int add) {
    for (Int j = 0; j < columns; j += 2 * LANES) {
        int wide = columns - j > LANES;
        Int i = 0;
        for (; i + TALL <= rows; i += TALL) {
            if (wide) product(TALL, 2, depth, a + i * row, row, column, b + j, b_row, c + i * c_row + j, c_row, add);
            else product(TALL, 1, depth, a + i * row, row, column, b + j, b_row, c + i * c_row + j, c_row, add);
        }
        for (; i < rows; i += SHORT) {
            if (wide) product(SHORT, 2, depth, a + i * row, row, column, b + j, b_row, c + i * c_row + j, c_row, add);
            else product(SHORT, 1, depth, a + i * row, row, column, b + j, b_row, c + i * c_row + j, c_row, add);
        }
    }
}

/* Attention. Tokens of a row lie anywhere, evenly apart, and are not turned or copied before or after. All of a row and
   a head is done in a thread's own workspace, where tokens and their numbers are padded. Scores are those of QUERIES
   at once, side by side, so that a softmax goes down the rows; the backward pass computes them anew. */

/* A tensor `batch row token number`: its first number, and how many lie from one batch, row and token to the next. */
typedef struct {
    float *start;
    Int batch, row, token;
} Rows;

typedef struct {
    Int batches, rows, tokens, heads, width; /* of a head */
    float scale;
} Sizes;

/* Tokens of `width` numbers, `from_row` floats apart, plus a bias or NULL, to others, `to_row` apart. */
static void move(const float *from, Int from_row, const float *bias, Int tokens, Int width, float *to, Int to_row) {
    for (Int i = 0; i < tokens; i++, from += from_row, to += to_row) {
        Int j = 0;
        for (; j + LANES <= width; j += LANES) store(to + j, bias ? load(from + j) + load(bias + j) : load(from + j));
        for (; j < width; j++) to[j] = bias ? from[j] + bias[j] : from[j];
    }
}

/* LANES rows of as many numbers, turned: pairs of rows, then of pairs, change places. */
static inline void turn_square(const float *from, Int from_row, float *to, Int to_row) {
    Vector rows[LANES];
    for (int i = 0; i < LANES; i++) rows[i] = load(from + i * from_row);
#pragma GCC unroll 4
    for (int apart = 1; apart < LANES; apart *= 2) {
        Bits upper, lower;
        for (int lane = 0; lane < LANES; lane++) {
            upper[lane] = lane & apart ? LANES + lane - apart : lane;
            lower[lane] = lane & apart ? LANES + lane : lane + apart;
        }
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) {
            if (i & apart) continue;
            Vector above = rows[i], below = rows[i + apart];
            rows[i] = __builtin_shuffle(above, below, upper);
            rows[i + apart] = __builtin_shuffle(above, below, lower);
        }
    }
    for (int i = 0; i < LANES; i++) store(to + i * to_row, rows[i]);
}

/* Up to QUERIES tokens side by side, a row for each of their numbers, and whatever lies behind them in the workspace up
   to a multiple of LANES: lanes that nobody reads. */
static void turn(const float *from, Int row, Int tokens, float *to) {
    for (Int i = 0; i < tokens; i += LANES)
        for (Int j = 0; j < row; j += LANES) turn_square(from + i * row + j, row, to + j * QUERIES + i, QUERIES);
}

/* Of one head in one row: what is mixed, and of each query the largest score and what its weights are multiplied by. */
static void mix_one(
    const float *qkv, Int token, const float *bias, float *mixed, Int mixed_token, float *most, float *shares,
    const Sizes *sizes, float *work) {
    Int tokens = sizes->tokens, width = sizes->width, all = sizes->heads * width;
    Int row = padded(width, LANES), tall = padded(tokens, SHORT);
    float *query = work, *key = query + tall * row, *value = key + tall * row, *turned = value + tall * row;
    float *scores = turned + row * QUERIES, *sums = scores + tall * QUERIES;
    for (Int part = 0; part < 3; part++)
        move(qkv + part * all, token, bias ? bias + part * all : NULL, tokens, width, work + part * tall * row, row);
    for (Int first = 0; first < tokens; first += QUERIES) {
        Int count = tokens - first < QUERIES ? tokens - first : QUERIES, side = padded(count, LANES);
        float largest[QUERIES], total[QUERIES] = {0};
        turn(query + first * row, row, count, turned);
        multiply(tall, side, width, key, row, 1, turned, QUERIES, scores, QUERIES, 0);
        memcpy(largest, scores, sizeof largest);
        for (Int i = 1; i < tokens; i++)
#pragma omp simd
            for (Int j = 0; j < side; j++) {
                float score = scores[i * QUERIES + j];
                largest[j] = score > largest[j] ? score : largest[j];
            }
        for (Int i = 0; i < tokens; i++)
#pragma omp simd
            for (Int j = 0; j < side; j++) {
                float weight = power((scores[i * QUERIES + j] - largest[j]) * sizes->scale);
                scores[i * QUERIES + j] = weight;
                total[j] += weight;
            }
        multiply(padded(count, SHORT), row, tokens, scores, 1, QUERIES, value, row, sums, row, 0);
        for (Int i = 0; i < count; i++) {
            most[first + i] = largest[i];
            shares[first + i] = 1 / total[i];
            float *own = sums + i * row;
            for (Int j = 0; j < row; j += LANES) store(own + j, load(own + j) * shares[first + i]);
        }
        move(sums, row, NULL, count, width, mixed + first * mixed_token, mixed_token);
    }
}

/* The gradient by queries, keys and values. */
static void mix_one_backward(
    const float *qkv, Int token, const float *bias, const float *given, Int given_token, const float *most,
    const float *shares, float *gradient, Int gradient_token, const Sizes *sizes, float *work) {
    Int tokens = sizes->tokens, width = sizes->width, all = sizes->heads * width;
    Int row = padded(width, LANES), tall = padded(tokens, SHORT);
    float *query = work, *key = query + tall * row, *value = key + tall * row, *by_mixed = value + tall * row;
    float *by_key = by_mixed + tall * row, *by_value = by_key + tall * row;
    float *turned = by_value + tall * row, *turned_by_mixed = turned + row * QUERIES;
    float *weights = turned_by_mixed + row * QUERIES, *by_score = weights + tall * QUERIES;
    float *by_query = by_score + tall * QUERIES;
    for (Int part = 0; part < 3; part++)
        move(qkv + part * all, token, bias ? bias + part * all : NULL, tokens, width, work + part * tall * row, row);
    move(given, given_token, NULL, tokens, width, by_mixed, row);
    for (Int first = 0; first < tokens; first += QUERIES) {
        Int count = tokens - first < QUERIES ? tokens - first : QUERIES, side = padded(count, LANES);
        float largest[QUERIES] = {0}, share[QUERIES] = {0}, mean[QUERIES] = {0};
        for (Int i = 0; i < count; i++) largest[i] = most[first + i], share[i] = shares[first + i];
        turn(query + first * row, row, count, turned);
        turn(by_mixed + first * row, row, count, turned_by_mixed);
        multiply(tall, side, width, key, row, 1, turned, QUERIES, weights, QUERIES, 0);
        multiply(tall, side, width, value, row, 1, turned_by_mixed, QUERIES, by_score, QUERIES, 0);
        for (Int i = 0; i < tokens; i++)
#pragma omp simd
            for (Int j = 0; j < side; j++) {
                float weight = power((weights[i * QUERIES + j] - largest[j]) * sizes->scale) * share[j];
                weights[i * QUERIES + j] = weight;
                mean[j] += weight * by_score[i * QUERIES + j];
            }
        for (Int i = 0; i < tokens; i++)
#pragma omp simd
            for (Int j = 0; j < side; j++) {
                float by_weight = by_score[i * QUERIES + j] - mean[j];
                by_score[i * QUERIES + j] = weights[i * QUERIES + j] * by_weight * sizes->scale;
            }
        multiply(padded(count, SHORT), row, tokens, by_score, 1, QUERIES, key, row, by_query, row, 0);
        multiply(tall, row, count, by_score, QUERIES, 1, query + first * row, row, by_key, row, first > 0);
        multiply(tall, row, count, weights, QUERIES, 1, by_mixed + first * row, row, by_value, row, first > 0);
        move(by_query, row, NULL, count, width, gradient + first * gradient_token, gradient_token);
    }
    move(by_key, row, NULL, tokens, width, gradient + all, gradient_token);
    move(by_value, row, NULL, tokens, width, gradient + 2 * all, gradient_token);
}

static size_t work_bytes(const Sizes *sizes) {
    Int row = padded(sizes->width, LANES), tall = padded(sizes->tokens, SHORT);
    return padded(4 * (6 * tall * row + 2 * row * QUERIES + 2 * tall * QUERIES + QUERIES * row), 64);
}

static float *head(const Rows *of, Int task, const Sizes *sizes) {
    Int batch = task / sizes->heads / sizes->rows, row = task / sizes->heads % sizes->rows;
    return of->start + batch * of->batch + row * of->row + task % sizes->heads * sizes->width;
}

/* Attention of all rows and heads into `mixed` and `softmax`, or where a gradient is `given` and not NULL, the backward
   pass. Numbers of a token lie side by side; `bias` is of queries, keys and values, or NULL; `softmax` is
   `batch row head 2 token`: what mix_one leaves. Returns 0, or 1 where memory was lacking. */
int mix(
    const Rows *qkv, const float *bias, const Rows *mixed, const Rows *given, const Rows *gradient, float *softmax,
    const Sizes *sizes, int threads) {
    int failed = 0;
#pragma omp parallel num_threads(threads)
    {
        float *work = aligned_alloc(64, work_bytes(sizes));
        if (work) memset(work, 0, work_bytes(sizes));
        else
#pragma omp atomic write
            failed = 1;
#pragma omp for schedule(static)
        for (Int task = 0; task < sizes->batches * sizes->rows * sizes->heads; task++) {
            float *most = softmax + 2 * task * sizes->tokens, *shares = most + sizes->tokens;
            const float *own = head(qkv, task, sizes), *shift = bias ? bias + task % sizes->heads * sizes->width : NULL;
            if (work && given)
                mix_one_backward(
                    own, qkv->token, shift, head(given, task, sizes), given->token, most, shares,
                    head(gradient, task, sizes), gradient->token, sizes, work);
            else if (work)
                mix_one(own, qkv->token, shift, head(mixed, task, sizes), mixed->token, most, shares, sizes, work);
        }
        free(work);
    }
    return failed;
}

/* Norms of tokens `b t j c` after a residual sum, and the next norm after them. `width` is a multiple of LANES. */

typedef struct {
    Int tokens, frames, joints, width;
    float eps, next_eps;
    int by_joint; /* what is kept of a branch is of `b j`, not of `b t` */
} Tokens;

/* What a token's branch is multiplied by. */
static float share_of(const float *kept, Int token, const Tokens *of) {
    Int batch = token / (of->frames * of->joints), joint = token % of->joints, frame = token / of->joints;
    return !kept ? 1 : kept[of->by_joint ? batch * of->joints + joint : frame];
}

static inline float sum_of(Vector values) {
    Four parts[LANES / 4], sum = {0};
    memcpy(parts, &values, sizeof values);
    for (int i = 0; i < LANES / 4; i++) sum += parts[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* A token's vectors with mean 0 and variance 1; returns what they were multiplied by for that. */
static inline float normed(const Vector *value, Int vectors, float eps, Vector *result) {
    Vector sum = {0}, squares = {0};
    float part = 1.0f / (vectors * LANES);
    for (Int i = 0; i < vectors; i++) sum += value[i];
    float mean = sum_of(sum) * part;
    for (Int i = 0; i < vectors; i++) squares += (value[i] - mean) * (value[i] - mean);
    float scale = 1 / sqrtf(sum_of(squares) * part + eps);
    for (Int i = 0; i < vectors; i++) result[i] = (value[i] - mean) * scale;
    return scale;
}

/* The gradient by what was normed, from that by its result, `given`, times `weight`; in place. */
static inline void by_value(Vector *given, const float *weight, const Vector *result, float scale, Int vectors) {
    Vector sum = {0}, along = {0};
    for (Int i = 0; i < vectors; i++) {
        given[i] *= load(weight + i * LANES);
        sum += given[i];
        along += given[i] * result[i];
    }
    float part = 1.0f / (vectors * LANES), less = sum_of(sum) * part, tilt = sum_of(along) * part;
    for (Int i = 0; i < vectors; i++) given[i] = (given[i] - less - result[i] * tilt) * scale;
}

/* x, or `x + kept (branch + bias)` where there is a branch. */
static inline void summed(
    const float *x, const float *branch, const float *bias, float share, Int vectors, Vector *sum) {
    for (Int i = 0; i < vectors; i++) sum[i] = load(x + i * LANES);
    for (Int i = 0; branch && i < vectors; i++) sum[i] += (load(branch + i * LANES) + load(bias + i * LANES)) * share;
}

static inline void store_all(float *to, const Vector *values, Int vectors) {
    for (Int i = 0; i < vectors; i++) store(to + i * LANES, values[i]);
}

/* The norm of that sum into `out`, and the sum into `total`; or, where there is a `next_weight`, that norm into `total`
   and the next of it into `out`. `branch`, `bias`, `kept`, `next_weight`, `next_shift` and `total` may be NULL. */
void norm(
    const float *x, const float *branch, const float *bias, const float *kept, const float *weight, const float *shift,
    const float *next_weight, const float *next_shift, float *total, float *out, const Tokens *of, int threads) {
    Int width = of->width, vectors = width / LANES;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (Int token = 0; token < of->tokens; token++) {
        Vector value[WIDEST / LANES];
        Int at = token * width;
        summed(x + at, branch ? branch + at : NULL, bias, share_of(kept, token, of), vectors, value);
        if (total && !next_weight) store_all(total + at, value, vectors);
        normed(value, vectors, of->eps, value);
        for (Int i = 0; i < vectors; i++) value[i] = value[i] * load(weight + i * LANES) + load(shift + i * LANES);
        if (next_weight) {
            store_all(total + at, value, vectors);
            normed(value, vectors, of->next_eps, value);
            for (Int i = 0; i < vectors; i++)
                value[i] = value[i] * load(next_weight + i * LANES) + load(next_shift + i * LANES);
        }
        store_all(out + at, value, vectors);
    }
}

/* Add up what a gradient says of a weight and of a shift. */
static inline void add_up(float *by_weight, float *by_shift, const Vector *given, const Vector *value, Int vectors) {
    for (Int i = 0; i < vectors; i++) {
        store(by_weight + i * LANES, load(by_weight + i * LANES) + given[i] * value[i]);
        store(by_shift + i * LANES, load(by_shift + i * LANES) + given[i]);
    }
}

/* Gradients by x and, where it is not NULL, by the branch; where `branch` is NULL, x is the sum already. `by_total` may
   be NULL. `sums`, `5 parts width`, begin as zeros and end as gradients by weight, shift, bias, next weight and next
   shift. */
void norm_backward(
    const float *x, const float *branch, const float *bias, const float *kept, const float *weight, const float *shift,
    const float *next_weight, const float *by_total, const float *by_out, float *by_x, float *by_branch, float *sums,
    const Tokens *of, Int parts, int threads) {
    Int width = of->width, vectors = width / LANES, apart = parts * width;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (Int part = 0; part < parts; part++) {
        Vector value[WIDEST / LANES], again[WIDEST / LANES], given[WIDEST / LANES];
        float *own = sums + part * width;
        for (Int token = of->tokens * part / parts; token < of->tokens * (part + 1) / parts; token++) {
            Int at = token * width;
            float share = share_of(kept, token, of);
            summed(x + at, branch ? branch + at : NULL, bias, share, vectors, value);
            float scale = normed(value, vectors, of->eps, value);
            for (Int i = 0; i < vectors; i++) given[i] = load(by_out + at + i * LANES);
            if (next_weight) {
                for (Int i = 0; i < vectors; i++)
                    again[i] = value[i] * load(weight + i * LANES) + load(shift + i * LANES);
                float next_scale = normed(again, vectors, of->next_eps, again);
                add_up(own + 3 * apart, own + 4 * apart, given, again, vectors);
                by_value(given, next_weight, again, next_scale, vectors);
                for (Int i = 0; by_total && i < vectors; i++) given[i] += load(by_total + at + i * LANES);
            }
            add_up(own, own + apart, given, value, vectors);
            by_value(given, weight, value, scale, vectors);
            for (Int i = 0; by_total && !next_weight && i < vectors; i++) given[i] += load(by_total + at + i * LANES);
            store_all(by_x + at, given, vectors);
            for (Int i = 0; by_branch && i < vectors; i++) {
                store(by_branch + at + i * LANES, given[i] * share);
                store(own + 2 * apart + i * LANES, load(own + 2 * apart + i * LANES) + given[i] * share);
            }
        }
    }
}

/* The normal distribution's density at x, and its integral until x to 1.5e-7 (Abramowitz and Stegun, 7.1.26). */
static inline float normal(float x, float *until) {
    float peak = power(-0.5f * x * x), t = 1 / (1 + 0.2316418882663604f * fabsf(x));
    float tail = 1.421413741f + t * (-1.453152027f + t * 1.061405429f);
    tail = 0.5f * t * peak * (0.254829592f + t * (-0.284496736f + t * tail));
    *until = x < 0 ? tail : 1 - tail;
    return 0.3989422804014327f * peak;
}

/* GELU of `x + bias`, tokens of `width` numbers. */
void gelu(const float *x, const float *bias, float *out, Int tokens, Int width, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (Int token = 0; token < tokens; token++)
#pragma omp simd
        for (Int i = 0; i < width; i++) {
            float value = x[token * width + i] + bias[i], until;
            normal(value, &until);
            out[token * width + i] = value * until;
        }
}

/* The gradient by x; `sums`, `parts width`, begin as zeros and end as the gradient by the bias. */
void gelu_backward(
    const float *x, const float *bias, const float *by_out, float *by_x, float *sums, Int tokens, Int width, Int parts,
    int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (Int part = 0; part < parts; part++) {
        float *own = sums + part * width;
        for (Int token = tokens * part / parts; token < tokens * (part + 1) / parts; token++)
#pragma omp simd
            for (Int i = 0; i < width; i++) {
                float value = x[token * width + i] + bias[i], until, density = normal(value, &until);
                float result = by_out[token * width + i] * (until + value * density);
                by_x[token * width + i] = result;
                own[i] += result;
            }
    }
}

/* Numbers of 8 bits: `x * scale + shift` without what is behind the point. */
void round_to_bytes(const float *x, Int count, float scale, float shift, uint8_t *rounded, int threads) {
#pragma omp parallel for simd num_threads(threads) schedule(static)
    for (Int i = 0; i < count; i++) rounded[i] = (uint8_t)(int32_t)(x[i] * scale + shift);
}
