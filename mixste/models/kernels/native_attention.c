/* Attention. Tokens of a row lie anywhere, evenly apart, and are not turned or copied before or after. All of a row and
   a head is done in a thread's own workspace, where tokens and their numbers are padded. Scores are those of QUERIES
   at once, side by side, so that a softmax goes down the rows; the backward pass computes them anew. */

#include <stdlib.h>

#include "native.h"

#if defined(__AVX512F__) || !defined(__AVX__)
#define TALL 8 /* rows of a product in registers, of two vectors each at most */
#else
#define TALL 4
#endif
#define SHORT 4 /* rows of a product are padded to a multiple of it */
#define QUERIES 32 /* at once */

static inline Int padded(Int count, Int to) { return (count + to - 1) / to * to; }

/* A, `tall` rows by `depth`, times B, depth by `wide` vectors, into C or added to it. */
INLINE void product(
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

/* A tensor `batch row token number`: its first number, and how many lie from one batch, row and token to the next. */
typedef struct {
    void *start;
    Int batch, row, token;
    int bf16;
} Rows;

typedef struct {
    Int batches, rows, tokens, heads, width; /* of a head */
    float scale;
} Sizes;

/* `width` numbers of each token, from number `at` on, plus a bias or NULL, into rows of the workspace. */
static void fetch(const Rows *from, Int at, const float *bias, Int tokens, Int width, float *to, Int to_row) {
    for (Int i = 0; i < tokens; i++, at += from->token, to += to_row) {
        Int j = 0;
        for (; j + LANES <= width; j += LANES) {
            Vector value = load_any(from->start, at + j, from->bf16);
            store(to + j, bias ? value + load(bias + j) : value);
        }
        for (; j < width; j++) to[j] = load_one(from->start, at + j, from->bf16) + (bias ? bias[j] : 0);
    }
}

/* Rows of the workspace into tokens, from number `at` on. */
static void put(const float *from, Int from_row, Int tokens, Int width, const Rows *to, Int at) {
    for (Int i = 0; i < tokens; i++, from += from_row, at += to->token) {
        Int j = 0;
        for (; j + LANES <= width; j += LANES) store_any(to->start, at + j, load(from + j), to->bf16);
        for (; j < width; j++) store_one(to->start, at + j, from[j], to->bf16);
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
    const Rows *qkv, Int from, const float *bias, const Rows *mixed, Int to, float *most, float *shares,
    const Sizes *sizes, float *work) {
    Int tokens = sizes->tokens, width = sizes->width, all = sizes->heads * width;
    float scale = sizes->scale * LOG2_E;
    Int row = padded(width, LANES), tall = padded(tokens, SHORT);
    float *query = work, *key = query + tall * row, *value = key + tall * row, *turned = value + tall * row;
    float *scores = turned + row * QUERIES, *sums = scores + tall * QUERIES;
    for (Int part = 0; part < 3; part++)
        fetch(qkv, from + part * all, bias ? bias + part * all : NULL, tokens, width, work + part * tall * row, row);
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
                float weight = power_of_2((scores[i * QUERIES + j] - largest[j]) * scale);
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
        put(sums, row, count, width, mixed, to + first * mixed->token);
    }
}

/* Rows of the workspace, added up. */
static void add_rows(const float *from, Int from_row, Int rows, Int width, float *sums) {
    for (Int j = 0; j < width; j += LANES) {
        float parts[LANES];
        Vector sum = {0};
        for (Int i = 0; i < rows; i++) sum += load(from + i * from_row + j);
        store(parts, sum);
        for (Int k = 0; k < LANES && j + k < width; k++) sums[j + k] += parts[k];
    }
}

/* The gradient by queries, keys and values, added up in `sums` unless that is NULL, but for that by keys: it is 0, for a
   softmax does not see what is added to all keys. */
static void mix_one_backward(
    const Rows *qkv, Int from, const float *bias, const Rows *given, Int given_from, const float *most,
    const float *shares, const Rows *gradient, Int to, float *sums, const Sizes *sizes, float *work) {
    Int tokens = sizes->tokens, width = sizes->width, all = sizes->heads * width;
    float scale = sizes->scale * LOG2_E;
    Int row = padded(width, LANES), tall = padded(tokens, SHORT);
    float *query = work, *key = query + tall * row, *value = key + tall * row, *by_mixed = value + tall * row;
    float *by_key = by_mixed + tall * row, *by_value = by_key + tall * row;
    float *turned = by_value + tall * row, *turned_by_mixed = turned + row * QUERIES;
    float *weights = turned_by_mixed + row * QUERIES, *by_score = weights + tall * QUERIES;
    float *by_query = by_score + tall * QUERIES;
    for (Int part = 0; part < 3; part++)
        fetch(qkv, from + part * all, bias ? bias + part * all : NULL, tokens, width, work + part * tall * row, row);
    fetch(given, given_from, NULL, tokens, width, by_mixed, row);
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
                float weight = power_of_2((weights[i * QUERIES + j] - largest[j]) * scale) * share[j];
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
        put(by_query, row, count, width, gradient, to + first * gradient->token);
        if (sums) add_rows(by_query, row, count, width, sums);
    }
    put(by_key, row, tokens, width, gradient, to + all);
    put(by_value, row, tokens, width, gradient, to + 2 * all);
    if (sums) add_rows(by_value, row, tokens, width, sums + 2 * all);
}

static size_t work_bytes(const Sizes *sizes) {
    Int row = padded(sizes->width, LANES), tall = padded(sizes->tokens, SHORT);
    return padded(4 * (6 * tall * row + 2 * row * QUERIES + 2 * tall * QUERIES + QUERIES * row), 64);
}

/* Where a head's numbers begin in a row. */
static Int head(const Rows *of, Int task, const Sizes *sizes) {
    Int batch = task / sizes->heads / sizes->rows, row = task / sizes->heads % sizes->rows;
    return batch * of->batch + row * of->row + task % sizes->heads * sizes->width;
}

/* Attention of all rows and heads into `mixed` and `softmax`, or where a gradient is `given` and not NULL, the backward
   pass. Numbers of a token lie side by side; `bias` is of queries, keys and values, or NULL; `softmax` is
   `batch row head 2 token`: what mix_one leaves. `sums`, `parts (3 head width)` or NULL, begin as zeros and end as the
   gradient by the bias. Returns 0, or 1 where memory was lacking. */
int mix(
    const Rows *qkv, const float *bias, const Rows *mixed, const Rows *given, const Rows *gradient, float *softmax,
    float *sums, const Sizes *sizes, Int parts, int threads) {
    int failed = 0;
    Int tasks = sizes->batches * sizes->rows * sizes->heads, all = sizes->heads * sizes->width;
#pragma omp parallel num_threads(threads)
    {
        float *work = aligned_alloc(64, work_bytes(sizes));
        if (work) memset(work, 0, work_bytes(sizes));
        else
#pragma omp atomic write
            failed = 1;
#pragma omp for schedule(static)
        for (Int part = 0; part < parts; part++)
            for (Int task = tasks * part / parts; work && task < tasks * (part + 1) / parts; task++) {
                float *most = softmax + 2 * task * sizes->tokens, *shares = most + sizes->tokens;
                Int column = task % sizes->heads * sizes->width, from = head(qkv, task, sizes);
                const float *shift = bias ? bias + column : NULL;
                float *own = sums ? sums + part * 3 * all + column : NULL;
                if (given)
                    mix_one_backward(
                        qkv, from, shift, given, head(given, task, sizes), most, shares, gradient,
                        head(gradient, task, sizes), own, sizes, work);
                else mix_one(qkv, from, shift, mixed, head(mixed, task, sizes), most, shares, sizes, work);
            }
        free(work);
    }
    return failed;
}
