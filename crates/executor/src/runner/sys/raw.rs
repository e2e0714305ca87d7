//! System calls without the C library: it keeps the last error in memory that a child shares with us until it executes a program.
//! It must never allocate, lock or panic.

use std::arch::asm;
use std::ffi::{c_int, c_long};

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("system calls are made as on x86_64 and aarch64");

/// Answers what the kernel does, or its error number.
///
/// # Safety
/// As for the system call.
pub unsafe fn call(number: c_long, arguments: [usize; 5]) -> Result<usize, c_int> {
    let [a, b, c, d, e] = arguments;
    let answer: isize;
    // SAFETY: the convention of Linux on this machine (syscall(2)); registers that the kernel changes are named.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => answer, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
            in("r8") e, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a as isize => answer, in("x1") b, in("x2") c, in("x3") d,
            in("x4") e, options(nostack));
    }
    if answer < 0 { Err(-answer as c_int) } else { Ok(answer as usize) }
}
