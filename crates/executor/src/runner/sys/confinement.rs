//! What a thread or a child may no longer do: a seccomp program and dropped capabilities.
//! It must only make raw system calls: children run it in our memory.

use super::raw;
use std::ffi::c_int;
use std::io;
use std::ptr;

/// Docker's default capabilities less MKNOD: CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP,
/// NET_BIND_SERVICE, NET_RAW, SYS_CHROOT, AUDIT_WRITE, SETFCAP.
pub const TASK_CAPABILITIES: u64 = {
    let kept = [0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 29, 31];
    let (mut mask, mut i) = (0, 0);
    while i < kept.len() {
        mask |= 1 << kept[i];
        i += 1;
    }
    mask
};

const CAPABILITIES_MAX: usize = 63;

/// Lays on this thread, and so on all that it starts from here on, what `confine` lays on one program: programs have these
/// capabilities at most once they are executed. The thread keeps its own.
///
/// # Errors
/// As seccomp(2), prctl(2) and capset(2).
pub fn confine_thread(filter: &[libc::sock_filter], capabilities: u64) -> io::Result<()> {
    // SAFETY: changes this thread's credentials and no memory.
    let confined = unsafe { lay(filter, capabilities, u64::MAX) };
    confined.map_err(io::Error::from_raw_os_error)
}

/// Leaves a child these capabilities, and what the seccomp program (empty for none) allows.
pub(super) unsafe fn confine(filter: &[libc::sock_filter], capabilities: u64) -> Result<(), c_int> {
    // SAFETY: as above.
    unsafe { lay(filter, capabilities, capabilities) }
}

/// `keep`: for what is executed from here on. `own`: until then.
unsafe fn lay(filter: &[libc::sock_filter], keep: u64, own: u64) -> Result<(), c_int> {
    // SAFETY: plain system calls; the kernel reads what outlives them.
    unsafe {
        // A session keyring of its own: keys outlive the processes that made them. (Refused where the program is laid already.)
        let _ = raw::call(libc::SYS_keyctl, [libc::KEYCTL_JOIN_SESSION_KEYRING as usize, 0, 0, 0, 0]);
        // While we have the power to do so for programs that may gain privileges, as setuid ones.
        if !filter.is_empty() {
            let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
            let mode = libc::SECCOMP_SET_MODE_FILTER as usize;
            raw::call(libc::SYS_seccomp, [mode, 0, ptr::from_ref(&program).addr(), 0, 0])?;
        }
        for capability in (0..=CAPABILITIES_MAX).filter(|c| keep >> c & 1 == 0) {
            // Fails past the last capability that the kernel knows.
            if raw::call(libc::SYS_prctl, [libc::PR_CAPBSET_DROP as usize, capability, 0, 0, 0]).is_err() {
                break;
            }
        }
        let _ = raw::call(
            libc::SYS_prctl,
            [libc::PR_CAP_AMBIENT as usize, libc::PR_CAP_AMBIENT_CLEAR_ALL as usize, 0, 0, 0],
        );
        limit_sets(own)
    }
}

/// Of a thread's own sets of capabilities keeps these, and gives none on.
unsafe fn limit_sets(own: u64) -> Result<(), c_int> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: c_int,
    }
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Sets {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    const VERSION_3: u32 = 0x2008_0522;
    let mut header = Header { version: VERSION_3, pid: 0 };
    let mut sets = [Sets { effective: 0, permitted: 0, inheritable: 0 }; 2];
    let (at_header, at_sets) = (ptr::from_mut(&mut header).expose_provenance(), sets.as_mut_ptr().expose_provenance());
    // SAFETY: the structures are those of capget(2), version 3.
    unsafe {
        raw::call(libc::SYS_capget, [at_header, at_sets, 0, 0, 0])?;
        let masks = [own as u32, (own >> 32) as u32];
        for (set, mask) in sets.iter_mut().zip(masks) {
            (set.effective, set.permitted, set.inheritable) = (set.effective & mask, set.permitted & mask, 0);
        }
        raw::call(libc::SYS_capset, [at_header, at_sets, 0, 0, 0]).map(drop)
    }
}
