/**
 * A system call filter as bubblewrap takes it (--seccomp): classic BPF, allow by default, denying what an app has no use for and
 * kernel holes are mostly found in. The namespaces are the wall; this is the fence before it.
 */

const LD_W_ABS = 0x20;
const JMP_JEQ_K = 0x15;
const JMP_JGE_K = 0x35;
const JMP_JSET_K = 0x45;
const RET_K = 0x06;

const ALLOW = 0x7fff0000;
const KILL_PROCESS = 0x80000000;
const ERRNO = 0x00050000;
const EPERM = 1;
const ENOSYS = 38;
const EOPNOTSUPP = 95;
const EAFNOSUPPORT = 97;

const NUMBER = 0;
const ARCHITECTURE = 4;
const argument = (index: number) => 16 + 8 * index;

/** CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID, NET. */
const NAMESPACE_FLAGS = 0x7e020000;
const AF_UNIX = 1, AF_INET = 2, AF_INET6 = 10, AF_NETLINK = 16;
const TIOCSTI = 0x5412, TIOCLINUX = 0x541c;
/** By it a process hides what it writes from an executor that is no root. */
export const PR_SET_DUMPABLE = 4;
/** Later system calls are not known here: an app gets none of them. */
const NEWEST = 462; // mseal

interface Architecture {
  audit: number;
  clone: number;
  clone3: number;
  socket: number;
  ioctl: number;
  prctl: number;
  /** Takes blocks of the disk that no account shows. Without it libraries write zeros, which count. */
  fallocate: number;
  denied: number[];
  missing: number[];
}

/** The generic numbers, the same on every architecture since they were unified. */
const DENIED_NEW = [
  428, // open_tree
  429, // move_mount
  430, // fsopen
  431, // fsconfig
  432, // fsmount
  433, // fspick
  438, // pidfd_getfd
  442, // mount_setattr
  443, // quotactl_fd
];
/** Answered with ENOSYS, for which callers have a fallback. */
const MISSING_NEW = [425, 426, 427, 447]; // io_uring_setup, io_uring_enter, io_uring_register, memfd_secret

const ARCHITECTURES: Record<string, Architecture> = {
  x86_64: {
    audit: 0xc000003e,
    clone: 56,
    clone3: 435,
    socket: 41,
    ioctl: 16,
    prctl: 157,
    fallocate: 285,
    denied: [
      29,
      30,
      64,
      68, // shmget, shmat, semget, msgget
      101, // ptrace
      103, // syslog
      134,
      135, // uselib, personality
      139, // sysfs
      153,
      154,
      155, // vhangup, modify_ldt, pivot_root
      156,
      159, // _sysctl, adjtimex
      161,
      163,
      164, // chroot, acct, settimeofday
      165,
      166,
      167,
      168,
      169, // mount, umount2, swapon, swapoff, reboot
      170,
      171,
      172,
      173, // sethostname, setdomainname, iopl, ioperm
      174,
      175,
      176,
      177,
      178,
      179,
      180, // modules, quotactl, nfsservctl
      212, // lookup_dcookie
      227, // clock_settime
      237,
      238,
      239, // mbind, set_mempolicy, get_mempolicy
      246, // kexec_load
      248,
      249,
      250, // add_key, request_key, keyctl
      256, // migrate_pages
      272, // unshare
      279, // move_pages
      298, // perf_event_open
      300,
      301, // fanotify_init, fanotify_mark
      303,
      304, // name_to_handle_at, open_by_handle_at
      305, // clock_adjtime
      308, // setns
      310,
      311, // process_vm_readv, process_vm_writev
      312,
      313, // kcmp, finit_module
      320,
      321, // kexec_file_load, bpf
      323, // userfaultfd
      ...DENIED_NEW,
    ],
    missing: [319, ...MISSING_NEW], // memfd_create: memory that is no process's, where the memory of processes is watched
  },
  aarch64: {
    audit: 0xc00000b7,
    clone: 220,
    clone3: 435,
    socket: 198,
    ioctl: 29,
    prctl: 167,
    fallocate: 47,
    denied: [
      18, // lookup_dcookie
      39,
      40,
      41,
      51, // umount2, mount, pivot_root, chroot
      58,
      60, // vhangup, quotactl
      89,
      92,
      97, // acct, personality, unshare
      104,
      105,
      106, // kexec_load, init_module, delete_module
      112,
      116,
      117, // clock_settime, syslog, ptrace
      142,
      161,
      162, // reboot, sethostname, setdomainname
      170,
      171, // settimeofday, adjtimex
      186,
      190,
      194,
      196, // msgget, semget, shmget, shmat
      217,
      218,
      219, // add_key, request_key, keyctl
      224,
      225, // swapon, swapoff
      235,
      236,
      237,
      238,
      239, // mbind, mempolicy, migrate_pages, move_pages
      241, // perf_event_open
      262,
      263,
      264,
      265,
      266, // fanotify, handles, clock_adjtime
      268,
      270,
      271,
      272,
      273, // setns, process_vm_*, kcmp, finit_module
      280,
      282,
      294, // bpf, userfaultfd, kexec_file_load
      ...DENIED_NEW,
    ],
    missing: [279, ...MISSING_NEW], // memfd_create
  },
};

type Instruction = [code: number, jumpTrue: number, jumpFalse: number, value: number];

/** The filter's bytes for the architecture (as Deno.build.arch names it), or null where its numbers are not known. */
export function seccompFilter(arch: string = Deno.build.arch): Uint8Array | null {
  const target = ARCHITECTURES[arch];
  return target === undefined ? null : assemble(program(target));
}

function program(target: Architecture): Instruction[] {
  const errno = (value: number): Instruction => [RET_K, 0, 0, ERRNO | value];
  const allow: Instruction = [RET_K, 0, 0, ALLOW];
  const load = (offset: number): Instruction => [LD_W_ABS, 0, 0, offset];
  /** Runs `body`, which returns on every path, when the loaded value equals `value`. */
  const when = (value: number, body: Instruction[]): Instruction[] => [
    [JMP_JEQ_K, 0, body.length, value],
    ...body,
  ];
  return [
    load(ARCHITECTURE),
    [JMP_JEQ_K, 1, 0, target.audit],
    [RET_K, 0, 0, KILL_PROCESS],
    load(NUMBER),
    // Those of another calling convention (x32) are above, too.
    [JMP_JGE_K, 0, 1, NEWEST + 1],
    errno(ENOSYS),
    ...target.denied.flatMap((number) => when(number, [errno(EPERM)])),
    ...when(target.fallocate, [errno(EOPNOTSUPP)]),
    ...target.missing.flatMap((number) => when(number, [errno(ENOSYS)])),
    // Its flags are in memory, where a filter cannot look; libraries fall back to clone.
    ...when(target.clone3, [errno(ENOSYS)]),
    ...when(target.clone, [
      load(argument(0)),
      [JMP_JSET_K, 0, 1, NAMESPACE_FLAGS],
      errno(EPERM),
      allow,
    ]),
    ...when(target.ioctl, [
      load(argument(1)),
      [JMP_JEQ_K, 1, 0, TIOCSTI],
      [JMP_JEQ_K, 0, 1, TIOCLINUX],
      errno(EPERM),
      allow,
    ]),
    ...when(target.prctl, [
      load(argument(0)),
      [JMP_JEQ_K, 0, 1, PR_SET_DUMPABLE],
      errno(EPERM),
      allow,
    ]),
    // Others, such as vsock, are not confined by a network namespace.
    ...when(target.socket, [
      load(argument(0)),
      [JMP_JEQ_K, 4, 0, AF_UNIX],
      [JMP_JEQ_K, 3, 0, AF_INET],
      [JMP_JEQ_K, 2, 0, AF_INET6],
      [JMP_JEQ_K, 1, 0, AF_NETLINK],
      errno(EAFNOSUPPORT),
      allow,
    ]),
    allow,
  ];
}

function assemble(instructions: Instruction[]): Uint8Array {
  const bytes = new Uint8Array(8 * instructions.length);
  const view = new DataView(bytes.buffer);
  instructions.forEach(([code, jumpTrue, jumpFalse, value], i) => {
    view.setUint16(8 * i, code, true);
    view.setUint8(8 * i + 2, jumpTrue);
    view.setUint8(8 * i + 3, jumpFalse);
    view.setUint32(8 * i + 4, value >>> 0, true);
  });
  return bytes;
}
