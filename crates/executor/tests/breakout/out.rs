//! Attempts to get at the machine. A script says `through` where it got through; what it aims at is looked at as well.
//!
//! Each is made in a sandbox of its own and in one that is used again. Where that does no harm it is made without a sandbox first:
//! a script that does not get through there shows nothing.

use crate::harness::{Case, Test, World, settle};
use crate::scene::Script::{Python, Sh};
use crate::scene::{Scene, Script};
use model::Exit;
use model::attempt::Profile::{Standard, Trusted};
use std::process::ExitCode;

/// Who gets through without a sandbox.
#[derive(Clone, Copy, PartialEq)]
enum Without {
    Everybody,
    /// For others the machine itself is closed, or sometimes.
    Root,
    /// It is not tried.
    Untried,
}
use Without::{Everybody, Root, Untried};

pub const TESTS: &[Test] = &[
    ("its_program_is_not_overwritten_by_way_of_proc", its_program_is_not_overwritten_by_way_of_proc),
    ("a_memory_limit_is_not_raised", a_memory_limit_is_not_raised),
    ("a_daemon_does_not_outlive_its_attempt", a_daemon_does_not_outlive_its_attempt),
];

pub fn cases() -> Vec<Case> {
    let case = |(name, without, script): &(&'static str, Without, Script)| {
        let (without, script) = (*without, *script);
        Case { name, test: Box::new(move || try_to_get_out(without, script)) }
    };
    ATTEMPTS.iter().map(case).collect()
}

fn try_to_get_out(without: Without, script: Script) {
    let is_root = rustix::process::geteuid().is_root();
    if without == Everybody || without == Root && is_root {
        let mut scene = Scene::new();
        let launch = scene.launch(Trusted, script);
        assert!(scene.attempt(&launch).is_some(), "it does not get through without a sandbox either");
    }
    let mut scene = Scene::new();
    for is_used_again in [false, true] {
        if is_used_again {
            settle(&mut scene.world);
        }
        let launch = scene.launch(Standard, script);
        let got = scene.attempt(&launch);
        assert_eq!(got, None, "used again: {is_used_again}");
    }
}

const ATTEMPTS: &[(&str, Without, Script)] = &[
    // Files of the machine.
    ("a_file_is_written", Everybody, Sh("echo x > $VICTIM")),
    ("a_file_is_removed", Everybody, Sh("rm -f $VICTIM")),
    ("a_file_is_renamed", Everybody, Sh("mv $VICTIM $VICTIM.away")),
    ("a_file_is_made", Everybody, Sh(": > $HOST_DIR/new; mkdir $HOST_DIR/newer; mkfifo $HOST_DIR/newest")),
    ("a_files_mode_is_changed", Everybody, Sh("chmod 777 $VICTIM")),
    ("a_files_owner_is_changed", Root, Sh("chown 12345:12345 $VICTIM")),
    (
        "a_files_attributes_are_changed",
        Everybody,
        Python("try: os.setxattr(E['VICTIM'], 'user.x', b'x')\nexcept OSError: pass"),
    ),
    ("a_files_times_are_changed", Everybody, Sh("touch -d 2001-01-01 $VICTIM")),
    (
        "a_file_is_written_by_a_hard_link",
        Everybody,
        Sh("for at in $HOST_DIR /tmp /var/tmp /towpath/cache; do ln $VICTIM $at/link && echo x > $at/link; done"),
    ),
    ("a_file_is_written_by_a_symbolic_link", Everybody, Sh("ln -s $VICTIM /tmp/l$$; echo x > /tmp/l$$; rm /tmp/l$$")),
    ("a_file_is_written_by_its_descriptor", Everybody, Sh("exec 3< $VICTIM; echo x > /proc/self/fd/3")),
    (
        "a_file_is_written_by_mapping_it",
        Everybody,
        Python("import mmap\nf = open(E['VICTIM'], 'r+b')\nm = mmap.mmap(f.fileno(), 0)\nm[0:1] = b'X'\nm.flush()"),
    ),
    // Mounts and roots.
    (
        "something_is_mounted",
        Root,
        Sh("mount -t tmpfs none $HOST_DIR/mnt && echo through; umount $HOST_DIR/mnt\n\
            mount --bind / $HOST_DIR/mnt && echo through; umount $HOST_DIR/mnt"),
    ),
    ("a_read_only_mount_is_made_writable", Untried, Python(REMOUNT)),
    (
        "the_home_is_uncovered",
        Everybody,
        Sh("umount -l $HOME_DIR; umount $HOME_DIR; ls $HOME_DIR | grep -q . && echo through"),
    ),
    (
        "the_home_is_uncovered_from_a_user_namespace",
        Everybody,
        Sh(
            "unshare -Urm sh -c 'umount -l $HOME_DIR; mount --rbind / /mnt; umount -l /mnt$HOME_DIR; ls /mnt$HOME_DIR $HOME_DIR'\
            | grep -q runner && echo through\n\
            ls $HOME_DIR | grep -q . && echo through",
        ),
    ),
    (
        "the_root_is_left_by_chroot",
        Everybody,
        Python(
            "fd = os.open('/', os.O_RDONLY)\n\
             try:\n    os.chroot(E['HOST_DIR'] + '/mnt')\n    os.fchdir(fd)\n    [os.chdir('..') for _ in range(64)]\n    os.chroot('.')\n\
             except OSError: pass\n\
             if os.path.exists(E['HOME_DIR'] + '/runner.lock'): through()",
        ),
    ),
    ("the_root_is_pivoted", Root, Python("refused('pivot_root', system(155, 41, b'/tmp', b'/tmp'))")),
    (
        "mounts_are_opened_and_cloned",
        Root,
        Python(
            "refused('open_tree', system(428, 428, -100, b'/', 1))\nrefused('fsopen', system(430, 430, b'tmpfs', 0))",
        ),
    ),
    (
        "a_file_is_opened_by_its_handle",
        Root,
        Python(
            "handle = ctypes.create_string_buffer(struct.pack('Ii', 128, 0) + bytes(128))\nmount = ctypes.c_int()\n\
             system(303, 264, -100, E['VICTIM'].encode(), handle, ctypes.byref(mount), 0)\n\
             fd = os.open('/', os.O_RDONLY)\nrefused('open_by_handle_at', system(304, 265, fd, handle, 0))",
        ),
    ),
    (
        "an_overlays_own_attributes_are_set",
        Root,
        Python(
            "os.chdir('/var/tmp')\nopen('x', 'w').close()\n\
         attempt('trusted', lambda: os.setxattr('x', 'trusted.overlay.redirect', b'/etc'))\nos.remove('x')",
        ),
    ),
    // Namespaces and groups.
    (
        "a_user_namespace_is_made",
        Everybody,
        Python(
            "args = ctypes.create_string_buffer(struct.pack('8Q', 0x10000000, 0, 0, 0, 17, 0, 0, 0))\n\
             for what, call in [('clone', (56, 220, 0x10000011, 0, 0, 0, 0)), ('clone3', (435, 435, args, 64)), ('unshare', (272, 97, 0x10000000))]:\n    \
             got = system(*call)\n    \
             if got[0] == 0 and what != 'unshare': os._exit(0)\n    \
             refused(what, got)",
        ),
    ),
    (
        "a_namespace_of_another_is_joined",
        Root,
        Python(
            "for ns in glob.glob('/proc/1/ns/*') + glob.glob('/proc/%s/ns/*' % E['RUNNER']):\n    \
                attempt(ns, lambda: refused(ns, system(308, 268, os.open(ns, os.O_RDONLY), 0)) or (_ for _ in ()).throw(OSError))",
        ),
    ),
    (
        "control_groups_are_mounted",
        Root,
        Sh("for way in 'sh -c' 'unshare -UrmC sh -c'; do for kind in 'cgroup -o memory' cgroup2; do\n\
            $way \"mount -t $kind none $HOST_DIR/mnt && echo through; umount $HOST_DIR/mnt\"\n\
            done; done"),
    ),
    (
        "control_groups_are_made",
        Root,
        Sh(
            "for at in $(find /sys/fs/cgroup -maxdepth 2 -type d); do mkdir $at/towpath-x && echo through; rmdir $at/towpath-x; done",
        ),
    ),
    // /proc and /sys.
    (
        "the_machine_is_seen_by_way_of_proc",
        Everybody,
        Sh("for at in /proc/[0-9]*/root /proc/[0-9]*/cwd; do test -e $at/$HOME_DIR/runner.lock && echo through; done"),
    ),
    (
        "another_ones_environment_is_read",
        Everybody,
        Sh("for at in /proc/[0-9]*/environ; do tr '\\0' '\\n' < $at | grep -q ^TOWPATH_HOME= && echo through; done"),
    ),
    (
        "the_runners_program_is_opened",
        Everybody,
        Python(
            "for at in glob.glob('/proc/[0-9]*/exe'):\n    try:\n        if os.stat(at) and os.readlink(at) == E['RUNNER_PROGRAM'] and open(at, 'rb'): through(at)\n    \
             except OSError: pass",
        ),
    ),
    (
        "a_setting_of_the_kernel_is_changed",
        Root,
        Python(
            "path = '/proc/sys/kernel/core_pattern'\ntext = open(path).read()\nattempt(path, lambda: open(path, 'w').write(text))",
        ),
    ),
    (
        "the_machine_is_commanded_by_sysrq",
        Untried,
        Python("attempt('sysrq', lambda: open('/proc/sysrq-trigger', 'w'))"),
    ),
    (
        "modes_of_proc_are_changed",
        Root,
        Python(
            "attempt('mode', lambda: os.chmod('/proc/cpuinfo', 0o444))\nattempt('owner', lambda: os.chown('/proc/cpuinfo', 0, 0))",
        ),
    ),
    (
        "a_device_is_tuned_by_way_of_sys",
        Root,
        Python(
            "for path in glob.glob('/sys/block/*/queue/read_ahead_kb'):\n    text = open(path).read()\n    attempt(path, lambda: open(path, 'w').write(text))",
        ),
    ),
    (
        "the_kernels_memory_is_opened",
        Root,
        Python(
            "for path in ['/proc/kcore', '/proc/kmsg', '/dev/mem', '/dev/kmem', '/dev/kmsg', '/dev/port']: attempt(path, lambda: open(path, 'rb'))",
        ),
    ),
    // Processes of others.
    ("a_process_is_killed", Everybody, Sh("kill -9 $SLEEPER; sleep 0.1")),
    ("everybody_is_killed", Untried, Sh("kill -9 $RUNNER $SLEEPER -$RUNNER -$SLEEPER; kill -9 -1; sleep 0.1")),
    (
        "the_init_is_signalled",
        Untried,
        Sh("for s in KILL STOP ABRT SEGV USR1 HUP INT CHLD; do kill -$s 1; done; sleep 0.1"),
    ),
    (
        "a_process_is_traced",
        Root,
        Python(
            "for pid in [1, int(E['SLEEPER']), int(E['RUNNER'])]: refused('seize %d' % pid, system(101, 117, 0x4206, pid, 0, 0), [errno.ESRCH])",
        ),
    ),
    (
        "a_processs_memory_is_read",
        Root,
        Python(
            "for pid in [1, int(E['SLEEPER'])]:\n    attempt('mem', lambda: open('/proc/%d/mem' % pid, 'rb'))\n    \
                attempt('maps', lambda: open('/proc/%d/maps' % pid).read())",
        ),
    ),
    (
        "a_descriptor_of_another_is_taken",
        Root,
        Python(
            "for pid in [1, int(E['SLEEPER'])]:\n    fd, _ = system(434, 434, pid, 0)\n    \
                if fd >= 0: refused('pidfd_getfd', system(438, 438, fd, 0, 0), [errno.ESRCH])",
        ),
    ),
    // Devices.
    (
        "a_device_node_is_made",
        Root,
        Python(
            "for name, kind, dev in [('disk', stat.S_IFBLK, os.stat('/').st_dev), ('mem', stat.S_IFCHR, os.makedev(1, 1)), ('null', stat.S_IFCHR, os.makedev(1, 3))]:\n    \
             for at in [E['HOST_DIR'], '/tmp', '/dev', '/dev/shm']:\n        path = '%s/towpath-%s' % (at, name)\n        \
             attempt(path, lambda: os.mknod(path, kind | 0o600, dev) or os.remove(path))",
        ),
    ),
    (
        "a_disk_is_opened",
        Root,
        Python(
            "for path in glob.glob('/dev/**', recursive=True) + glob.glob('/run/**', recursive=True):\n    \
                if os.path.exists(path) and stat.S_ISBLK(os.stat(path).st_mode): attempt(path, lambda: os.open(path, os.O_RDONLY))",
        ),
    ),
    (
        "the_device_behind_standard_input_is_changed",
        Untried,
        Python(
            "mode = stat.S_IMODE(os.fstat(0).st_mode)\nattempt('fchmod', lambda: os.fchmod(0, mode))\n\
                attempt('chmod', lambda: os.chmod('/proc/self/fd/0', mode))\nattempt('fchown', lambda: os.fchown(0, 0, 0))\n\
                attempt('utime', lambda: os.utime(0))",
        ),
    ),
    (
        "devices_are_removed_or_added",
        Untried,
        Sh("rm -f /dev/null && echo through; echo x > /dev/new && echo through; chmod 666 /dev/zero && echo through"),
    ),
    ("a_terminal_is_opened", Untried, Python("attempt('tty', lambda: os.open('/dev/tty', os.O_RDWR))")),
    // The home, sockets, descriptors.
    (
        "the_homes_files_are_read",
        Everybody,
        Sh("find $HOME_DIR ! -type d | grep -q . && echo through; cat $HOME_DIR/runner.lock && echo through"),
    ),
    ("the_home_is_seen_by_another_name", Everybody, Sh("test -e $HOST_DIR/alias/runner.lock && echo through")),
    (
        "the_home_is_written",
        Everybody,
        Sh(
            "echo x > $HOME_DIR/x && echo through; mkdir $HOME_DIR/y && echo through; mv $HOME_DIR $HOME_DIR.away && echo through",
        ),
    ),
    (
        "a_socket_of_the_machine_is_connected_to",
        Everybody,
        Python(
            "for path in E['SOCKETS'].split() + [E['HOME_DIR'] + '/runner.sock'] * (E['HOME_DIR'] not in os.listdir('/')):\n    \
                if path.endswith('runner.sock'):\n        attempt(path, lambda: os.stat(path))\n    \
                else: attempt(path, lambda: socket.socket(socket.AF_UNIX).connect(path))",
        ),
    ),
    (
        "descriptors_are_inherited",
        Untried,
        Python(
            "for fd in range(3, 1024): attempt(fd, lambda: os.fstat(fd))\n\
                for fd in range(3):\n    kind = os.fstat(fd).st_mode\n    if not (stat.S_ISFIFO(kind) or fd == 0 and stat.S_ISCHR(kind)): through(fd, oct(kind))",
        ),
    ),
    (
        "a_private_file_of_the_machine_is_seen",
        Everybody,
        Sh("test -e $HOST_SHM && echo through; test -e $HOST_TMP && echo through"),
    ),
    (
        "shared_memory_of_the_machine_is_seen",
        Everybody,
        Sh("ipcs -m | grep -qw \"$SEGMENT\" && echo through; ipcrm -m $SEGMENT && echo through"),
    ),
    // The kernel.
    (
        "a_key_of_the_machine_is_reached",
        Everybody,
        Python(
            "for ring in [-3, -4, -5]: refused('keyctl %d' % ring, system(250, 219, 0, ring, 1))\n\
                refused('add_key', system(248, 217, b'user', b'towpath-x', b'x', 1, -4))",
        ),
    ),
    (
        "a_module_is_loaded",
        Root,
        Python(
            "refused('finit_module', system(313, 273, -1, b'', 0))\nrefused('init_module', system(175, 105, 0, 0, b''))\n\
                refused('delete_module', system(176, 106, b'', 0))\nrefused('kexec_load', system(246, 104, 0, 99, 0, 0))\nrefused('reboot', system(169, 142, 0, 0, 0, 0))",
        ),
    ),
    (
        "swap_or_accounting_is_set",
        Root,
        Python(
            "refused('swapon', system(167, 224, b'/none', 0))\nrefused('acct', system(163, 89, b'/none'))\n\
                refused('quotactl', system(179, 60, 0xffff00, 0, 0, 0), [errno.ENODEV, errno.EINVAL])",
        ),
    ),
    (
        "the_clock_is_set",
        Root,
        Python(
            "refused('settimeofday', system(164, 170, 0, ctypes.create_string_buffer(8)))\n\
                refused('adjtimex', system(159, 171, ctypes.create_string_buffer(struct.pack('I', 2) + bytes(204))))",
        ),
    ),
    (
        "the_machines_name_is_changed",
        Root,
        Python("name = socket.gethostname().encode()\nrefused('sethostname', system(170, 161, name, len(name)))"),
    ),
    (
        "the_network_is_changed",
        Root,
        Python(
            "s = socket.socket()\nlook = fcntl.ioctl(s, 0x8913, struct.pack('16sh14x', b'lo', 0))\n\
                attempt('flags', lambda: fcntl.ioctl(s, 0x8914, look))",
        ),
    ),
    (
        "ports_of_the_machine_are_opened",
        Untried,
        Python(
            "refused('iopl', system(172, 172, 3) if not arm else (-1, errno.EPERM))\nattempt('/dev/port', lambda: open('/dev/port', 'r+b'))",
        ),
    ),
    (
        "a_program_is_given_to_the_kernel",
        Root,
        Python("refused('bpf', system(321, 280, 5, ctypes.create_string_buffer(128), 128))"),
    ),
    // More than one's share.
    (
        "it_becomes_more_important",
        Root,
        Python(
            "attempt('nice', lambda: os.nice(-1))\nattempt('fifo', lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)))\n\
                attempt('oom', lambda: os.write(os.open('/proc/self/oom_score_adj', os.O_WRONLY), b'-500'))\n\
                attempt('ioprio', lambda: refused('ioprio', system(251, 30, 1, 0, 1 << 13)) or (_ for _ in ()).throw(OSError))",
        ),
    ),
    (
        "a_limit_is_raised",
        Untried,
        Python(
            "for which in [resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC, resource.RLIMIT_MEMLOCK]:\n    \
             resource.setrlimit(which, (1000, 1000))\n    \
             attempt(which, lambda: resource.setrlimit(which, (1000, 1001)))",
        ),
    ),
];

const REMOUNT: &str = r#"
c.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
seen = 0
for line in open('/proc/self/mountinfo'):
    point, options = line.split()[4:6]
    if 'ro' in options.split(','):
        seen += 1
        ctypes.set_errno(0)
        refused(point, (c.mount(None, point.encode(), None, 0x1020, None), ctypes.get_errno()))
        attr = ctypes.create_string_buffer(struct.pack('4Q', 0, 1, 0, 0))
        refused(point, system(442, 442, -100, point.encode(), 0, attr, 32))
if not seen: through('nothing is read-only')
"#;

/// A task whose program is the one that starts it: the runner's, by way of /proc/self/exe.
fn its_program_is_not_overwritten_by_way_of_proc() {
    let program = std::env::current_exe().expect("this program");
    let before = std::fs::metadata(&program).expect("it").len();
    let mut world = World::new();
    for _ in 0..2 {
        let mut launch = world.sh(Standard, "");
        launch.command = vec!["/proc/self/exe".into(), "__overwrite_own_program".into()];
        launch.args = Vec::new();
        let outcome = world.run(&launch);
        let said = outcome.result.clone().unwrap_or_default();
        assert!(said.is_empty() || said == "refused", "{outcome:?} {}", world.log(&launch.key));
        assert_eq!(std::fs::metadata(&program).expect("it").len(), before);
        settle(&mut world);
    }
}

/// The other side of it, in the sandbox.
pub fn overwrite_own_program() -> ExitCode {
    let opened = std::fs::OpenOptions::new().append(true).open("/proc/self/exe");
    println!("{}", if opened.is_ok() { "through" } else { "refused" });
    ExitCode::SUCCESS
}

fn a_memory_limit_is_not_raised() {
    let mut scene = Scene::new();
    let script = Sh(
        "mkdir -p /tmp/cg; for way in 'sh -c' 'unshare -UrmC sh -c'; do for kind in 'cgroup -o memory' cgroup2; do\n\
        $way \"mount -t $kind none /tmp/cg && for f in memory.limit_in_bytes memory.max; do echo 900000000 > /tmp/cg/\\$f && echo through; done\"\n\
        done; done\n\
        for f in $(find /sys/fs/cgroup -name 'memory.*'); do echo 900000000 > $f && echo through; done",
    );
    for _ in 0..2 {
        let mut launch = scene.launch(Standard, script);
        launch.limits.memory_bytes = Some(200 << 20);
        assert_eq!(scene.attempt(&launch), None);
        settle(&mut scene.world);
    }
}

fn a_daemon_does_not_outlive_its_attempt() {
    let mut scene = Scene::new();
    let mark = format!("987{}", std::process::id());
    for deed in [
        "sleep MARK &",
        "setsid sleep MARK > /dev/null 2>&1 &",
        "nohup sleep MARK > /dev/null 2>&1 &",
        "(setsid sh -c '(setsid sleep MARK &) &' &) > /dev/null 2>&1",
        "trap '' HUP TERM INT; (trap '' HUP TERM INT; sleep MARK) > /dev/null 2>&1 &",
    ] {
        for _ in 0..2 {
            let launch = scene.world.sh(Standard, &deed.replace("MARK", &mark));
            assert_eq!(scene.world.run(&launch).exit, Exit::Exited(0));
            assert!(!is_running(&mark), "{deed}");
            settle(&mut scene.world);
        }
    }
}

fn is_running(argument: &str) -> bool {
    std::fs::read_dir("/proc").expect("proc").flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == argument.as_bytes())
    })
}
