//! What tasks in sandboxes may not ask of the kernel: seccomp programs (DESIGN §5).
//! It must never refuse what a container would allow, apart from what profile `strict` is asked for.

use libc::sock_filter;

/// The programs of this machine, made once.
pub struct Filters {
    standard: Vec<sock_filter>,
    strict: Vec<sock_filter>,
}

impl Filters {
    /// Empty programs where the kernel has no seccomp.
    pub fn new() -> Self {
        if !is_there() {
            return Self { standard: Vec::new(), strict: Vec::new() };
        }
        Self { standard: program(STANDARD, Others::Known(STANDARD_32)), strict: program(STRICT, Others::Nothing) }
    }

    pub fn standard(&self) -> &[sock_filter] {
        &self.standard
    }

    pub fn strict(&self) -> &[sock_filter] {
        &self.strict
    }
}

/// Whether this kernel has seccomp.
pub(crate) fn is_there() -> bool {
    std::path::Path::new("/proc/sys/kernel/seccomp/actions_avail").exists()
}

/// What becomes of a system call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    /// This error.
    Refuse(i32),
    /// EPERM if its first argument has a bit of these.
    RefuseFlags(u32),
    /// EAFNOSUPPORT unless its first argument is one of these.
    RefuseOthers(&'static [u32]),
}

/// What programs for the machine's other instruction set (32 bits) may do.
enum Others {
    /// ENOSYS, all.
    Nothing,
    Known(&'static [(u32, Rule)]),
}

const USER_NAMESPACE: Rule = Rule::RefuseFlags(libc::CLONE_NEWUSER as u32);
const PERMISSION: Rule = Rule::Refuse(libc::EPERM);
/// The C library then uses `clone`, whose flags can be seen.
const UNKNOWN: Rule = Rule::Refuse(libc::ENOSYS);

/// As in a container: a user namespace gives its maker powers (over mounts, control groups of root) that we took away, and keys
/// outlive the attempt that makes them.
const STANDARD: &[(u32, Rule)] = &[
    (libc::SYS_clone as u32, USER_NAMESPACE),
    (libc::SYS_unshare as u32, USER_NAMESPACE),
    (libc::SYS_clone3 as u32, UNKNOWN),
    (libc::SYS_add_key as u32, PERMISSION),
    (libc::SYS_request_key as u32, PERMISSION),
    (libc::SYS_keyctl as u32, PERMISSION),
];

/// The same in the numbers of i386.
#[cfg(target_arch = "x86_64")]
const STANDARD_32: &[(u32, Rule)] = &[
    (120, USER_NAMESPACE),
    (310, USER_NAMESPACE),
    (435, UNKNOWN),
    (286, PERMISSION),
    (287, PERMISSION),
    (288, PERMISSION),
];
/// The same in the numbers of 32-bit ARM.
#[cfg(not(target_arch = "x86_64"))]
const STANDARD_32: &[(u32, Rule)] = &[
    (120, USER_NAMESPACE),
    (337, USER_NAMESPACE),
    (435, UNKNOWN),
    (309, PERMISSION),
    (310, PERMISSION),
    (311, PERMISSION),
];

/// Besides what capabilities refuse anyway: what is new or rarely used in the kernel and has had most of its holes, and sockets
/// that are no internet's, of which some know no namespaces (vsock).
const STRICT: &[(u32, Rule)] = &[
    (libc::SYS_socket as u32, Rule::RefuseOthers(&FAMILIES)),
    (libc::SYS_clone as u32, Rule::RefuseFlags(NAMESPACES)),
    (libc::SYS_clone3 as u32, UNKNOWN),
    (libc::SYS_unshare as u32, PERMISSION),
    (libc::SYS_setns as u32, PERMISSION),
    (libc::SYS_add_key as u32, PERMISSION),
    (libc::SYS_request_key as u32, PERMISSION),
    (libc::SYS_keyctl as u32, PERMISSION),
    (libc::SYS_ptrace as u32, PERMISSION),
    (libc::SYS_process_vm_readv as u32, PERMISSION),
    (libc::SYS_process_vm_writev as u32, PERMISSION),
    (libc::SYS_pidfd_getfd as u32, PERMISSION),
    (libc::SYS_kcmp as u32, PERMISSION),
    (libc::SYS_bpf as u32, PERMISSION),
    (libc::SYS_perf_event_open as u32, PERMISSION),
    (libc::SYS_userfaultfd as u32, PERMISSION),
    (libc::SYS_io_uring_setup as u32, UNKNOWN),
    (libc::SYS_io_uring_enter as u32, UNKNOWN),
    (libc::SYS_io_uring_register as u32, UNKNOWN),
    (libc::SYS_name_to_handle_at as u32, PERMISSION),
    (libc::SYS_open_by_handle_at as u32, PERMISSION),
    (libc::SYS_fanotify_init as u32, PERMISSION),
    (libc::SYS_mount as u32, PERMISSION),
    (libc::SYS_umount2 as u32, PERMISSION),
    (libc::SYS_open_tree as u32, PERMISSION),
    (libc::SYS_move_mount as u32, PERMISSION),
    (libc::SYS_mount_setattr as u32, PERMISSION),
    (libc::SYS_fsopen as u32, PERMISSION),
    (libc::SYS_fspick as u32, PERMISSION),
    (libc::SYS_fsconfig as u32, PERMISSION),
    (libc::SYS_fsmount as u32, PERMISSION),
    (libc::SYS_pivot_root as u32, PERMISSION),
    (libc::SYS_chroot as u32, PERMISSION),
    (libc::SYS_swapon as u32, PERMISSION),
    (libc::SYS_swapoff as u32, PERMISSION),
    (libc::SYS_acct as u32, PERMISSION),
    (libc::SYS_quotactl as u32, PERMISSION),
    (libc::SYS_syslog as u32, PERMISSION),
    (libc::SYS_reboot as u32, PERMISSION),
    (libc::SYS_kexec_load as u32, PERMISSION),
    (libc::SYS_init_module as u32, PERMISSION),
    (libc::SYS_finit_module as u32, PERMISSION),
    (libc::SYS_delete_module as u32, PERMISSION),
    (libc::SYS_sethostname as u32, PERMISSION),
    (libc::SYS_setdomainname as u32, PERMISSION),
    (libc::SYS_settimeofday as u32, PERMISSION),
    (libc::SYS_clock_settime as u32, PERMISSION),
    (libc::SYS_vhangup as u32, PERMISSION),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_iopl as u32, PERMISSION),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_ioperm as u32, PERMISSION),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_modify_ldt as u32, PERMISSION),
];

/// Of sockets: unix, both internets, and netlink, which tells of devices.
const FAMILIES: [u32; 4] = [libc::AF_UNIX as u32, libc::AF_INET as u32, libc::AF_INET6 as u32, libc::AF_NETLINK as u32];

const NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32;

/// `AUDIT_ARCH_*` of linux/audit.h: the machine's own and its other one.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURES: (u32, u32) = (0xc000_003e, 0x4000_0003);
#[cfg(not(target_arch = "x86_64"))]
const ARCHITECTURES: (u32, u32) = (0xc000_00b7, 0x4000_0028);

/// Bit of x32's system calls, whose numbers are others than those in our tables.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

/// Where `seccomp_data` has what is looked at.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const FIRST_ARGUMENT: u32 = 16;

fn program(own: &[(u32, Rule)], others: Others) -> Vec<sock_filter> {
    let mut native = vec![load(NUMBER)];
    #[cfg(target_arch = "x86_64")]
    native.extend([jump(libc::BPF_JGE, X32, 0, 1), refuse(libc::ENOSYS)]);
    native.extend(tree(&sorted(own)));
    let mut program = vec![
        load(ARCHITECTURE),
        jump(libc::BPF_JEQ, ARCHITECTURES.0, 0, 1),
        // Over the two that follow.
        statement(libc::BPF_JMP | libc::BPF_JA, 2),
        jump(libc::BPF_JEQ, ARCHITECTURES.1, 1, 0),
        refuse(libc::ENOSYS),
    ];
    match others {
        Others::Nothing => {
            program[2].k += 1;
            program.push(refuse(libc::ENOSYS));
        }
        Others::Known(rules) => {
            let mut other = vec![load(NUMBER)];
            other.extend(tree(&sorted(rules)));
            // The other set's program stands first; the way into our own leads over it.
            program[2].k += other.len() as u32;
            program.extend(other);
        }
    }
    program.extend(native);
    program
}

fn sorted(rules: &[(u32, Rule)]) -> Vec<(u32, Rule)> {
    let mut rules = rules.to_vec();
    rules.sort_by_key(|(number, _)| *number);
    rules
}

/// A search tree over numbers: the kernel runs the program for each of its system calls when it is given it.
fn tree(rules: &[(u32, Rule)]) -> Vec<sock_filter> {
    if rules.len() > 3 {
        let (low, high) = rules.split_at(rules.len() / 2);
        let (left, right) = (tree(low), tree(high));
        let over = u8::try_from(left.len()).unwrap_or(u8::MAX);
        assert_eq!(usize::from(over), left.len(), "a table that is too long for one jump");
        let first = jump(libc::BPF_JGE, high[0].0, over, 0);
        return [first].into_iter().chain(left).chain(right).collect();
    }
    let mut out = Vec::new();
    for (number, rule) in rules {
        let action = match rule {
            Rule::Refuse(error) => vec![refuse(*error)],
            Rule::RefuseFlags(flags) => {
                vec![load(FIRST_ARGUMENT), jump(libc::BPF_JSET, *flags, 0, 1), refuse(libc::EPERM), ALLOW]
            }
            Rule::RefuseOthers(known) => {
                let mut steps = vec![load(FIRST_ARGUMENT)];
                let left = |at: usize| (known.len() - at) as u8;
                steps.extend(known.iter().enumerate().map(|(at, value)| jump(libc::BPF_JEQ, *value, left(at), 0)));
                steps.extend([refuse(libc::EAFNOSUPPORT), ALLOW]);
                steps
            }
        };
        out.push(jump(libc::BPF_JEQ, *number, 0, action.len() as u8));
        out.extend(action);
    }
    out.push(ALLOW);
    out
}

const ALLOW: sock_filter = statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW);

const fn refuse(error: i32) -> sock_filter {
    statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | error as u32)
}

/// Loads a word. On the machines we run on the low half of an argument comes first.
const fn load(offset: u32) -> sock_filter {
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset)
}

const fn statement(code: u32, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

const fn jump(test: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: (libc::BPF_JMP | test | libc::BPF_K) as u16, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would answer.
    fn answer(program: &[sock_filter], architecture: u32, number: u32, argument: u32) -> u32 {
        let (mut at, mut word) = (0_usize, 0_u32);
        loop {
            let step = program[at];
            let code = u32::from(step.code);
            at += 1;
            let holds = match code & 0xf0 {
                libc::BPF_JEQ => word == step.k,
                libc::BPF_JGE => word >= step.k,
                libc::BPF_JSET => word & step.k != 0,
                _ => false,
            };
            match code & 0x07 {
                libc::BPF_LD => {
                    word = match step.k {
                        NUMBER => number,
                        ARCHITECTURE => architecture,
                        _ => argument,
                    }
                }
                libc::BPF_RET => return step.k,
                _ if code & 0xf0 == libc::BPF_JA => at += step.k as usize,
                _ => at += usize::from(if holds { step.jt } else { step.jf }),
            }
        }
    }

    fn wanted(rules: &[(u32, Rule)], number: u32, argument: u32) -> u32 {
        match rules.iter().find(|(listed, _)| *listed == number) {
            Some((_, Rule::Refuse(error))) => libc::SECCOMP_RET_ERRNO | *error as u32,
            Some((_, Rule::RefuseFlags(flags))) if argument & flags != 0 => {
                libc::SECCOMP_RET_ERRNO | libc::EPERM as u32
            }
            Some((_, Rule::RefuseOthers(known))) if !known.contains(&argument) => {
                libc::SECCOMP_RET_ERRNO | libc::EAFNOSUPPORT as u32
            }
            _ => libc::SECCOMP_RET_ALLOW,
        }
    }

    #[test]
    fn what_is_listed_is_refused_and_nothing_else() {
        let program = program(STANDARD, Others::Known(STANDARD_32));
        for number in 0..600 {
            for argument in [0, 0x1000_0000, 0x1000_0011, 0x0fff_ffff] {
                let own = answer(&program, ARCHITECTURES.0, number, argument);
                assert_eq!(own, wanted(STANDARD, number, argument), "{number} {argument:x}");
                let other = answer(&program, ARCHITECTURES.1, number, argument);
                assert_eq!(other, wanted(STANDARD_32, number, argument), "32 bits: {number} {argument:x}");
            }
        }
        let strict = super::program(STRICT, Others::Nothing);
        let unknown = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
        for number in 0..600 {
            for argument in [0, 1, 2, 10, 16, 17, 40, 0x1000_0000, 0x0002_0000] {
                let own = answer(&strict, ARCHITECTURES.0, number, argument);
                assert_eq!(own, wanted(STRICT, number, argument), "strict: {number} {argument:x}");
            }
            assert_eq!(answer(&strict, ARCHITECTURES.1, number, 0), unknown, "strict, 32 bits: {number}");
        }
        assert_eq!(answer(&program, 0x1234, 1, 0), unknown, "an instruction set that we do not know");
        #[cfg(target_arch = "x86_64")]
        assert_eq!(answer(&program, ARCHITECTURES.0, X32 | 1, 0), unknown);
    }
}
