/* What ONNX Runtime's Android libraries take from Android's C library and glibc lacks, or numbers differently.
 *
 * For tests only: the libraries then compute on Linux what they compute on a phone's processor. Their imports of functions
 * that both have, with other numbers, sizes or streams, were renamed (the last letter became `_`): those are here, too.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <wchar.h>

/* Android's numbers of `sysconf`. Source: bionic, libc/include/bits/sysconf.h. */
enum { CLK_TCK = 0x06, PAGESIZE = 0x27, PAGE_SIZE = 0x28, PROCESSORS = 0x60, ONLINE = 0x61, PAGES = 0x62, FREE_PAGES = 0x63 };

/* Android's three streams, which older objects in the library name by place: what is done to them is done to glibc's.
 * The C++ library flushes them when a program ends. Source: bionic, libc/include/bits/struct_file.h. */
enum { STREAM_BYTES = 152 };
char __sF[3 * STREAM_BYTES];

static FILE* ours(void* stream) {
    ptrdiff_t place = (char*)stream - __sF;
    if (place < 0 || place >= (ptrdiff_t)sizeof __sF) return stream;
    return place < STREAM_BYTES ? stdin : place < 2 * STREAM_BYTES ? stdout : stderr;
}

int fclos_(void* stream) { return fclose(ours(stream)); }
int fflus_(void* stream) { return fflush(stream ? ours(stream) : NULL); }
int filen_(void* stream) { return fileno(ours(stream)); }
int fput_(int letter, void* stream) { return fputc(letter, ours(stream)); }
int fput0(const char* text, void* stream) { return fputs(text, ours(stream)); }
wint_t fputw_(wchar_t letter, void* stream) { return fputwc(letter, ours(stream)); }
size_t frea_(void* to, size_t size, size_t count, void* stream) { return fread(to, size, count, ours(stream)); }
size_t fwrit_(const void* from, size_t size, size_t count, void* stream) { return fwrite(from, size, count, ours(stream)); }
int get_(void* stream) { return getc(ours(stream)); }
wint_t getw_(void* stream) { return getwc(ours(stream)); }
int unget_(int letter, void* stream) { return ungetc(letter, ours(stream)); }
wint_t ungetw_(wint_t letter, void* stream) { return ungetwc(letter, ours(stream)); }
int vfprint_(void* stream, const char* format, va_list words) { return vfprintf(ours(stream), format, words); }

int fprint_(void* stream, const char* format, ...) {
    va_list words;
    va_start(words, format);
    int written = vfprintf(ours(stream), format, words);
    va_end(words);
    return written;
}

int* __errno(void) { return __errno_location(); }

int __android_log_vprint(int level, const char* tag, const char* format, va_list words) {
    (void)level;
    fprintf(stderr, "[%s] ", tag ? tag : "");
    int written = vfprintf(stderr, format, words);
    fputc('\n', stderr);
    return written;
}

int __android_log_print(int level, const char* tag, const char* format, ...) {
    va_list words;
    va_start(words, format);
    int written = __android_log_vprint(level, tag, format, words);
    va_end(words);
    return written;
}

int __android_log_write(int level, const char* tag, const char* text) {
    return __android_log_print(level, tag, "%s", text);
}

void android_set_abort_message(const char* text) { fprintf(stderr, "abort: %s\n", text); }

int __system_property_get(const char* name, char* value) {
    strcpy(value, strcmp(name, "ro.build.version.sdk") ? "" : "34");
    return (int)strlen(value);
}

size_t __strlen_chk(const char* text, size_t size) { (void)size; return strlen(text); }
char* __strchr_chk(const char* text, int letter, size_t size) { (void)size; return strchr(text, letter); }
void __FD_SET_chk(int descriptor, fd_set* set, size_t size) { (void)size; FD_SET(descriptor, set); }
int __FD_ISSET_chk(int descriptor, const fd_set* set, size_t size) { (void)size; return FD_ISSET(descriptor, set); }
char* __gnu_strerror_r(int number, char* text, size_t size) { return strerror_r(number, text, size); }

extern int __xpg_strerror_r(int, char*, size_t);
int strerror__(int number, char* text, size_t size) { return __xpg_strerror_r(number, text, size); }

long syscon_(int what) {
    switch (what) {
        case CLK_TCK: return sysconf(_SC_CLK_TCK);
        case PAGESIZE: case PAGE_SIZE: return sysconf(_SC_PAGESIZE);
        case PROCESSORS: return sysconf(_SC_NPROCESSORS_CONF);
        case ONLINE: return sysconf(_SC_NPROCESSORS_ONLN);
        case PAGES: return sysconf(_SC_PHYS_PAGES);
        case FREE_PAGES: return sysconf(_SC_AVPHYS_PAGES);
        default: errno = EINVAL; return -1;
    }
}

locale_t newlocal_(int mask, const char* name, locale_t base) { (void)mask; return newlocale(LC_ALL_MASK, name, base); }

/* Asked for without a version, glibc gives the oldest one, which does not allocate. */
char* realpat_(const char* path, char* resolved) { return realpath(path, resolved); }

/* Android's sets of signals are one word; glibc would write sixteen. */
int sigfillse_(unsigned long* set) { *set = ~0UL; return 0; }
int pthread_sigmas_(int how, const unsigned long* set, unsigned long* old) {
    return syscall(SYS_rt_sigprocmask, how, set, old, sizeof *set) ? errno : 0;
}

/* Android's mutex has 40 bytes, glibc's 48 on arm64: all but its last ones are its own. */
int pthread_mutex_ini_(void* mutex, const pthread_mutexattr_t* attributes) {
    pthread_mutex_t made;
    int result = pthread_mutex_init(&made, attributes);
    memcpy(mutex, &made, 40);
    return result;
}
