//! Attempts to leave something for the next task: what a task does, and what would show it to those that come after.
//!
//! In the task itself the look shows what was done, unless the sandbox refuses it; in the next three it shows what it showed before.

use crate::harness::{Case, Test, World, settle};
use model::Exit;
use model::attempt::Profile::Standard;

struct Deed {
    name: &'static str,
    deed: &'static str,
    look: &'static str,
    /// The look that follows in the same task shows no difference, because the deed is refused, or ends with its process.
    refused: bool,
}

const fn deed(name: &'static str, deed: &'static str, look: &'static str) -> Deed {
    Deed { name, deed, look, refused: false }
}

const fn refused(name: &'static str, deed: &'static str, look: &'static str) -> Deed {
    Deed { name, deed, look, refused: true }
}

pub const TESTS: &[Test] = &[("a_changed_source_is_not_left", a_changed_source_is_not_left)];

pub fn cases() -> Vec<Case> {
    DEEDS.iter().map(|deed| Case { name: deed.name, test: Box::new(|| try_to_leave(deed)) }).collect()
}

/// Not by what this line itself says.
const SLEEPERS: &str = "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -o 'slee[p] 1000' | wc -l";

const DEEDS: &[Deed] = &[
    deed("a_file_in_tmp_is_left", "echo x > /tmp/left", "ls -A /tmp"),
    deed("a_file_is_left", "echo x > /stray", "ls /stray"),
    deed("a_directory_is_left", "mkdir /stray && echo x > /stray/below", "ls /stray"),
    deed("a_file_of_a_users_is_left", "cd /var/tmp && echo x > stray", "cd /var/tmp; ls stray"),
    deed("a_file_stays_removed", "rm /etc/passwd", "test -e /etc/passwd || echo gone"),
    deed(
        "a_link_in_the_root_leads_elsewhere",
        "ln -sfn /tmp \"$(find / -maxdepth 1 -type l | sort | head -n 1)\"",
        "find / -maxdepth 1 -type l | sort | while read -r link; do readlink $link; done",
    ),
    deed("a_directory_in_the_root_is_left", "mkdir /left; chmod 700 /left", "ls -d /left"),
    deed("a_link_is_left", "ln -s /etc/passwd /tmp/link; ln /etc/hosts /etc/hard", "ls -A /tmp /etc/hard"),
    deed("a_file_in_shared_memory_is_left", "echo x > /dev/shm/left", "ls -A /dev/shm"),
    deed("a_file_in_the_queues_is_left", "touch /dev/mqueue/left", "ls -A /dev/mqueue"),
    deed(
        "a_message_queue_is_left",
        "/usr/bin/python3 -ISc \"import ctypes, os; c = ctypes.CDLL('librt.so.1'); c.mq_open(b'/left', os.O_CREAT | os.O_RDWR, 0o600, None)\"",
        "ls -A /dev/mqueue",
    ),
    deed("the_roots_mode_stays_changed", "chmod 700 /", "stat -c %a /"),
    deed("tmps_mode_stays_changed", "chmod 700 /tmp", "stat -c %a /tmp"),
    deed("shared_memorys_mode_stays_changed", "chmod 700 /dev/shm", "stat -c %a /dev/shm"),
    deed("the_queues_mode_stays_changed", "chmod 700 /dev/mqueue", "stat -c %a /dev/mqueue"),
    deed("the_terminals_mode_stays_changed", "chmod 700 /dev/pts", "stat -c %a /dev/pts"),
    deed("the_terminal_makers_mode_stays_changed", "chmod 600 /dev/pts/ptmx", "stat -c %a /dev/pts/ptmx"),
    deed("ours_is_written", "echo x > /towpath/bin/left; echo x > /argo/left", "ls /towpath/bin/left /argo/left"),
    deed(
        "an_attribute_is_left",
        "/usr/bin/python3 -ISc \"import os; os.setxattr('/dev/shm', 'user.left', b'x')\" || touch /tmp/unsupported",
        "/usr/bin/python3 -ISc \"import os; print(os.listxattr('/dev/shm'), os.path.exists('/tmp/unsupported'))\"",
    ),
    deed(
        "a_flag_of_a_directory_is_left",
        "/usr/bin/python3 -ISc \"import fcntl, os, struct; fcntl.ioctl(os.open('/tmp', 0), 0x40086602, struct.pack('l', 8))\"",
        "/usr/bin/python3 -ISc \"import fcntl, os; print(fcntl.ioctl(os.open('/tmp', 0), 0x80086601, bytes(8)))\"",
    ),
    deed("a_background_process_is_left", "sleep 1000 > /dev/null 2>&1 &", SLEEPERS),
    deed("a_session_is_left", "setsid sh -c 'sleep 1000 & sleep 1000' > /dev/null 2>&1 &", SLEEPERS),
    deed(
        "a_double_fork_is_left",
        // The pipe ends when the grandchild has become a program.
        "/usr/bin/python3 -ISc \"import os\nr, w = os.pipe()\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0:\n  \
         [os.close(i) for i in range(3)]\n  os.execlp('sleep', 'sleep', '1000')\n os._exit(0)\nos.close(w)\nos.wait()\nos.read(r, 1)\"",
        SLEEPERS,
    ),
    deed("a_stopped_process_is_left", "sleep 1000 > /dev/null 2>&1 & kill -STOP $!", SLEEPERS),
    deed("shared_memory_is_left", "ipcmk -M 100", "ipcs -m | grep 0x"),
    deed("semaphores_are_left", "ipcmk -S 1", "ipcs -s | grep 0x"),
    deed("a_queue_is_left", "ipcmk -Q", "ipcs -q | grep 0x"),
    refused("the_inits_importance_stays_changed", "renice 15 1", "awk '{print $19}' /proc/1/stat"),
    refused("the_inits_scheduling_stays_changed", "chrt -b -p 0 1", "chrt -p 1"),
    refused("the_inits_processors_stay_changed", "taskset -p 1 1", "grep Cpus_allowed: /proc/1/status"),
    refused("the_inits_io_stays_changed", "ionice -c 3 -p 1", "ionice -p 1"),
    deed(
        "the_inits_limits_stay_changed",
        "prlimit --pid 1 --cpu=1:1 --nofile=10:10",
        "prlimit --pid 1 -o RESOURCE,SOFT",
    ),
    refused("the_inits_end_stays_nearer", "echo 900 > /proc/1/oom_score_adj", "cat /proc/1/oom_score_adj"),
    deed(
        "its_own_settings_are_inherited",
        "ulimit -n 100; umask 000; renice 15 $$; cd /tmp; export LEFT=x",
        "ulimit -n; umask; awk '{print $19}' /proc/self/stat; pwd; echo $LEFT",
    ),
    refused(
        "a_key_is_left",
        "/usr/bin/python3 -ISc \"$KEYS\nsystem(248, 217, b'user', b'towpath-left', b'x', 1, -4); system(248, 217, b'user', b'towpath-left', b'x', 1, -3)\"",
        "/usr/bin/python3 -ISc \"$KEYS\nprint(system(250, 219, 10, -4, b'user', b'towpath-left', 0) > 0, system(250, 219, 10, -3, b'user', b'towpath-left', 0) > 0)\"",
    ),
    refused("a_mount_is_left", "mount -t tmpfs left /mnt; mount --bind /etc /mnt", "grep -c /mnt /proc/self/mountinfo"),
    refused(
        "a_listener_is_left",
        "/usr/bin/python3 -ISc \"import socket; s = socket.socket(socket.AF_UNIX); s.bind('\\0towpath-left'); s.listen()\"",
        "grep -c towpath-left /proc/net/unix",
    ),
];

/// System calls for keys, without whose numbers Python has no door to them.
const KEYS: &str = "import ctypes, platform\nc = ctypes.CDLL(None)\narm = platform.machine() == 'aarch64'\n\
                    def system(x86, a64, *args): return c.syscall(a64 if arm else x86, *args)";

fn try_to_leave(deed: &Deed) {
    let mut world = World::new();
    // In a sandbox of its own, and in one that is used again.
    let before = look(&mut world, "", deed.look);
    let during = look(&mut world, deed.deed, deed.look);
    assert_eq!(during == before, deed.refused, "the look shows {during} after the deed");
    assert_eq!(look(&mut world, "", deed.look), before, "after a first sandbox");
    for _ in 0..2 {
        settle(&mut world);
        look(&mut world, deed.deed, ":");
        for _ in 0..3 {
            assert_eq!(look(&mut world, "", deed.look), before);
        }
    }
}

fn look(world: &mut World, deed: &str, look: &str) -> String {
    let mut launch = world.sh(Standard, &format!("{PATH}{deed}\necho --\n({look}) 2>&1 || true"));
    launch.env.push(("KEYS".into(), KEYS.into()));
    let outcome = world.run(&launch);
    assert_eq!(outcome.exit, Exit::Exited(0), "{}", world.log(&launch.key));
    // What was said by the deed itself is not looked at.
    let said = outcome.result.unwrap_or_default();
    said.rsplit_once("--\n").map_or(said.clone(), |(_, looked)| looked.to_owned())
}

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n";

fn a_changed_source_is_not_left() {
    let mut world = World::new();
    let source = world.dir.path().join("flow");
    std::fs::create_dir_all(&source).expect("dir");
    std::fs::write(source.join("file"), "before").expect("file");
    let (digest, _) = world.store.copy_tree(&source, &|_, _| true).expect("stored");
    let mut see = |command: &str| {
        let mut launch = world.sh(Standard, command);
        launch.source = Some(digest);
        world.output(&launch)
    };
    for _ in 0..4 {
        assert_eq!(see("cat file; ls -A"), "beforefile");
        assert_eq!(see("echo after > file; rm -f other; : > more; cat file"), "after");
    }
}
