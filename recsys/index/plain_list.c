/* The plain list of a user in one call: from the id to the JSON of the answer. It is the part of
   kernel.c that a server asks for again and again.

   What Python does in ten calls is done here in one: find the row of an id, read the user from the
   files of the version, search, and copy the JSON of each item beside its score. Whatever is out of
   the ordinary (an unknown user, nothing but zeros, files that are not what they should be, more
   than there is room for) is left to Python, which answers it or names what is wrong. */

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define MOST_FACTORS 1024
#define MOST_SEEN 8192
#define MOST_LISTED 1024
#define MOST_ID_BYTES 1024
#define SLOTS_PER_READ 4
#define LONGEST_NUMBER 48

typedef struct {
    int64_t file, offset, n; /* descriptor, byte of the first number, numbers; -1 for no file */
} file_array_t;

typedef struct {
    const catalogue_t *catalogue;
    const forest_t *forest;
    const uint16_t *allowed;
    scratch_t *scratch;
    const uint8_t *json;        /* of all items, each up to its score */
    const int64_t *json_starts; /* (n_items + 1,) */
    const char *ending;         /* of a list */
    char *out;
    int64_t n_allowed, n_head, n_json, n_ending, n_out, n_users, n_homes;
    file_array_t slots;        /* (n_slots, 2) of the hash table of ids: check and row */
    file_array_t numbers;      /* (n_users + 1,) where the text of each id starts; or the ids */
    file_array_t text;         /* no file where ids are integers */
    file_array_t embeddings;   /* (n_users, factors) of float32, or of int8 with scales */
    file_array_t scales;       /* (n_users,) */
    file_array_t seen_starts;  /* (n_users + 1,) */
    file_array_t seen;         /* (n_seen,) */
} lists_t;

int64_t lists_layout(void) { return (int64_t)sizeof(lists_t); }

/* Read some numbers of so many bytes; return whether they were all there. */
static int read_some(const file_array_t *array, int64_t first, int64_t n, int64_t size, void *to) {
    if (first < 0 || n < 0 || first > array->n - n) return 0;
    ssize_t wanted = (ssize_t)(n * size), got;
    do got = pread((int)array->file, to, (size_t)wanted, (off_t)(array->offset + first * size));
    while (got < 0 && errno == EINTR);
    return got == wanted;
}

static int has_id(const lists_t *l, int64_t row, const char *id, int64_t n) {
    int64_t ends[2];
    char text[MOST_ID_BYTES];
    if (l->text.file < 0) {
        if (!read_some(&l->numbers, row, 1, sizeof *ends, ends)) return 0;
        return n == snprintf(text, sizeof text, "%lld", (long long)*ends) && !memcmp(text, id, n);
    }
    if (!read_some(&l->numbers, row, 2, sizeof *ends, ends) || ends[1] - ends[0] != n) return 0;
    return n <= MOST_ID_BYTES && read_some(&l->text, ends[0], n, 1, text) && !memcmp(text, id, n);
}

/* Return the row of an id by its hash of 16 bytes, -1 where it is not found. */
static int64_t row_of(const lists_t *l, const char *hash, const char *id, int64_t n) {
    uint64_t home;
    int64_t check, slots[2 * SLOTS_PER_READ], n_slots = l->slots.n / 2;
    memcpy(&home, hash, sizeof home);
    memcpy(&check, hash + sizeof home, sizeof check);
    for (int64_t at = (int64_t)(home & (uint64_t)(l->n_homes - 1)); at < n_slots;
         at += SLOTS_PER_READ) {
        int64_t n_read = n_slots - at < SLOTS_PER_READ ? n_slots - at : SLOTS_PER_READ;
        if (!read_some(&l->slots, 2 * at, 2 * n_read, sizeof *slots, slots)) return -1;
        for (int64_t j = 0; j < n_read; j++) {
            int64_t row = slots[2 * j + 1];
            if (row < 0) return -1;
            if (slots[2 * j] == check)
                return row < l->n_users && has_id(l, row, id, n) ? row : -1;
        }
    }
    return -1;
}

static int read_user(const lists_t *l, int64_t row, float *user) {
    int64_t factors = l->catalogue->factors;
    int8_t bytes[MOST_FACTORS];
    float scale;
    if (factors > MOST_FACTORS) return 0;
    if (l->scales.file < 0) {
        if (!read_some(&l->embeddings, row * factors, factors, sizeof *user, user)) return 0;
    } else {
        if (!read_some(&l->embeddings, row * factors, factors, 1, bytes)) return 0;
        if (!read_some(&l->scales, row, 1, sizeof scale, &scale)) return 0;
        decode(bytes, scale, factors, user);
    }
    for (int64_t f = 0; f < factors; f++)
        if (user[f] != 0) return 1;
    return 0;
}

/* Return how many items a user has seen, -1 where they cannot be read. */
static int64_t read_seen(const lists_t *l, int64_t row, int32_t *seen) {
    int64_t ends[2];
    if (!read_some(&l->seen_starts, row, 2, sizeof *ends, ends)) return -1;
    int64_t n = ends[1] - ends[0];
    if (n < 0 || n > MOST_SEEN || !read_some(&l->seen, ends[0], n, sizeof *seen, seen)) return -1;
    for (int64_t j = 0; j < n; j++)
        if (seen[j] < 0 || seen[j] >= l->catalogue->n_items) return -1;
    return n;
}

/* Write a number so that who reads it as a double finds the same float: in 17 digits. Those from
   1e-5 to 1e9 are whole numbers of 2^-41, and so of 64 bits before and after the point. */
int64_t write_number(float number, char *to) {
    char *start = to, digits[24];
    double size = fabs((double)number);
    if (!(size <= FLT_MAX)) return (int64_t)(stpcpy(to, "null") - start);
    if (size == 0) return (int64_t)(stpcpy(to, "0.0") - start);
    if (number < 0) *to++ = '-';
    if (size < 1e-5 || size >= 1e9) return to - start + sprintf(to, "%.16e", size);
    uint64_t whole = (uint64_t)size, parts = (uint64_t)((size - (double)whole) * 0x1p41);
    int n_decimals = 16, n_whole = 0;
    unsigned __int128 scaled = (unsigned __int128)parts * 10000000000000000u;
    if (!whole)
        for (double least = 1; size < least && n_decimals < 22; least /= 10, n_decimals++)
            scaled *= 10;
    uint64_t decimals = (uint64_t)((scaled + ((uint64_t)1 << 40)) >> 41);
    do digits[n_whole++] = (char)('0' + whole % 10);
    while (whole /= 10);
    while (n_whole) *to++ = digits[--n_whole];
    *to++ = '.';
    for (int place = n_decimals - 1; place >= 0; place--, decimals /= 10)
        to[place] = (char)('0' + decimals % 10);
    while (n_decimals > 1 && to[n_decimals - 1] == '0') n_decimals--;
    return to + n_decimals - start;
}

static char *copied(char *to, const void *from, int64_t n) {
    memcpy(to, from, (size_t)n);
    return to + n;
}

/* Return the bytes written, 0 where there is no room, or no JSON of an item. */
static int64_t write_list(const lists_t *l, const int32_t *rows, const float *scores, int64_t n) {
    static const char beginning[] = "{\"items\":[";
    const char *end = l->out + l->n_out - l->n_ending - LONGEST_NUMBER;
    if (l->n_out < (int64_t)sizeof beginning + l->n_ending + LONGEST_NUMBER) return 0;
    char *to = copied(l->out, beginning, sizeof beginning - 1);
    for (int64_t j = 0; j < n; j++) {
        int64_t first = l->json_starts[rows[j]], last = l->json_starts[rows[j] + 1];
        if (first < 0 || last < first || last > l->n_json || last - first > end - to) return 0;
        if (j) *to++ = ',';
        to = copied(to, l->json + first, last - first);
        to += write_number(scores[j], to);
        *to++ = '}';
    }
    return copied(to, l->ending, l->n_ending) - l->out;
}

/* Write the list of a user to `out`; return its bytes, 0 where Python must answer. With more seen
   items than `most_excluded`, the forest is not asked. */
int64_t plain_list(const lists_t *l, const char *hash, const char *id, int64_t n_id, int64_t k,
                   int64_t search_k, int64_t most_excluded) {
    float user[MOST_FACTORS], scores[MOST_LISTED];
    int32_t seen[MOST_SEEN], rows[MOST_LISTED];
    if (k < 1 || k > MOST_LISTED || k > l->catalogue->n_items) return 0;
    int64_t row = row_of(l, hash, id, n_id);
    if (row < 0 || !read_user(l, row, user)) return 0;
    int64_t n_seen = read_seen(l, row, seen);
    if (n_seen < 0) return 0;
    int64_t n = search(l->catalogue, l->forest, l->scratch, user, k, l->allowed, l->n_allowed, seen,
                       n_seen, l->n_head, n_seen <= most_excluded ? search_k : 0, rows, scores);
    return write_list(l, rows, scores, n);
}
