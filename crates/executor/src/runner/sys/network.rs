//! The loopback device of a network namespace.
//! It must never touch another device.

use rustix::fd::AsRawFd;
use rustix::net::{AddressFamily, SocketType};
use std::io;

/// Brings it up: a new namespace has it, but down.
///
/// # Errors
/// As netdevice(7).
pub fn bring_loopback_up() -> io::Result<()> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    // SAFETY: all zeroes is a valid request; the kernel reads its name and flags.
    let done = unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &request)
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
