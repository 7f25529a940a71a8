// Foreign code keeps what it was given and gets nothing more: no network, no new programs or processes, no new files to write outside
// its folder. Seccomp on Linux; the driver adds limits of time, memory, processes and file size. The answer names what holds.
#pragma once
#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static uint32_t xp_pass;  // what our own forks carry in an argument that the kernel does not look at

static pid_t xp_fork() { return pid_t(syscall(SYS_clone, long(SIGCHLD), 0L, 0L, long(xp_pass), 0L)); }

static const char* xp_sandbox() {
  if (syscall(SYS_getrandom, &xp_pass, sizeof xp_pass, 0) != long(sizeof xp_pass)) xp_pass = uint32_t(getpid()) * 2654435761u;
  // Refused with EPERM: everything that reaches out of the process. What a kernel needs (memory, clocks, writes to the files
  // that the driver named) passes.
  static const int refused[] = {
      SYS_socket, SYS_connect, SYS_bind, SYS_listen, SYS_sendto, SYS_execve, SYS_execveat, SYS_ptrace, SYS_unlinkat, SYS_renameat2,
      SYS_mkdirat, SYS_linkat, SYS_symlinkat, SYS_fchmodat, SYS_fchownat, SYS_mount, SYS_setns, SYS_unshare, SYS_bpf, SYS_keyctl,
      SYS_truncate, SYS_kill, SYS_tkill, SYS_setsid, SYS_setpgid, SYS_clone3,
#ifdef SYS_unlink
      SYS_unlink, SYS_rename, SYS_mkdir, SYS_rmdir, SYS_link, SYS_symlink, SYS_chmod, SYS_chown, SYS_creat, SYS_open, SYS_fork, SYS_vfork,
#endif
  };
  const int n = int(sizeof refused / sizeof *refused);
  static sock_filter program[2 * sizeof refused / sizeof *refused + 12];
  int at = 0;
  program[at++] = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr));
  for (int i = 0; i < n; ++i) {
    program[at++] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, unsigned(refused[i]), 0, 1);
    program[at++] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1);
  }
  program[at++] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4);  // new processes for our own workers alone
  program[at++] = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[3]));
  program[at++] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, xp_pass, 0, 1);
  program[at++] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  program[at++] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1);
  // Opening is allowed for reading alone: the outputs are open already.
  program[at++] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3);
  program[at++] = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[2]));
  program[at++] = BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 3 | 0100, 0, 1);
  program[at++] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1);
  program[at++] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  sock_fprog filter = {(unsigned short)at, program};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return "none";
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter)) return "none";
  return "seccomp";
}
#else
#include <unistd.h>
static pid_t xp_fork() { return fork(); }
static const char* xp_sandbox() { return "none"; }
#endif
