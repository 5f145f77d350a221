/* What lies between a network's matrix products, on a CPU: native_attention.c, native_norms.c. Called by native.py.

   All is computed in float32. What linear layers give and are given may be bfloat16, the upper half of a float32:
   where a tensor is `void`, an int tells whether it is `bf16`.

   Each reads every number once and writes it once, where torch's operations copy, pad and come back to what has left
   the cache. A linear layer's bias is added by what follows the layer. What is summed over tokens is summed in parts,
   so that results do not depend on how many threads there are. Pointers that may be NULL say so. */

#pragma once


#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define LANES 16 /* floats of a vector */
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif
#define LOG2_E 1.44269504f

#define INLINE static inline __attribute__((always_inline))

typedef int64_t Int;
typedef float Vector __attribute__((vector_size(4 * LANES)));
typedef int32_t Bits __attribute__((vector_size(4 * LANES)));
typedef uint32_t Words __attribute__((vector_size(4 * LANES)));
typedef uint16_t Bf16 __attribute__((vector_size(2 * LANES)));
typedef Bf16 AnyBf16 __attribute__((aligned(2), may_alias));
typedef float Anywhere __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

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
