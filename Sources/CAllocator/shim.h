// What glibc has beyond the C library of the standard: malloc_trim(3).
#include <malloc.h>
