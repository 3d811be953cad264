#include <isa-l/crc64.h>
#include <isa-l/mem_routines.h>
