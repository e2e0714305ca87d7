//! Between SQLite and the files: a VFS that tells the disk of every change, and the two calls by which anybody syncs.
//! It must never change what a call does, apart from the syncs, which cost nothing here.

use crate::disk;
use rusqlite::ffi;
use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, Once, OnceLock, PoisonError};

/// An open file of SQLite's, by its address: what it is called, and the methods behind ours.
struct Open {
    path: PathBuf,
    behind: &'static ffi::sqlite3_io_methods,
}

static OPEN: Mutex<BTreeMap<usize, Open>> = Mutex::new(BTreeMap::new());
/// Ours, by the address of those that they stand before.
static METHODS: Mutex<BTreeMap<usize, &'static ffi::sqlite3_io_methods>> = Mutex::new(BTreeMap::new());
static BEHIND: OnceLock<(OpenFile, DeleteFile)> = OnceLock::new();

type OpenFile =
    unsafe extern "C" fn(*mut ffi::sqlite3_vfs, *const c_char, *mut ffi::sqlite3_file, c_int, *mut c_int) -> c_int;
type DeleteFile = unsafe extern "C" fn(*mut ffi::sqlite3_vfs, *const c_char, c_int) -> c_int;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where files cost least: what survives is our own business.
pub fn fast_disk() -> &'static Path {
    if Path::new("/dev/shm").is_dir() { Path::new("/dev/shm") } else { Path::new("/tmp") }
}

/// Makes it the way by which all stores of this process are opened.
pub fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: SQLite's default VFS lives for ever, and so does the copy that is registered.
        unsafe {
            let behind = &*ffi::sqlite3_vfs_find(std::ptr::null());
            BEHIND.get_or_init(|| (behind.xOpen.expect("xOpen"), behind.xDelete.expect("xDelete")));
            let ours = ffi::sqlite3_vfs {
                pNext: std::ptr::null_mut(),
                zName: c"power".as_ptr(),
                xOpen: Some(open),
                xDelete: Some(delete),
                ..*behind
            };
            assert_eq!(ffi::sqlite3_vfs_register(Box::leak(Box::new(ours)), 1), ffi::SQLITE_OK);
        }
    });
}

fn path_of(name: *const c_char) -> PathBuf {
    // SAFETY: SQLite's names end with a zero.
    PathBuf::from(OsStr::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes()))
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    let (open_file, _) = BEHIND.get().expect("installed");
    let path = if name.is_null() { PathBuf::new() } else { path_of(name) };
    let was_there = path.exists();
    // SAFETY: the arguments are SQLite's own; our VFS is a copy of theirs.
    let code = unsafe { open_file(vfs, name, file, flags, out) };
    // SAFETY: after an open the file's methods are set, or null.
    let methods = unsafe { (*file).pMethods };
    if code == ffi::SQLITE_OK && !methods.is_null() {
        if !was_there {
            disk::change(&path, |files, name| files.made(name));
        }
        // SAFETY: methods of a VFS are constants.
        let theirs: &'static ffi::sqlite3_io_methods = unsafe { &*methods };
        lock(&OPEN).insert(file as usize, Open { path, behind: theirs });
        let ours = *lock(&METHODS).entry(methods as usize).or_insert_with(|| {
            let ours = ffi::sqlite3_io_methods {
                xClose: Some(close),
                xWrite: Some(write),
                xTruncate: Some(truncate),
                ..*theirs
            };
            Box::leak(Box::new(ours))
        });
        // SAFETY: as above; it is nobody else's yet.
        unsafe { (*file).pMethods = ours };
    }
    code
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    let (_, delete_file) = BEHIND.get().expect("installed");
    disk::change(&path_of(name), |files, name| files.removed(name));
    // SAFETY: the arguments are SQLite's own.
    unsafe { delete_file(vfs, name, sync) }
}

fn behind(file: *mut ffi::sqlite3_file) -> (PathBuf, &'static ffi::sqlite3_io_methods) {
    let open = lock(&OPEN);
    let open = open.get(&(file as usize)).expect("an open file");
    (open.path.clone(), open.behind)
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    let (_, behind) = behind(file);
    lock(&OPEN).remove(&(file as usize));
    // SAFETY: the argument is SQLite's own.
    unsafe { behind.xClose.expect("xClose")(file) }
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, bytes: *const c_void, count: c_int, offset: i64) -> c_int {
    let (path, behind) = behind(file);
    // SAFETY: SQLite gives that many bytes.
    let written = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), count as usize) };
    disk::change(&path, |files, name| files.wrote(name, offset as usize, written));
    // SAFETY: the arguments are SQLite's own.
    unsafe { behind.xWrite.expect("xWrite")(file, bytes, count, offset) }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, length: i64) -> c_int {
    let (path, behind) = behind(file);
    disk::change(&path, |files, name| files.cut_to(name, length as usize));
    // SAFETY: the arguments are SQLite's own.
    unsafe { behind.xTruncate.expect("xTruncate")(file, length) }
}

fn synced(descriptor: c_int) -> c_int {
    if let Ok(path) = std::fs::read_link(format!("/proc/self/fd/{descriptor}")) {
        disk::sync(&path);
    }
    0
}

/// In place of the C library's, for SQLite and for the store's own syncs.
#[unsafe(no_mangle)]
extern "C" fn fsync(descriptor: c_int) -> c_int {
    synced(descriptor)
}

#[unsafe(no_mangle)]
extern "C" fn fdatasync(descriptor: c_int) -> c_int {
    synced(descriptor)
}
