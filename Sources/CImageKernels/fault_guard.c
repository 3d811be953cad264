#define _GNU_SOURCE
#include "CImageKernels.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

struct guard {
    atomic_uintptr_t start;   // 0 where the slot is free or not yet complete
    atomic_size_t length;
    atomic_int_fast64_t fault;
    atomic_bool taken;
};

static struct guard guards[lathe_guard_capacity];
static struct sigaction previous;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int installed;
static uintptr_t page_size;

static void pass_on(int number, siginfo_t *info, void *context) {
    if (previous.sa_flags & SA_SIGINFO) {
        previous.sa_sigaction(number, info, context);
    } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
        previous.sa_handler(number);
    } else {
        // Back to the default: the same instruction faults again and ends the process, as it would have without us.
        signal(number, SIG_DFL);
    }
}

static void on_fault(int number, siginfo_t *info, void *context) {
    uintptr_t address = (uintptr_t)info->si_addr;
    for (int index = 0; index < lathe_guard_capacity; index++) {
        struct guard *guard = &guards[index];
        uintptr_t start = atomic_load(&guard->start);
        if (start == 0 || address < start || address - start >= atomic_load(&guard->length)) continue;
        // Remembered before the page is there: another thread reads its zeros without a fault, and must find this.
        int_fast64_t none = -1;
        atomic_compare_exchange_strong(&guard->fault, &none, (int_fast64_t)(address - start));
        void *page = (void *)(address & ~(page_size - 1));
        // mmap is a bare system call on Linux and safe in a handler, though POSIX does not list it.
        if (mmap(page, page_size, PROT_READ, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) break;
        return;
    }
    pass_on(number, info, context);
}

static void install(void) {
    page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigemptyset(&action.sa_mask);
    installed = sigaction(SIGBUS, &action, &previous) == 0;
}

int lathe_guard_add(const void *start, size_t length) {
    pthread_once(&once, install);
    if (!installed) return -1;
    for (int index = 0; index < lathe_guard_capacity; index++) {
        struct guard *guard = &guards[index];
        _Bool expected = 0;
        if (!atomic_compare_exchange_strong(&guard->taken, &expected, 1)) continue;
        atomic_store(&guard->fault, -1);
        atomic_store(&guard->length, length);
        atomic_store(&guard->start, (uintptr_t)start);
        return index;
    }
    return -1;
}

void lathe_guard_remove(int guard) {
    if (guard < 0 || guard >= lathe_guard_capacity) return;
    atomic_store(&guards[guard].start, 0);
    atomic_store(&guards[guard].taken, 0);
}

int64_t lathe_guard_fault(int guard) {
    if (guard < 0 || guard >= lathe_guard_capacity) return -1;
    return atomic_load_explicit(&guards[guard].fault, memory_order_acquire);
}
