/*
 * Translated code that outlives its process: what the rest of QEMU sees of it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SMOLVM_TRANSLATIONS_H
#define SMOLVM_TRANSLATIONS_H

#include "exec/translation-block.h"
#include "qemu/qht.h"

/*
 * Where the buffer of translated code should be: below 2 GiB, so that calls
 * between it and the program (which is linked at 4 MiB) are direct, and above
 * what the heap that follows the program may grow to.
 */
#define TRANSLATIONS_ADDRESS ((void *)0x60000000)

/* What was taken from a file.  All zero: nothing. */
typedef struct KeptTranslations {
    const uint32_t *blocks;  /* their places in the buffer, ascending */
    size_t n_blocks;
    const uint64_t *table;   /* hash in the upper, place in the lower half */
    uint32_t table_mask;
    char *base;              /* of the buffer */
    char *end;               /* of what came from the file */
} KeptTranslations;

extern KeptTranslations kept_translations;

/*
 * Where in the table the search for a block begins: those of one page of the
 * guest's lie together, by their places in it.  A clone looks up each block that
 * it enters, and what runs next is near: that costs no wait for memory.
 */
static inline uint32_t kept_first_slot(tb_page_addr_t phys_pc, uint32_t mask)
{
    uint32_t page = (uint32_t)(phys_pc >> 12) * 0x9e3779b1u;

    return (page >> 6 << 6 | (phys_pc >> 6 & 63)) & mask;
}

/* The kept block that matches, as qht_lookup_custom finds those made here. */
static inline TranslationBlock *kept_lookup(const void *desc, uint32_t hash,
                                            tb_page_addr_t phys_pc,
                                            qht_lookup_func_t matches)
{
    const KeptTranslations *kept = &kept_translations;
    uint32_t slot;

    if (!kept->table) {
        return NULL;
    }
    for (slot = kept_first_slot(phys_pc, kept->table_mask); kept->table[slot];
         slot = (slot + 1) & kept->table_mask) {
        if ((uint32_t)(kept->table[slot] >> 32) == hash) {
            void *tb = kept->base + (uint32_t)kept->table[slot];

            if (matches(tb, desc)) {
                return tb;
            }
        }
    }
    return NULL;
}

/* It is in what came from a file. */
static inline bool kept_contains(const void *p)
{
    const KeptTranslations *kept = &kept_translations;

    return (const char *)p >= kept->base && (const char *)p < kept->end;
}

/* The kept block whose code is at that address, or NULL. */
static inline TranslationBlock *kept_at(uintptr_t tc_ptr)
{
    const KeptTranslations *kept = &kept_translations;
    size_t from = 0, to = kept->n_blocks;
    uintptr_t place = tc_ptr - (uintptr_t)kept->base;
    TranslationBlock *tb;

    while (from < to) {
        size_t middle = (from + to) / 2;

        if (kept->blocks[middle] <= place) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    if (from == 0) {
        return NULL;
    }
    tb = (void *)(kept->base + kept->blocks[from - 1]);
    return tc_ptr - (uintptr_t)tb->tc.ptr < tb->tc.size ? tb : NULL;
}

/* The buffer begins anew. */
void kept_forget(void);

#endif
