/**
 * The system calls that an app in a container may make. Stricter than the engine's own profile, which it is derived from: no tracing of
 * other processes, no handles of files, one architecture, and only socket families that a network namespace confines.
 */

import { PR_SET_DUMPABLE } from "./seccomp.ts";

const EPERM = 1;
const ENOSYS = 38;
const EOPNOTSUPP = 95;
const EAFNOSUPPORT = 97;

/** CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID, NET. */
const NAMESPACE_FLAGS = 0x7e020000;
/** AF_UNIX, AF_INET, AF_INET6, AF_NETLINK (by which interfaces are listed), in ascending order. */
const SOCKET_FAMILIES = [1, 2, 10, 16];

/** By subject. Names that an architecture or an engine does not know are passed over by it. */
const ALLOWED = [
  // Files and folders.
  `access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64 fchdir
   fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstatfs fsync
   ftruncate futimesat getcwd getdents getdents64 getxattr inotify_add_watch inotify_init inotify_init1 inotify_rm_watch lchown
   lgetxattr link linkat listxattr llistxattr lremovexattr lseek lsetxattr lstat mkdir mkdirat mknod mknodat newfstatat open openat
   openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv removexattr rename renameat
   renameat2 rmdir sendfile setxattr splice stat statfs statx symlink symlinkat sync sync_file_range syncfs tee truncate umask unlink
   unlinkat utime utimensat utimes vmsplice write writev`,
  // Memory.
  `brk madvise membarrier memfd_create mincore mlock mlock2 mlockall mmap mprotect mremap mseal msync munlock munlockall munmap
   pkey_alloc pkey_free pkey_mprotect remap_file_pages`,
  // Processes, threads and their signals.
  `alarm arch_prctl capget capset execve execveat exit exit_group fork futex futex_requeue futex_wait futex_waitv futex_wake
   get_robust_list getcpu getegid geteuid getgid getgroups getitimer getpgid getpgrp getpid getppid getpriority getresgid getresuid
   getrlimit getrusage getsid gettid getuid kill landlock_add_rule landlock_create_ruleset landlock_restrict_self pause pidfd_open
   pidfd_send_signal prlimit64 restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
   rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr
   sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam sched_setscheduler
   sched_yield seccomp set_robust_list set_tid_address setfsgid setfsuid setgid setgroups setitimer setpgid setpriority setregid
   setresgid setresuid setreuid setrlimit setsid setuid sigaltstack signalfd signalfd4 tgkill tkill vfork wait4 waitid`,
  // Events, pipes and time.
  `clock_getres clock_gettime clock_nanosleep epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd
   eventfd2 getrandom gettimeofday ioctl nanosleep pipe pipe2 poll ppoll pselect6 riscv_flush_icache riscv_hwprobe select sysinfo time
   timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime times uname`,
  // Sockets of the families below.
  `accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg sendmsg sendto setsockopt
   shutdown socketpair`,
].join(" ").split(/\s+/);

const ARCHITECTURES: Record<string, string> = {
  x86_64: "SCMP_ARCH_X86_64",
  aarch64: "SCMP_ARCH_AARCH64",
};

type Comparison = { index: number; op: string; value: number; valueTwo?: number };

/** The profile as the engine takes it (`seccomp=<this>`), or null where the architecture is not known: the engine's own then holds. */
export function seccompProfile(arch: string = Deno.build.arch): string | null {
  const architecture = ARCHITECTURES[arch];
  if (architecture === undefined) return null;
  const allow = (names: string[], args: Comparison[] = []) => ({
    names,
    action: "SCMP_ACT_ALLOW",
    args,
  });
  const refuse = (names: string[], errnoRet: number, args: Comparison[] = []) => ({
    names,
    action: "SCMP_ACT_ERRNO",
    errnoRet,
    args,
  });
  const first = SOCKET_FAMILIES[0];
  const last = SOCKET_FAMILIES.at(-1)!;
  const between = Array.from({ length: last - first }, (_, i) => first + i)
    .filter((family) => !SOCKET_FAMILIES.includes(family));
  const firstArgument = (op: string, value: number) => [{ index: 0, op: `SCMP_CMP_${op}`, value }];
  return JSON.stringify({
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: EPERM,
    architectures: [architecture],
    syscalls: [
      allow(ALLOWED),
      allow(["clone"], [
        { index: 0, op: "SCMP_CMP_MASKED_EQ", value: NAMESPACE_FLAGS, valueTwo: 0 },
      ]),
      // Its flags are in memory, where a filter cannot look; libraries fall back to clone. So they do without io_uring.
      refuse(["clone3", "io_uring_setup", "io_uring_enter", "io_uring_register"], ENOSYS),
      // Takes blocks of the disk that no account shows. Without it libraries write zeros, which count.
      refuse(["fallocate"], EOPNOTSUPP),
      allow(["personality"], firstArgument("EQ", 0)),
      allow(["prctl"], firstArgument("LT", PR_SET_DUMPABLE)),
      allow(["prctl"], firstArgument("GT", PR_SET_DUMPABLE)),
      ...SOCKET_FAMILIES.map((value) => allow(["socket"], firstArgument("EQ", value))),
      refuse(["socket"], EAFNOSUPPORT, firstArgument("LT", first)),
      ...between.map((value) => refuse(["socket"], EAFNOSUPPORT, firstArgument("EQ", value))),
      refuse(["socket"], EAFNOSUPPORT, firstArgument("GT", last)),
    ],
  });
}
