/* The pass that answers a query: score in 8 bits, search the forest, rescore, rank.

   Items stand in the order of their norms, largest first, and sixteen of them in a block. The scan
   scores block by block in 8 bits. What rounding can have added or taken is bounded, so that

   - an item whose score is surely below k others' is dropped,
   - a block whose norm is too small for anybody in it to enter the list ends the scan: by the
     inequality of Cauchy and Schwarz no score exceeds the product of the norms, and all later
     norms are smaller,
   - the few that are left are scored in float32 from the embeddings, and ranked.

   So a scan of all blocks gives the exact list. Behind the head an Annoy forest may stand for the
   rest of the scan. It is walked here, not by Annoy: candidates then are checked against the mask,
   scored and ranked as they come, and a damaged file can lead nowhere but to other nodes.

   Where norms say little, as those of unit vectors, items stand in clusters instead. The clusters
   whose centers score highest are scanned first. They may stand for the rest, or the rest follows,
   block by block: 4 bits a number of what an item adds to its center bound its score, and only
   blocks that can change the list are read in 8 bits.

   Nothing is allocated here: a query writes to the scratch memory of its thread and to its list.
   No index is trusted that comes from a file. What a query did is counted, so that an index can be
   chosen by work, which is the same on a busy machine. compiled.py calls this. */

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#define PER_BLOCK 16
#define PER_INT 4
#define OFFSET 128 /* codes of items are held as 1 to 255 */
#define LARGEST_CODE 127
#define ROUNDING 1e-5 /* what float32 may add to a dot product, as a share of the norms */
#define AHEAD 8       /* rows asked for before they are scored */
#define CLUSTERS_AHEAD 3
#define NODE_HEAD 3   /* numbers of a node before its vector: descendants, two children */
#define VISITS_PER_ROOT 64
#define PER_PAIR 8     /* numbers of an item in 4 bits that an int holds */
#define MIDDLE 7.5f    /* of 0 to 15, the codes in 4 bits */
#define MOST_AXES 128
#define FIRST 8        /* clusters that are scanned before all others are, in order */
#define CANCELLED 1e-5 /* of a square, what is left of a difference of two alike */

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define FOR_PROCESSOR __attribute__((target_clones("avx512f", "avx2", "default")))
#define VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))
#else
#define FOR_PROCESSOR
#endif

typedef struct {
    const int64_t *starts;  /* (n + 1,) the first block of each cluster */
    const float *centers;   /* (n, factors) */
    const float *radius;    /* (n_blocks,) the largest distance of an item from its center */
    const float *axes;      /* (n_axes, factors), orthonormal */
    const int32_t *leads;   /* (n_blocks, n_axes / 8, 16): eight numbers in 4 bits, the first four
                               in the low halves of the bytes: item less center, along the axes */
    const float *limits;    /* (n_blocks, 4) of each block: the step of its codes, and the largest
                               error of coding, length beside the axes, and length along them */
    const int32_t *codes;   /* (n / 16, width + 1, 16) of the centers, as those of the items */
    int64_t n, n_axes;
} clusters_t;

typedef struct {
    const float *items;     /* (n_items, factors), by row; NULL where they are in bytes */
    const int8_t *bytes;    /* (n_items, factors), */
    const float *scales;    /* (n_items,) and the factor of each */
    const int32_t *row;     /* (n_items,) of each position, largest norm first */
    const int32_t *position; /* (n_items,) of each row */
    const int32_t *codes;   /* (n_blocks, width + 1, 16): four numbers in 8 bits of each of sixteen
                               positions in an int, and last the bits of their scales */
    const float *norms;     /* (n_blocks,) the largest of each block */
    const float *errors;    /* (n_blocks,) the largest distance of an item from its code */
    const float *factor;    /* (n_items,) by row, of its score, such as 1 / norm; NULL for ones */
    const clusters_t *clusters; /* NULL where items stand in the order of their norms */
    int64_t n_items, factors, n_blocks, width;
} catalogue_t;

typedef struct {
    const int32_t *nodes; /* (n_nodes, factors + 4): descendants, two children and the normal of
                             the plane that splits them; or many children */
    const int32_t *roots;
    int64_t n_nodes, n_roots, first, n_items; /* first: the position of its item 0 */
} forest_t;

typedef struct {
    uint16_t *mask;  /* (n_blocks,) who may still be found */
    int8_t *query;   /* (4 * width,) */
    int8_t *lead;    /* (n_axes,) */
    float *vector;   /* (factors,) of an item in bytes */
    int32_t *found;  /* (n_items,) positions; the complement of one that is scored exactly */
    float *lowest;   /* (n_items,) the least that the score of each can be */
    float *floors;   /* (n_items,) min-heap of the k largest of these */
    int64_t *keys;   /* (n_items,) min-heap of the list */
    int64_t *queue;  /* (n_items + 66 * n_roots,) of the walk; or (2 * n_clusters,) */
    int32_t *leaves; /* (n_items + factors + 3,) */
    int64_t *work;   /* (N_COUNTS,) of the last query */
} scratch_t;

/* What is counted; compiled.py says what each is. */
enum { MASKED, EXCLUDED, BLOCKS, HITS, NODES, VECTORS, LISTED, CENTERS, PROBED, LEADS, N_COUNTS };

typedef struct {
    double step, norm, error;
    int32_t offset;
} query_t;

/* --- heaps, and numbers with a payload that sort like the pair */

#define HEAP(type, name)                                                                         \
    static void push_##name(type *heap, int64_t n, type value) {                                 \
        int64_t place = n;                                                                       \
        while (place > 0) {                                                                      \
            int64_t above = (place - 1) >> 1;                                                    \
            if (heap[above] <= value) break;                                                     \
            heap[place] = heap[above];                                                           \
            place = above;                                                                       \
        }                                                                                        \
        heap[place] = value;                                                                     \
    }                                                                                            \
    static void replace_least_##name(type *heap, int64_t n, type value) {                        \
        int64_t place = 0, below;                                                                \
        while ((below = 2 * place + 1) < n) {                                                    \
            if (below + 1 < n && heap[below + 1] < heap[below]) below++;                         \
            if (heap[below] >= value) break;                                                     \
            heap[place] = heap[below];                                                           \
            place = below;                                                                       \
        }                                                                                        \
        heap[place] = value;                                                                     \
    }

HEAP(float, float)
HEAP(int64_t, key)

static int64_t key_of(float number, int32_t payload) {
    int32_t bits;
    number += 0.0f; /* -0 becomes 0 */
    memcpy(&bits, &number, sizeof bits);
    /* The bits of negative floats sort backwards; flipped, all of them sort like the numbers. */
    int64_t ascending = bits ^ ((bits >> 31) & INT32_MAX);
    return (int64_t)((uint64_t)ascending << 32) | (uint32_t)(INT32_MAX - payload);
}

static float number_of(int64_t key) {
    int32_t ascending = (int32_t)(key >> 32), bits = ascending ^ ((ascending >> 31) & INT32_MAX);
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

static int32_t payload_of(int64_t key) { return INT32_MAX - (int32_t)(key & INT32_MAX); }

/* --- who may be found */

static int take_out(uint16_t *mask, int64_t at) {
    uint16_t bit = (uint16_t)(1u << (at & 15));
    if (!(mask[at >> 4] & bit)) return 0;
    mask[at >> 4] &= (uint16_t)~bit;
    return 1;
}

/* Copy who is allowed, take out who is excluded, and return how many are left. */
static int64_t allow(const catalogue_t *c, const uint16_t *allowed, int64_t n,
                     const int32_t *exclude, int64_t n_exclude, uint16_t *mask) {
    memcpy(mask, allowed, (size_t)c->n_blocks * sizeof *mask);
    for (int64_t j = 0; j < n_exclude; j++) {
        int32_t row = exclude[j];
        if (row < 0 || row >= c->n_items) continue;
        int32_t at = c->position[row];
        if (at >= 0 && at < c->n_items) n -= take_out(mask, at);
    }
    return n;
}

/* --- exact scores */

static int64_t row_at(const catalogue_t *c, int64_t at) {
    int64_t row = c->row[at];
    return row < 0 ? 0 : row >= c->n_items ? c->n_items - 1 : row;
}

static void ask_for(const catalogue_t *c, int64_t row) {
    const char *start = c->items ? (const char *)(c->items + row * c->factors)
                                 : (const char *)(c->bytes + row * c->factors);
    int64_t n_bytes = c->items ? 4 * c->factors : c->factors;
    for (int64_t byte = 0; byte < n_bytes; byte += 64) __builtin_prefetch(start + byte);
}

FOR_PROCESSOR static float dot(const float *restrict a, const float *restrict b, int64_t n) {
    float sum = 0;
    for (int64_t f = 0; f < n; f++) sum += a[f] * b[f];
    return sum;
}

FOR_PROCESSOR static void decode(const int8_t *restrict bytes, float scale, int64_t n,
                                 float *restrict vector) {
    for (int64_t f = 0; f < n; f++) vector[f] = (float)bytes[f] * scale;
}

/* The same for an item in bytes as for the item that they decode to, to the last bit. */
static float score_of(const catalogue_t *c, scratch_t *s, int64_t row, const float *user) {
    const float *item = s->vector;
    if (c->items) item = c->items + row * c->factors;
    else decode(c->bytes + row * c->factors, c->scales[row], c->factors, s->vector);
    float score = dot(item, user, c->factors);
    return c->factor ? score * c->factor[row] : score;
}

/* --- the scan */

static query_t encode(const float *user, int64_t n, int8_t *code) {
    float largest = 0;
    for (int64_t f = 0; f < n; f++)
        if (fabsf(user[f]) > largest) largest = fabsf(user[f]);
    float step = largest / LARGEST_CODE, up = step > 0 ? 1 / step : 0;
    query_t q = {step, 0, 0, 0};
    for (int64_t f = 0; f < n; f++) {
        float whole = rintf(user[f] * up);
        if (!(whole >= -LARGEST_CODE && whole <= LARGEST_CODE)) whole = 0; /* no number */
        code[f] = (int8_t)whole;
        q.norm += (double)user[f] * user[f];
        q.error += ((double)user[f] - whole * step) * ((double)user[f] - whole * step);
        q.offset -= OFFSET * code[f];
    }
    q.norm = sqrt(q.norm);
    q.error = sqrt(q.error);
    return q;
}

/* What no score in this block or a later one exceeds. */
static double reach_of(const catalogue_t *c, const query_t *q, int64_t block) {
    return q->norm * c->norms[block] * (1 + ROUNDING);
}

/* How far scores by code can be from those of the embeddings, in a block. With codes x' and y' of x
   and y: x y - x' y' = x (y - y') + (x - x') y'. */
static float slack_of(const catalogue_t *c, const query_t *q, int64_t block) {
    double norm = c->norms[block], error = c->errors[block];
    return (float)(q->norm * (error + ROUNDING * norm) + q->error * (norm + error));
}

static void keep(float *floors, int64_t k, int64_t n, float score) {
    if (n < k) push_float(floors, n, score);
    else if (score > floors[0]) replace_least_float(floors, k, score);
}

/* Score a block by its codes; return the bits of those that reach the least. */
typedef uint32_t (*score_block_t)(const int32_t *block, const int32_t *query, int64_t width,
                                  int32_t offset, float step, float least, float *scores);

FOR_PROCESSOR static uint32_t score_block(const int32_t *block, const int32_t *query,
                                          int64_t width, int32_t offset, float step, float least,
                                          float *scores) {
    int32_t sums[PER_BLOCK];
    for (int lane = 0; lane < PER_BLOCK; lane++) sums[lane] = offset;
    for (int64_t f = 0; f < width; f++) {
        const uint8_t *item = (const uint8_t *)(block + PER_BLOCK * f);
        const int8_t *four = (const int8_t *)(query + f);
        for (int lane = 0; lane < PER_BLOCK; lane++)
            for (int byte = 0; byte < PER_INT; byte++)
                sums[lane] += (int32_t)item[PER_INT * lane + byte] * four[byte];
    }
    const float *scales = (const float *)(block + PER_BLOCK * width);
    uint32_t hits = 0;
    for (int lane = 0; lane < PER_BLOCK; lane++) {
        scores[lane] = (float)sums[lane] * scales[lane] * step;
        hits |= (uint32_t)(scores[lane] >= least) << lane;
    }
    return hits;
}

#ifdef VNNI
VNNI static uint32_t score_block_vnni(const int32_t *block, const int32_t *query, int64_t width,
                                      int32_t offset, float step, float least, float *scores) {
    __m512i even = _mm512_set1_epi32(offset), odd = _mm512_setzero_si512();
    int64_t f = 0;
    for (; f + 1 < width; f += 2) {
        const int32_t *pair = block + PER_BLOCK * f;
        even = _mm512_dpbusd_epi32(even, _mm512_loadu_si512(pair), _mm512_set1_epi32(query[f]));
        odd = _mm512_dpbusd_epi32(odd, _mm512_loadu_si512(pair + PER_BLOCK),
                                  _mm512_set1_epi32(query[f + 1]));
    }
    if (f < width)
        even = _mm512_dpbusd_epi32(even, _mm512_loadu_si512(block + PER_BLOCK * f),
                                   _mm512_set1_epi32(query[f]));
    __m512 sums = _mm512_cvtepi32_ps(_mm512_add_epi32(even, odd));
    __m512 scales = _mm512_loadu_ps(block + PER_BLOCK * width);
    __m512 found = _mm512_mul_ps(_mm512_mul_ps(sums, scales), _mm512_set1_ps(step));
    uint32_t hits = _mm512_cmp_ps_mask(found, _mm512_set1_ps(least), _CMP_GE_OQ);
    if (hits) _mm512_storeu_ps(scores, found);
    return hits;
}
#endif

/* --- the pass in 4 bits before it */

typedef struct {
    const clusters_t *clusters;
    const int32_t *code; /* of the user along the axes, (n_axes / 4,) */
    float step, norm, error, rest; /* error: of the code; rest: the length beside the axes */
    float whole;                   /* the length */
    float middle;                  /* what the codes of all items are too much */
    float center;                  /* the score of the center of the cluster */
    int64_t n_scored;
} lead_t;

/* Whether all items of a block are so near their center that none reaches the least. */
static int is_beyond(const lead_t *l, int64_t b, float least) {
    return l->center + l->whole * l->clusters->radius[b] < least;
}

/* What a score can exceed that by the codes of a block by: with r = item - center, its part r'
   along the axes and code r", and x, x', x" of the user, the rest of x r is
   x' (r' - r") + (x' - x") r" + (x - x') (r - r'). */
static float lead_slack(const lead_t *l, const float *limit) {
    return limit[1] * l->norm + limit[2] * l->rest + limit[3] * l->error;
}

/* Return the first block, from b on, that holds items whose score may reach the least, and them. */
typedef int64_t (*next_block_t)(lead_t *l, const uint16_t *mask, int64_t b, int64_t last,
                                float least, uint32_t *wanted);

FOR_PROCESSOR static int64_t next_block(lead_t *l, const uint16_t *mask, int64_t b, int64_t last,
                                        float least, uint32_t *wanted) {
    int64_t n_pairs = l->clusters->n_axes / PER_PAIR;
    for (; b < last; b++) {
        if (is_beyond(l, b, least) || !mask[b]) continue;
        l->n_scored++;
        int32_t sums[PER_BLOCK] = {0};
        for (int64_t pair = 0; pair < n_pairs; pair++) {
            const uint8_t *item =
                (const uint8_t *)(l->clusters->leads + PER_BLOCK * (b * n_pairs + pair));
            const int8_t *eight = (const int8_t *)(l->code + 2 * pair);
            for (int lane = 0; lane < PER_BLOCK; lane++)
                for (int byte = 0; byte < PER_INT; byte++) {
                    uint8_t two = item[PER_INT * lane + byte];
                    sums[lane] += (two & 15) * eight[byte] + (two >> 4) * eight[PER_INT + byte];
                }
        }
        const float *limit = l->clusters->limits + 4 * b;
        float needed = least - l->center - lead_slack(l, limit), step = limit[0] * l->step;
        uint32_t hits = 0;
        for (int lane = 0; lane < PER_BLOCK; lane++)
            hits |= (uint32_t)(((float)sums[lane] - l->middle) * step >= needed) << lane;
        *wanted = hits & mask[b];
        if (*wanted) return b;
    }
    return last;
}

#ifdef VNNI
VNNI static int64_t next_block_vnni(lead_t *l, const uint16_t *mask, int64_t b, int64_t last,
                                    float least, uint32_t *wanted) {
    int64_t n_pairs = l->clusters->n_axes / PER_PAIR;
    const __m512i low = _mm512_set1_epi8(15);
    const __m512 middle = _mm512_set1_ps(l->middle);
    for (; b < last; b++) {
        if (is_beyond(l, b, least) || !mask[b]) continue;
        l->n_scored++;
        const int32_t *block = l->clusters->leads + PER_BLOCK * b * n_pairs;
        __m512i even = _mm512_setzero_si512(), odd = _mm512_setzero_si512();
        for (int64_t pair = 0; pair < n_pairs; pair++) {
            __m512i both = _mm512_loadu_si512(block + PER_BLOCK * pair);
            __m512i high = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
            even = _mm512_dpbusd_epi32(even, _mm512_and_si512(both, low),
                                       _mm512_set1_epi32(l->code[2 * pair]));
            odd = _mm512_dpbusd_epi32(odd, high, _mm512_set1_epi32(l->code[2 * pair + 1]));
        }
        const float *limit = l->clusters->limits + 4 * b;
        float needed = least - l->center - lead_slack(l, limit), step = limit[0] * l->step;
        __m512 sums = _mm512_sub_ps(_mm512_cvtepi32_ps(_mm512_add_epi32(even, odd)), middle);
        __m512 scores = _mm512_mul_ps(sums, _mm512_set1_ps(step));
        *wanted = mask[b] & _mm512_cmp_ps_mask(scores, _mm512_set1_ps(needed), _CMP_GE_OQ);
        if (*wanted) return b;
    }
    return last;
}
#endif

static score_block_t chosen = score_block;
static next_block_t chosen_next = next_block;

/* Whether to use the instruction for products of bytes; returns whether it is used then. */
int use_vnni(int wanted) {
    chosen = score_block;
    chosen_next = next_block;
#ifdef VNNI
    if (wanted && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw")) {
        chosen = score_block_vnni;
        chosen_next = next_block_vnni;
    }
#endif
    return chosen != score_block;
}

/* Add whoever can be among the best of some blocks; return how many are found. */
static int64_t scan(const catalogue_t *c, scratch_t *s, const query_t *q, lead_t *l, int64_t first,
                    int64_t last, int64_t k, int64_t n) {
    const int32_t *query = (const int32_t *)s->query;
    float scores[PER_BLOCK];
    int64_t n_before = n, n_blocks = 0;
    for (int64_t b = first; b < last; b++) {
        float floor = n >= k ? s->floors[0] : -INFINITY;
        uint32_t wanted = s->mask[b];
        if (l && (b = chosen_next(l, s->mask, b, last, floor, &wanted)) == last) break;
        if (!wanted) continue;
        if (reach_of(c, q, b) < floor) break;
        n_blocks++;
        float slack = slack_of(c, q, b);
        const int32_t *block = c->codes + b * (c->width + 1) * PER_BLOCK;
        uint32_t hits =
            wanted & chosen(block, query, c->width, q->offset, (float)q->step, floor - slack, scores);
        for (; hits; hits &= hits - 1) {
            int lane = __builtin_ctz(hits);
            s->found[n] = (int32_t)(PER_BLOCK * b + lane);
            s->lowest[n] = scores[lane] - slack;
            keep(s->floors, k, n, s->lowest[n]);
            n++;
        }
    }
    s->work[BLOCKS] += n_blocks;
    s->work[HITS] += n - n_before;
    return n;
}

static void sort_descending(int64_t *keys, int64_t n) {
    for (int64_t left = n - 1; left >= 0; left--) {
        int64_t least = keys[0];
        replace_least_key(keys, left, keys[left]);
        keys[left] = least;
    }
}

static int64_t keep_key(int64_t *keys, int64_t most, int64_t n, int64_t key) {
    if (n < most) {
        push_key(keys, n, key);
        return n + 1;
    }
    if (n && key > keys[0]) replace_least_key(keys, n, key);
    return n;
}

static int64_t scan_cluster(const catalogue_t *c, scratch_t *s, const query_t *q, lead_t *l,
                            int64_t key, int64_t k, int64_t n) {
    int32_t number = payload_of(key);
    l->center = number_of(key);
    return scan(c, s, q, l, c->clusters->starts[number], c->clusters->starts[number + 1], k, n);
}

/* Scan a block beside a cluster, in which its first or its last items may stand. */
static int64_t scan_beside(const catalogue_t *c, scratch_t *s, const query_t *q, lead_t *l,
                           const float *user, int64_t number, int64_t block, int64_t k, int64_t n) {
    const clusters_t *t = c->clusters;
    if (block < 0 || block >= c->n_blocks) return n;
    while (number > 0 && t->starts[number] > block) number--;
    while (number < t->n - 1 && t->starts[number + 1] <= block) number++;
    l->center = dot(t->centers + number * c->factors, user, c->factors);
    n = scan(c, s, q, l, block, block + 1, k, n);
    s->mask[block] = 0;
    return n;
}

/* Ask for what a scan of a cluster will read. */
static void ask_for_leads(const scratch_t *s, lead_t *l, int64_t key, int64_t k, int64_t n) {
    int32_t number = payload_of(key);
    float least = n < k ? -INFINITY : s->floors[0];
    int64_t n_bytes = l->clusters->n_axes * PER_BLOCK / 2;
    l->center = number_of(key);
    for (int64_t b = l->clusters->starts[number]; b < l->clusters->starts[number + 1]; b++) {
        if (is_beyond(l, b, least)) break;
        if (!s->mask[b]) continue;
        const char *block = (const char *)l->clusters->leads + b * n_bytes;
        __builtin_prefetch(l->clusters->limits + 4 * b);
        for (int64_t byte = 0; byte < n_bytes; byte += 64) __builtin_prefetch(block + byte);
    }
}

static void score_centers(const catalogue_t *c, scratch_t *s, const float *user, int64_t *keys,
                          int64_t n) {
    for (int64_t j = 0; j < n; j++) {
        int32_t number = payload_of(keys[j]);
        keys[j] = key_of(dot(c->clusters->centers + number * c->factors, user, c->factors), number);
    }
    s->work[CENTERS] += n;
}

/* Find the centers that score highest by their codes. */
static int64_t nearest_centers(const catalogue_t *c, scratch_t *s, const query_t *q, int64_t most,
                               int64_t *nearest) {
    int64_t n_centers = c->clusters->n, n = 0, b = 0;
    float scores[PER_BLOCK];
    for (; b * PER_BLOCK < n_centers; b++) {
        const int32_t *block = c->clusters->codes + b * (c->width + 1) * PER_BLOCK;
        float least = n < most ? -INFINITY : number_of(nearest[0]);
        uint32_t hits = chosen(block, (const int32_t *)s->query, c->width, q->offset,
                               (float)q->step, least, scores);
        for (; hits; hits &= hits - 1) {
            int64_t number = PER_BLOCK * b + __builtin_ctz(hits);
            if (number < n_centers)
                n = keep_key(nearest, most, n, key_of(scores[number % PER_BLOCK], (int32_t)number));
        }
    }
    s->work[BLOCKS] += b;
    return n;
}

/* Add whoever can be among the best; return how many are found. Only the clusters whose centers
   score highest are scanned, where `most` is their number and they fill the list. */
static int64_t scan_clusters(const catalogue_t *c, scratch_t *s, const query_t *q,
                             const float *user, int64_t most, int64_t k) {
    const clusters_t *t = c->clusters;
    float along[MOST_AXES];
    for (int64_t axis = 0; axis < t->n_axes; axis++)
        along[axis] = dot(t->axes + axis * c->factors, user, c->factors);
    query_t lead = encode(along, t->n_axes, s->lead);
    double rest = q->norm * q->norm - lead.norm * lead.norm;
    lead_t l = {t, (const int32_t *)s->lead, (float)lead.step, (float)lead.norm, (float)lead.error,
                (float)sqrt(fmax(rest, 0) + CANCELLED * q->norm * q->norm), (float)q->norm,
                MIDDLE / -OFFSET * lead.offset, 0, 0};
    int64_t *keys = s->queue, *nearest = keys + t->n, n = 0;
    int64_t n_nearest = nearest_centers(c, s, q, most > 0 ? most : FIRST, nearest);
    score_centers(c, s, user, nearest, n_nearest);
    sort_descending(nearest, n_nearest);
    for (int64_t j = 0; j < n_nearest; j++) {
        n = scan_cluster(c, s, q, &l, nearest[j], k, n);
        int64_t number = payload_of(nearest[j]);
        int64_t first = t->starts[number], last = t->starts[number + 1];
        memset(s->mask + first, 0, (size_t)(last - first) * sizeof *s->mask);
        if (most <= 0) continue;
        n = scan_beside(c, s, q, &l, user, number, first - 1, k, n);
        n = scan_beside(c, s, q, &l, user, number, last, k, n);
    }
    if (most <= 0 || n < k) {
        for (int64_t j = 0; j < t->n; j++) keys[j] = key_of(0, (int32_t)j);
        score_centers(c, s, user, keys, t->n);
        for (int64_t j = 0; j < t->n; j++) {
            if (j + CLUSTERS_AHEAD < t->n) ask_for_leads(s, &l, keys[j + CLUSTERS_AHEAD], k, n);
            n = scan_cluster(c, s, q, &l, keys[j], k, n);
        }
    }
    s->work[PROBED] += n_nearest;
    s->work[LEADS] += l.n_scored;
    return n;
}

/* --- the walk */

static int64_t offer(scratch_t *s, int64_t n, int64_t at) {
    if (!take_out(s->mask, at)) return n;
    s->leaves[n] = (int32_t)at;
    return n + 1;
}

static int64_t score_leaves(const catalogue_t *c, scratch_t *s, const float *user, int64_t n_leaves,
                            int64_t k, int64_t n) {
    for (int64_t j = 0; j < n_leaves; j++) {
        if (j + AHEAD < n_leaves) ask_for(c, row_at(c, s->leaves[j + AHEAD]));
        float score = score_of(c, s, row_at(c, s->leaves[j]), user);
        if (n >= k && !(score >= s->floors[0])) continue;
        s->found[n] = ~s->leaves[j];
        s->lowest[n] = score;
        keep(s->floors, k, n, score);
        n++;
    }
    return n;
}

/* Add candidates of the forest with their scores; return how many are found. Nodes are visited as
   Annoy does it: the next is the one for which the least margin on the way to it is the largest,
   over all trees. */
static int64_t walk(const catalogue_t *c, const forest_t *t, scratch_t *s, const float *user,
                    int64_t search_k, int64_t k, int64_t n) {
    int64_t stride = c->factors + 1 + NODE_HEAD, leaf_size = c->factors + 3;
    int64_t most_visits = search_k + VISITS_PER_ROOT * t->n_roots, waiting = 0, n_leaves = 0, visit;
    for (int64_t j = 0; j < t->n_roots; j++)
        push_key(s->queue, waiting++, -key_of(INFINITY, t->roots[j]));
    for (visit = 0; visit < most_visits && waiting && n_leaves < search_k; visit++) {
        int64_t key = -s->queue[0];
        waiting--;
        replace_least_key(s->queue, waiting, s->queue[waiting]);
        int64_t number = payload_of(key);
        const int32_t *node = t->nodes + number * stride;
        if (number < t->n_items) {
            n_leaves = offer(s, n_leaves, t->first + number);
        } else if (node[0] <= leaf_size) {
            for (int32_t j = 0; j < node[0]; j++)
                if (node[1 + j] >= 0 && node[1 + j] < t->n_items)
                    n_leaves = offer(s, n_leaves, t->first + node[1 + j]);
        } else {
            float margin = dot((const float *)(node + NODE_HEAD), user, c->factors);
            float so_far = number_of(key);
            for (int child = 0; child < 2; child++) { /* child 1 lies where it is positive */
                margin = -margin;
                int32_t below = node[1 + child];
                if (below >= 0 && below < t->n_nodes)
                    push_key(s->queue, waiting++, -key_of(fminf(so_far, margin), below));
            }
        }
    }
    s->work[NODES] += visit;
    s->work[VECTORS] += n_leaves;
    return score_leaves(c, s, user, n_leaves, k, n);
}

/* --- the list */

static int64_t in_order(int64_t *keys, int64_t n, int32_t *rows, float *scores) {
    sort_descending(keys, n);
    for (int64_t j = 0; j < n; j++) {
        rows[j] = payload_of(keys[j]);
        scores[j] = number_of(keys[j]);
    }
    return n;
}

static int64_t ranked(const catalogue_t *c, scratch_t *s, const query_t *q, const float *user,
                      int64_t k, int64_t n, int32_t *rows, float *scores) {
    float floor = n >= k ? s->floors[0] : -INFINITY;
    int64_t left = 0, n_keys = 0, n_scored = 0;
    for (int64_t j = 0; j < n; j++) {
        int32_t at = s->found[j];
        if (at >= 0 && s->lowest[j] + 2 * slack_of(c, q, at >> 4) < floor) continue;
        s->found[left] = at;
        s->lowest[left++] = s->lowest[j];
    }
    for (int64_t j = 0; j < left; j++) {
        if (j + AHEAD < left && s->found[j + AHEAD] >= 0)
            ask_for(c, row_at(c, s->found[j + AHEAD]));
        int32_t at = s->found[j];
        int64_t row = row_at(c, at >= 0 ? at : ~at);
        float score = at >= 0 ? score_of(c, s, row, user) : s->lowest[j];
        n_scored += at >= 0;
        n_keys = keep_key(s->keys, k, n_keys, key_of(score, (int32_t)row));
    }
    s->work[VECTORS] += n_scored;
    s->work[LISTED] = n_keys;
    return in_order(s->keys, n_keys, rows, scores);
}

/* --- what Python calls */

/* Which differs between releases. */
int64_t layout(void) {
    return N_COUNTS + 1000 * (int64_t)(sizeof(catalogue_t) + sizeof(clusters_t) + sizeof(scratch_t));
}

int64_t search(const catalogue_t *c, const forest_t *t, scratch_t *s, const float *user, int64_t k,
               const uint16_t *allowed, int64_t n_allowed, const int32_t *exclude,
               int64_t n_exclude, int64_t n_head, int64_t search_k, int32_t *rows, float *scores) {
    int64_t left = allow(c, allowed, n_allowed, exclude, n_exclude, s->mask);
    memset(s->work, 0, N_COUNTS * sizeof *s->work);
    s->work[MASKED] = c->n_blocks;
    s->work[EXCLUDED] = n_exclude;
    if (left < k) k = left;
    if (k < 1) return 0;
    query_t q = encode(user, c->factors, s->query);
    if (c->clusters) {
        int64_t n = scan_clusters(c, s, &q, user, search_k, k);
        return ranked(c, s, &q, user, k, n, rows, scores);
    }
    int64_t n = scan(c, s, &q, NULL, 0, n_head, k, 0);
    if (n_head < c->n_blocks && (n < k || reach_of(c, &q, n_head) >= s->floors[0])) {
        if (search_k > 0) n = walk(c, t, s, user, search_k, k, n);
        if (search_k <= 0 || n < k) /* whoever was found is no longer in the mask */
            n = scan(c, s, &q, NULL, n_head, c->n_blocks, k, n);
    }
    return ranked(c, s, &q, user, k, n, rows, scores);
}

void search_many(const catalogue_t *c, const forest_t *t, scratch_t *s, const float *users,
                 int64_t n_users, int64_t k, const uint16_t *allowed, int64_t n_allowed,
                 const int64_t *starts, const int32_t *exclude, int64_t n_head, int64_t search_k,
                 int32_t *rows, float *scores, int64_t *work) {
    for (int64_t j = 0; j < n_users; j++) {
        int64_t n = search(c, t, s, users + j * c->factors, k, allowed, n_allowed,
                           exclude + starts[j], starts[j + 1] - starts[j], n_head, search_k,
                           rows + j * k, scores + j * k);
        for (; n < k; n++) {
            rows[j * k + n] = -1;
            scores[j * k + n] = -INFINITY;
        }
        if (work) memcpy(work + j * N_COUNTS, s->work, N_COUNTS * sizeof *work);
    }
}

/* Quantize items to 8 bits, each with a scale of its own, in the order of `row`; `catalogue_t` says
   what is written. Bounds are rounded up. `vector` has room for 4 * width numbers. */
FOR_PROCESSOR void encode_items(const float *items, const float *factor, const int32_t *row,
                                int64_t n_items, int64_t factors, float *restrict vector,
                                int32_t *restrict codes, float *norms, float *errors) {
    int64_t width = (factors + PER_INT - 1) / PER_INT, n = PER_INT * width;
    memset(vector, 0, (size_t)n * sizeof *vector);
    for (int64_t at = 0; at < (n_items + PER_BLOCK - 1) / PER_BLOCK * PER_BLOCK; at++) {
        int64_t lane = at % PER_BLOCK, b = at / PER_BLOCK;
        int32_t *block = codes + b * (width + 1) * PER_BLOCK;
        uint8_t *bytes = (uint8_t *)(block + lane);
        float times = at < n_items ? factor ? factor[row[at]] : 1 : 0, scale = 0;
        const float *item = items + (at < n_items ? row[at] : 0) * factors;
        double norm = 0, error = 0;
        for (int64_t f = 0; f < factors; f++) vector[f] = item[f] * times;
        for (int64_t f = 0; f < n; f++) scale = fmaxf(scale, fabsf(vector[f]));
        scale = fmaxf(scale / LARGEST_CODE, FLT_MIN);
        for (int64_t f = 0; f < n; f++) {
            float whole = rintf(vector[f] / scale);
            double rest = vector[f] - whole * (double)scale;
            norm += vector[f] * (double)vector[f];
            error += rest * rest;
            if (!(whole >= -LARGEST_CODE && whole <= LARGEST_CODE)) whole = 0; /* no number */
            bytes[PER_INT * PER_BLOCK * (f / PER_INT) + f % PER_INT] = (uint8_t)(whole + OFFSET);
        }
        memcpy(block + width * PER_BLOCK + lane, &scale, sizeof scale);
        float up = nextafterf((float)sqrt(norm), INFINITY);
        norms[b] = lane && norms[b] > up ? norms[b] : up;
        up = nextafterf((float)sqrt(error), INFINITY);
        errors[b] = lane && errors[b] > up ? errors[b] : up;
    }
}

int64_t rank(const catalogue_t *c, scratch_t *s, const float *user, const int32_t *listed,
             int64_t n_listed, int64_t k, int32_t *rows, float *scores) {
    int64_t n = 0;
    for (int64_t j = 0; j < n_listed; j++) {
        if (j + AHEAD < n_listed) ask_for(c, listed[j + AHEAD]);
        n = keep_key(s->keys, k, n, key_of(score_of(c, s, listed[j], user), listed[j]));
    }
    return in_order(s->keys, n, rows, scores);
}

#include "plain_list.c"
