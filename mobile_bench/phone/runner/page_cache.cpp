// `posix_fadvise(DONTNEED)` needs no root, but it is advice: pages that another process maps stay. Whether it worked is
// asked page by page with `preadv2(RWF_NOWAIT)`, which reads only what is in memory already.
#include "page_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <optional>

namespace odllm {
namespace {

constexpr std::int64_t kProbes = 64;
constexpr double kKeptShare = 0.9, kDroppedShare = 0.1;
constexpr int kNoWait = 0x8;  // RWF_NOWAIT, which older headers lack

class File {
  public:
    explicit File(const std::string& path) : descriptor_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
    ~File() {
        if (descriptor_ >= 0) close(descriptor_);
    }
    File(const File&) = delete;
    File& operator=(const File&) = delete;

    int descriptor() const { return descriptor_; }

  private:
    int descriptor_;
};

// Whether the byte at an offset is in memory; nothing where the system or its file system does not tell.
std::optional<bool> is_resident(int descriptor, std::int64_t offset) {
#ifdef SYS_preadv2
    char byte = 0;
    iovec into{&byte, 1};
    // By number: Android's libc has a function for it from SDK 33 only. The offset goes in two halves.
    const auto low = static_cast<unsigned long>(offset);
    const auto high = sizeof(long) == 8 ? 0UL : static_cast<unsigned long>(offset >> 32);
    if (syscall(SYS_preadv2, descriptor, &into, 1UL, low, high, kNoWait) >= 0) return true;
    if (errno == EAGAIN) return false;
#else
    (void)descriptor, (void)offset, (void)kNoWait;
#endif
    return std::nullopt;
}

// Looks at evenly spread bytes of a file and counts; false where that is not told.
bool probe(int descriptor, std::int64_t& seen, std::int64_t& resident) {
    struct stat facts;
    if (fstat(descriptor, &facts) != 0) return false;
    // A probe that finds nothing makes the kernel read that page; without this advice its neighbours as well.
    posix_fadvise(descriptor, 0, 0, POSIX_FADV_RANDOM);
    const std::int64_t page = sysconf(_SC_PAGESIZE), pages = (facts.st_size + page - 1) / page;
    std::int64_t last = -1;
    for (std::int64_t number = 0; number < kProbes && pages > 0; ++number) {
        const std::int64_t offset = pages * number / kProbes * page;
        if (offset == last) continue;
        last = offset;
        const auto found = is_resident(descriptor, offset);
        if (!found) return false;
        ++seen;
        resident += *found ? 1 : 0;
    }
    return true;
}

}  // namespace

std::string drop_page_cache(const std::vector<std::string>& paths) {
    std::int64_t seen = 0, resident = 0;
    for (const std::string& path : paths) {
        const File file(path);
        if (file.descriptor() < 0) return "unknown";
        fsync(file.descriptor());  // dirty pages, of a bundle installed a moment ago, could not be dropped
        if (posix_fadvise(file.descriptor(), 0, 0, POSIX_FADV_DONTNEED) != 0) return "unknown";
        const bool told = probe(file.descriptor(), seen, resident);
        posix_fadvise(file.descriptor(), 0, 0, POSIX_FADV_DONTNEED);  // what the probes read
        if (!told) return "unknown";
    }
    const double share = seen == 0 ? 0.0 : static_cast<double>(resident) / static_cast<double>(seen);
    if (share <= kDroppedShare) return "dropped";
    return share >= kKeptShare ? "kept" : "partly dropped";
}

}  // namespace odllm
