#include <isa-l.h>
#include <stdint.h>

// Sums of products are macros that Swift does not see.
static const uint32_t lathe_ISAL_DEF_LVL1_LARGE = ISAL_DEF_LVL1_LARGE;
static const uint32_t lathe_ISAL_DEF_LVL2_LARGE = ISAL_DEF_LVL2_LARGE;
