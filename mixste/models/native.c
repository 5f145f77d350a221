/* What lies between a network's matrix products, on a CPU: attention, norms with residual sums, GELU; and rounding to
   8 bits. Called by native.py.

   All is computed in float32. What linear layers give and are given may be bfloat16, the upper half of a float32:
   where a tensor is `void`, an int tells whether it is `bf16`.

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
#define SHORT 4 /* rows of a product are padded to a multiple of it */
#define LOG2_E 1.44269504f
#define QUERIES 32 /* at once */
/* WIDEST, numbers of a token that is normed at most, is compiling.py's. */

#define INLINE static inline __attribute__((always_inline))

/* A function's last argument as a constant where tokens are narrow, so that they stay in registers. */
#define BY_WIDTH(width, function, ...) \
    do { \
        if (width == 32) function(__VA_ARGS__, 32); \
        else if (width == 64) function(__VA_ARGS__, 64); \
        else function(__VA_ARGS__, width); \
    } while (0)

typedef int64_t Int;
typedef float Vector __attribute__((vector_size(4 * LANES)));
typedef int32_t Bits __attribute__((vector_size(4 * LANES)));
typedef uint32_t Words __attribute__((vector_size(4 * LANES)));
typedef uint16_t Bf16 __attribute__((vector_size(2 * LANES)));
typedef Bf16 AnyBf16 __attribute__((aligned(2), may_alias));
typedef float Anywhere __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef float Four __attribute__((vector_size(16)));

static inline Int padded(Int count, Int to) { return (count + to - 1) / to * to; }
static inline Vector load(const float *from) { return *(const Anywhere *)from; }
static inline void store(float *to, Vector value) { *(Anywhere *)to = value; }

/* A vector from number `at` of a tensor, or to it, rounded to the nearest, to the even one of two. */
static inline Vector load_any(const void *from, Int at, int bf16) {
    if (!bf16) return load((const float *)from + at);
    return (Vector)(__builtin_convertvector(*(const AnyBf16 *)((const uint16_t *)from + at), Words) << 16);
}

static inline void store_any(void *to, Int at, Vector value, int bf16) {
    if (!bf16) return store((float *)to + at, value);
    Words bits = (Words)value, nan = (Words)(value != value); /* of which rounding could make a 0 */
    bits = (((bits + 0x7fff + (bits >> 16 & 1)) >> 16) & ~nan) | (nan & 0x7fc0);
    *(AnyBf16 *)((uint16_t *)to + at) = __builtin_convertvector(bits, Bf16);
}

/* The same of one number. */
static inline float load_one(const void *from, Int at, int bf16) {
    if (!bf16) return ((const float *)from)[at];
    uint32_t bits = (uint32_t)((const uint16_t *)from)[at] << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static inline void store_one(void *to, Int at, float value, int bf16) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    bits = value != value ? 0x7fc0 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    if (bf16) ((uint16_t *)to)[at] = bits;
    else ((float *)to)[at] = value;
}

/* 2 to a power that is not above 0, to 2e-7 of it (Cephes, exp2f); below -126, where float32 ends, 0. */
static inline float power_of_2(float x) {
    float whole = x + 12582912.0f, scale; /* a whole number in the lowest bits */
    uint32_t bits;
    memcpy(&bits, &whole, 4);
    bits = (bits + 127) << 23;
    memcpy(&scale, &bits, 4);
    float rest = x - (whole - 12582912.0f);
    float sum = rest * 1.535336188319500e-4f + 1.339887440266574e-3f;
    sum = sum * rest + 9.618437357674640e-3f;
    sum = sum * rest + 5.550332471162809e-2f;
    sum = sum * rest + 2.402264791363012e-1f;
    sum = sum * rest + 6.931472028550421e-1f;
    sum = sum * rest + 1.0f;
    return x <= -126.0f ? 0.0f : sum * scale;
}

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

/* Attention. Tokens of a row lie anywhere, evenly apart, and are not turned or copied before or after. All of a row and
   a head is done in a thread's own workspace, where tokens and their numbers are padded. Scores are those of QUERIES
   at once, side by side, so that a softmax goes down the rows; the backward pass computes them anew. */

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

/* Norms of tokens `b t j c` after a residual sum, and the next norm after them. `width` is a multiple of LANES. */

/* The norm of `x + kept (branch + bias)`, or of x, into `out`, and the sum into `total`; or, where there is a
   `next_weight`, that norm into `total` and the next of it into `out`. `branch`, `bias`, `kept`, `next_weight`,
   `next_shift` and `total` may be NULL. */
typedef struct {
    const float *x;
    const void *branch;
    const float *bias, *kept, *weight, *shift, *next_weight, *next_shift;
    float *total;
    void *out;
    Int tokens, frames, joints, width;
    float eps, next_eps;
    int by_joint; /* what is kept of a branch is of `b j`, not of `b t` */
    int bf16_branch, bf16_out;
} Normed;

/* Gradients by `total`, which may be NULL, and by `out`; and those by x and, unless it is NULL, by the branch: where that
   is NULL itself, x is the sum already. `sums`, `parts 5 width`, begin as zeros and end as gradients by weight, shift,
   bias, next weight and next shift. */
typedef struct {
    const float *by_total;
    const void *by_out;
    float *by_x;
    void *by_branch;
    float *sums;
    Int parts;
} Gradients;

/* What makes a token's mean 0 and its variance 1: take `mean` away, multiply by `scale`. */
typedef struct {
    float mean, scale;
} Norm;

/* What a token's branch is multiplied by. */
static float share_of(const Normed *of, Int token) {
    Int batch = token / (of->frames * of->joints), joint = token % of->joints, frame = token / of->joints;
    return !of->kept ? 1 : of->kept[of->by_joint ? batch * of->joints + joint : frame];
}

static inline float sum_of(Vector values) {
    Four parts[LANES / 4], sum = {0};
    memcpy(parts, &values, sizeof values);
    for (int i = 0; i < LANES / 4; i++) sum += parts[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

INLINE Norm norm_of(const Vector *value, Vector sum, Int width, float eps) {
    Vector squares = {0};
    float mean = sum_of(sum) / width;
    for (Int i = 0; i < width / LANES; i++) squares += (value[i] - mean) * (value[i] - mean);
    return (Norm){mean, 1 / sqrtf(sum_of(squares) / width + eps)};
}

INLINE Vector normed(Vector value, Norm by, const float *weight, const float *shift) {
    return (value - by.mean) * by.scale * load(weight) + load(shift);
}

/* A token's sum, and its norm. */
INLINE Norm summed(const Normed *of, Int at, Int width, float share, Vector *value) {
    Vector sum = {0};
    for (Int i = 0; i < width / LANES; i++) {
        value[i] = load(of->x + at + i * LANES);
        if (of->branch) {
            Vector branch = load_any(of->branch, at + i * LANES, of->bf16_branch);
            value[i] += (of->bias ? branch + load(of->bias + i * LANES) : branch) * share;
        }
        sum += value[i];
    }
    return norm_of(value, sum, width, of->eps);
}

/* Its norm, and the next. */
INLINE Norm summed_again(const Normed *of, const Vector *value, Norm by, Int width, Vector *again) {
    Vector sum = {0};
    for (Int i = 0; i < width / LANES; i++) {
        again[i] = normed(value[i], by, of->weight + i * LANES, of->shift + i * LANES);
        sum += again[i];
    }
    return norm_of(again, sum, width, of->next_eps);
}

INLINE void norm_token(const Normed *of, Int token, Int width) {
    Vector value[WIDEST / LANES];
    Int at = token * width;
    const float *weight = of->next_weight ? of->next_weight : of->weight;
    const float *shift = of->next_weight ? of->next_shift : of->shift;
    Norm by = summed(of, at, width, share_of(of, token), value);
    if (of->next_weight) by = summed_again(of, value, by, width, value);
    for (Int i = 0; of->total && i < width / LANES; i++) store(of->total + at + i * LANES, value[i]);
    for (Int i = 0; i < width / LANES; i++)
        store_any(
            of->out, at + i * LANES, normed(value[i], by, weight + i * LANES, shift + i * LANES), of->bf16_out);
}

void norm(const Normed *of, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (Int token = 0; token < of->tokens; token++) BY_WIDTH(of->width, norm_token, of, token);
}

/* The gradient by what was normed, in place of that by the result; what it says of weight and shift is added up. */
INLINE void by_value(
    Vector *given, const Vector *value, Norm by, const float *weight, Int width, float *by_weight, float *by_shift) {
    Vector sum = {0}, along = {0};
    for (Int i = 0; i < width / LANES; i++) {
        Vector unit = (value[i] - by.mean) * by.scale;
        store(by_weight + i * LANES, load(by_weight + i * LANES) + given[i] * unit);
        store(by_shift + i * LANES, load(by_shift + i * LANES) + given[i]);
        given[i] *= load(weight + i * LANES);
        sum += given[i];
        along += given[i] * unit;
    }
    float less = sum_of(sum) / width, tilt = sum_of(along) / width * by.scale;
    for (Int i = 0; i < width / LANES; i++) given[i] = (given[i] - less - (value[i] - by.mean) * tilt) * by.scale;
}

INLINE void norm_token_backward(const Normed *of, const Gradients *all, Int token, float *sums, Int width) {
    Vector value[WIDEST / LANES], again[WIDEST / LANES], given[WIDEST / LANES];
    Int at = token * width;
    float share = share_of(of, token);
    Norm by = summed(of, at, width, share, value);
    for (Int i = 0; i < width / LANES; i++) given[i] = load_any(all->by_out, at + i * LANES, of->bf16_out);
    if (of->next_weight) {
        Norm next = summed_again(of, value, by, width, again);
        by_value(given, again, next, of->next_weight, width, sums + 3 * width, sums + 4 * width);
        for (Int i = 0; all->by_total && i < width / LANES; i++) given[i] += load(all->by_total + at + i * LANES);
    }
    by_value(given, value, by, of->weight, width, sums, sums + width);
    for (Int i = 0; i < width / LANES; i++) {
        if (all->by_total && !of->next_weight) given[i] += load(all->by_total + at + i * LANES);
        store(all->by_x + at + i * LANES, given[i]);
        if (!all->by_branch) continue;
        float *by_bias = sums + 2 * width + i * LANES;
        store_any(all->by_branch, at + i * LANES, given[i] * share, of->bf16_branch);
        store(by_bias, load(by_bias) + given[i] * share);
    }
}

void norm_backward(const Normed *of, const Gradients *all, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (Int part = 0; part < all->parts; part++) {
        float *own = all->sums + part * 5 * of->width;
        for (Int token = of->tokens * part / all->parts; token < of->tokens * (part + 1) / all->parts; token++)
            BY_WIDTH(of->width, norm_token_backward, of, all, token, own);
    }
}

/* The normal distribution's density at x, and its integral until x to 1.5e-7 (Abramowitz and Stegun, 7.1.26). */
static inline float normal(float x, float *until) {
    float peak = power_of_2(-0.5f * LOG2_E * x * x), t = 1 / (1 + 0.2316418882663604f * fabsf(x));
    float tail = 1.421413741f + t * (-1.453152027f + t * 1.061405429f);
    tail = 0.5f * t * peak * (0.254829592f + t * (-0.284496736f + t * tail));
    *until = x < 0 ? tail : 1 - tail;
    return 0.3989422804014327f * peak;
}

INLINE void gelu_one(const void *x, const float *bias, void *out, Int at, Int width, int bf16) {
#pragma omp simd
    for (Int i = 0; i < width; i++) {
        float value = load_one(x, at + i, bf16) + bias[i], until;
        normal(value, &until);
        store_one(out, at + i, value * until, bf16);
    }
}

/* GELU of `x + bias`, tokens of `width` numbers. */
void gelu(const void *x, const float *bias, void *out, Int tokens, Int width, int bf16, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (Int token = 0; token < tokens; token++) {
        if (bf16) gelu_one(x, bias, out, token * width, width, 1);
        else gelu_one(x, bias, out, token * width, width, 0);
    }
}

INLINE void gelu_one_backward(
    const void *x, const float *bias, const void *by_out, void *by_x, float *sums, Int at, Int width, int bf16) {
#pragma omp simd
    for (Int i = 0; i < width; i++) {
        float value = load_one(x, at + i, bf16) + bias[i], until, density = normal(value, &until);
        float result = load_one(by_out, at + i, bf16) * (until + value * density);
        store_one(by_x, at + i, result, bf16);
        sums[i] += result;
    }
}

/* The gradient by x; `sums`, `parts width`, begin as zeros and end as the gradient by the bias. */
void gelu_backward(
    const void *x, const float *bias, const void *by_out, void *by_x, float *sums, Int tokens, Int width, Int parts,
    int bf16, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (Int part = 0; part < parts; part++) {
        float *own = sums + part * width;
        for (Int token = tokens * part / parts; token < tokens * (part + 1) / parts; token++) {
            if (bf16) gelu_one_backward(x, bias, by_out, by_x, own, token * width, width, 1);
            else gelu_one_backward(x, bias, by_out, by_x, own, token * width, width, 0);
        }
    }
}

/* Numbers of 8 bits: `x * scale + shift` without what is behind the point. */
void round_to_bytes(const float *x, Int count, float scale, float shift, uint8_t *rounded, int threads) {
#pragma omp parallel for simd num_threads(threads) schedule(static)
    for (Int i = 0; i < count; i++) rounded[i] = (uint8_t)(int32_t)(x[i] * scale + shift);
}
