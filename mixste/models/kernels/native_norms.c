/* Norms of tokens `b t j c` after a residual sum, and the next norm after them; GELU; and rounding to 8 bits. `width` is a
   multiple of LANES, and at most WIDEST, which is native_compiling.py's. */

#include "native.h"

/* A function's last argument as a constant where tokens are narrow, so that they stay in registers. */
#define BY_WIDTH(width, function, ...) \
    do { \
        if (width == 32) function(__VA_ARGS__, 32); \
        else if (width == 64) function(__VA_ARGS__, 64); \
        else function(__VA_ARGS__, width); \
    } while (0)

typedef float Four __attribute__((vector_size(16)));

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
