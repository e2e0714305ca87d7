//! The store through its public face, on a real directory.

use artifacts::{ArtifactError, Removal, Store};
use model::{Content, Digest};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

struct Home {
    dir: tempfile::TempDir,
    store: Store,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        Self { dir, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// `name/{a, bin/run (executable), empty/, link -> a, out -> ../../etc}`
    fn sample_tree(&self, name: &str) -> PathBuf {
        self.write(&format!("{name}/a"), "alpha");
        let run = self.write(&format!("{name}/bin/run"), "#!/bin/sh\n");
        fs::set_permissions(run, fs::Permissions::from_mode(0o755)).unwrap();
        let root = self.path(name);
        fs::create_dir(root.join("empty")).unwrap();
        symlink("a", root.join("link")).unwrap();
        symlink("../../etc", root.join("out")).unwrap();
        root
    }

    fn tmp_is_empty(&self) -> bool {
        fs::read_dir(self.path("store/tmp")).unwrap().next().is_none()
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn all(_: &Path, _: bool) -> bool {
    true
}

#[test]
fn a_blob_comes_back_as_it_went_in() {
    let home = Home::new();
    let digest = home.store.put_bytes(b"hello").unwrap();
    assert_eq!(digest.to_string(), "ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f");
    assert_eq!(home.store.put_bytes(b"hello").unwrap(), digest);
    assert_eq!(home.store.read_blob(&digest, 5).unwrap(), b"hello");
    let error = home.store.read_blob(&digest, 4).unwrap_err();
    assert!(matches!(error, ArtifactError::TooLarge { bytes: 5, bytes_max: 4, .. }), "{error}");
    assert_eq!(mode(&home.store.blob_path(&digest)), 0o444);
    assert!(home.store.contains(&Content::Blob(digest)));
    assert!(!home.store.contains(&Content::Tree(digest)));
    assert!(matches!(home.store.read_blob(&Digest([0; 32]), 4), Err(ArtifactError::Missing { .. })));
    home.store.sync(&Content::Blob(digest)).unwrap();
    assert!(home.tmp_is_empty());
}

#[test]
fn an_adopted_file_is_renamed_and_a_second_one_is_removed() {
    let home = Home::new();
    let first = home.write("first", "data");
    let inode = fs::metadata(&first).unwrap().ino();
    let (digest, bytes) = home.store.adopt_file(&first).unwrap();
    assert_eq!(bytes, 4);
    assert!(!first.exists());
    assert_eq!(fs::metadata(home.store.blob_path(&digest)).unwrap().ino(), inode);
    let second = home.write("second", "data");
    fs::set_permissions(&second, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(home.store.adopt_file(&second).unwrap(), (digest, 4));
    assert!(!second.exists());
    // It came as a program once: it may be run.
    assert_eq!(mode(&home.store.blob_path(&digest)), 0o555);
}

#[test]
fn a_file_with_another_name_is_copied() {
    let home = Home::new();
    let file = home.write("file", "data");
    fs::hard_link(&file, home.path("other")).unwrap();
    let (digest, _) = home.store.adopt_file(&file).unwrap();
    fs::write(home.path("other"), "DATA").unwrap();
    home.store.verify(&Content::Blob(digest)).unwrap();
    assert!(!file.exists());

    let tree = home.path("tree");
    fs::create_dir(&tree).unwrap();
    fs::hard_link(home.path("other"), tree.join("inside")).unwrap();
    let (digest, _) = home.store.adopt_tree(&tree).unwrap();
    fs::write(home.path("other"), "1234").unwrap();
    home.store.verify(&Content::Tree(digest)).unwrap();
    assert_eq!(fs::read(home.store.tree_path(&digest).join("inside")).unwrap(), b"DATA");
}

#[test]
fn a_copied_file_stays() {
    let home = Home::new();
    let file = home.write("file", "data");
    let (digest, bytes) = home.store.copy_file(&file).unwrap();
    assert_eq!((bytes, fs::read(&file).unwrap()), (4, b"data".to_vec()));
    assert_eq!(home.store.adopt_file(&file).unwrap().0, digest);
    symlink("/etc/passwd", home.path("link")).unwrap();
    for path in [home.path("link"), home.path("store")] {
        assert!(matches!(home.store.adopt_file(&path), Err(ArtifactError::WrongKind { .. })));
        assert!(matches!(home.store.copy_file(&path), Err(ArtifactError::WrongKind { .. })));
    }
}

#[test]
fn the_digest_of_a_tree_is_its_content() {
    let home = Home::new();
    let first = home.sample_tree("first");
    let (digest, bytes) = home.store.copy_tree(&first, &all).unwrap();
    assert_eq!(bytes, 15);
    // Other times, owners, modes that do not matter, another order of creation.
    let second = home.path("second");
    fs::create_dir_all(second.join("empty")).unwrap();
    symlink("../../etc", second.join("out")).unwrap();
    home.write("second/bin/run", "#!/bin/sh\n");
    fs::set_permissions(second.join("bin/run"), fs::Permissions::from_mode(0o711)).unwrap();
    symlink("a", second.join("link")).unwrap();
    let a = home.write("second/a", "alpha");
    fs::set_permissions(&a, fs::Permissions::from_mode(0o600)).unwrap();
    let times = fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1));
    fs::File::options().write(true).open(&a).unwrap().set_times(times).unwrap();
    // Only root may; elsewhere the owner is the same.
    let _ = std::os::unix::fs::chown(&a, Some(12), Some(34));
    assert_eq!(home.store.adopt_tree(&second).unwrap(), (digest, bytes));
    assert!(!second.exists());
    let manifest = fs::read_to_string(home.store.manifest_path(&digest)).unwrap();
    let kinds: Vec<_> = manifest.lines().skip(1).map(|line| (&line[..1], line.rsplit(' ').next().unwrap())).collect();
    let expected = [("f", "a"), ("d", "bin"), ("x", "bin/run"), ("d", "empty"), ("l", "link"), ("l", "out")];
    assert_eq!(kinds, expected);
}

#[test]
fn every_difference_counts() {
    let home = Home::new();
    let base = home.sample_tree("base");
    let snapshot = || home.store.copy_tree(&base, &all).unwrap().0;
    let mut digests = vec![snapshot()];
    fs::set_permissions(base.join("a"), fs::Permissions::from_mode(0o755)).unwrap();
    digests.push(snapshot());
    fs::write(base.join("a"), "alphb").unwrap();
    digests.push(snapshot());
    fs::remove_dir(base.join("empty")).unwrap();
    digests.push(snapshot());
    fs::remove_file(base.join("link")).unwrap();
    symlink("bin", base.join("link")).unwrap();
    digests.push(snapshot());
    let distinct: std::collections::BTreeSet<_> = digests.iter().collect();
    assert_eq!(distinct.len(), digests.len());
}

#[test]
fn an_adopted_tree_is_renamed_and_read_only() {
    let home = Home::new();
    let tree = home.sample_tree("tree");
    let inode = fs::metadata(&tree).unwrap().ino();
    let (digest, _) = home.store.adopt_tree(&tree).unwrap();
    let stored = home.store.tree_path(&digest);
    assert_eq!(fs::metadata(&stored).unwrap().ino(), inode);
    assert_eq!([mode(&stored), mode(&stored.join("bin")), mode(&stored.join("bin/run"))], [0o555; 3]);
    assert_eq!(mode(&stored.join("a")), 0o444);
    let content = Content::Tree(digest);
    home.store.verify(&content).unwrap();
    home.store.sync(&content).unwrap();
    assert!(home.tmp_is_empty());
    assert_eq!(home.store.remove(&content, Duration::ZERO).unwrap(), Removal::Removed);
    assert!(!home.store.contains(&content) && home.tmp_is_empty());
}

#[test]
fn unreadable_modes_are_no_obstacle_to_adoption() {
    let home = Home::new();
    let tree = home.sample_tree("tree");
    fs::set_permissions(tree.join("a"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(tree.join("bin"), fs::Permissions::from_mode(0o000)).unwrap();
    let (digest, bytes) = home.store.adopt_tree(&tree).unwrap();
    assert_eq!(bytes, 15);
    home.store.verify(&Content::Tree(digest)).unwrap();
}

#[test]
fn special_files_are_refused_by_name_and_the_tree_stays() {
    let home = Home::new();
    let tree = home.sample_tree("tree");
    let pipe = tree.join("bin/pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let socket = home.path("with-socket");
    fs::create_dir(&socket).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(socket.join("s")).unwrap();
    for (root, wanted, kind) in [(&tree, &pipe, "named pipe"), (&socket, &socket.join("s"), "socket")] {
        for result in [home.store.adopt_tree(root), home.store.copy_tree(root, &all)] {
            match result {
                Err(ArtifactError::SpecialFile { path, kind: found }) => assert_eq!((&path, found), (wanted, kind)),
                other => panic!("{other:?}"),
            }
        }
        assert!(wanted.symlink_metadata().is_ok());
    }
    assert!(home.tmp_is_empty());
    let (_, bytes) = home.store.copy_tree(&tree, &|path, _| path != Path::new("bin/pipe")).unwrap();
    assert_eq!(bytes, 15);
}

#[test]
fn a_snapshot_leaves_out_what_is_not_wanted() {
    let home = Home::new();
    let tree = home.sample_tree("tree");
    home.write("tree/.git/config", "x");
    let keep = |path: &Path, dir: bool| {
        assert!(!path.starts_with(".git/config"), "asked below an unwanted directory");
        !(dir && path == Path::new(".git"))
    };
    let (digest, _) = home.store.copy_tree(&tree, &keep).unwrap();
    assert!(!home.store.tree_path(&digest).join(".git").exists());
    assert!(tree.join(".git/config").exists());
    // The same snapshot again writes nothing.
    let inode = fs::metadata(home.store.tree_path(&digest)).unwrap().ino();
    assert_eq!(home.store.copy_tree(&tree, &keep).unwrap().0, digest);
    assert_eq!(fs::metadata(home.store.tree_path(&digest)).unwrap().ino(), inode);
}

#[test]
fn what_is_materialised_is_private_and_writable() {
    let home = Home::new();
    let (tree, _) = home.store.adopt_tree(&home.sample_tree("tree")).unwrap();
    let to = home.path("work/here/tree");
    home.store.materialise(&Content::Tree(tree), &to).unwrap();
    fs::write(to.join("a"), "changed").unwrap();
    fs::write(to.join("bin/new"), "x").unwrap();
    fs::remove_file(to.join("link")).unwrap();
    assert_eq!(fs::read_link(to.join("out")).unwrap(), Path::new("../../etc"));
    assert!(mode(&to.join("bin/run")) & 0o300 == 0o300);
    assert_eq!(fs::metadata(to.join("bin/run")).unwrap().nlink(), 1);
    home.store.verify(&Content::Tree(tree)).unwrap();

    let blob = home.store.put_bytes(b"data").unwrap();
    let to = home.path("work/blob");
    home.store.materialise(&Content::Blob(blob), &to).unwrap();
    fs::write(&to, "DATA").unwrap();
    home.store.verify(&Content::Blob(blob)).unwrap();
    // Nothing that is there is overwritten.
    assert!(home.store.materialise(&Content::Blob(blob), &to).is_err());
    assert_eq!(fs::read(&to).unwrap(), b"DATA");
    assert!(home.store.materialise(&Content::Tree(tree), &home.path("work")).is_err());
    assert_eq!(fs::read(&to).unwrap(), b"DATA");

    let raw = home.path("work/raw");
    home.store.materialise(&Content::Raw("text".into()), &raw).unwrap();
    assert_eq!(fs::read(&raw).unwrap(), b"text");
    let uri = home.store.materialise(&Content::Uri("s3://b/k".into()), &home.path("work/uri"));
    assert!(matches!(uri, Err(ArtifactError::NotLocal { .. })));
    let missing = home.store.materialise(&Content::Tree(Digest([1; 32])), &home.path("work/missing"));
    assert!(matches!(missing, Err(ArtifactError::Missing { .. })));
}

#[test]
fn damage_is_found_and_told() {
    let home = Home::new();
    let (tree, _) = home.store.adopt_tree(&home.sample_tree("tree")).unwrap();
    let content = Content::Tree(tree);
    let stored = home.store.tree_path(&tree);
    let expect = |what: &str| {
        let error = home.store.verify(&content).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    };
    let make_writable = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
    make_writable(&stored);
    make_writable(&stored.join("a"));
    fs::write(stored.join("a"), "alphA").unwrap();
    expect("a has changed");
    fs::remove_file(stored.join("a")).unwrap();
    expect("a is gone");
    fs::write(stored.join("a"), "alpha").unwrap();
    home.store.verify(&content).unwrap();
    fs::write(stored.join("b"), "x").unwrap();
    expect("b was added");
    make_writable(&home.store.manifest_path(&tree));
    fs::write(home.store.manifest_path(&tree), "towpath-tree 1\n").unwrap();
    expect("manifest has changed");

    let blob = home.store.put_bytes(b"data").unwrap();
    make_writable(&home.store.blob_path(&blob));
    fs::write(home.store.blob_path(&blob), "da").unwrap();
    assert!(matches!(home.store.verify(&Content::Blob(blob)), Err(ArtifactError::Damaged { .. })));
    // Storing it again mends a truncated blob.
    home.store.put_bytes(b"data").unwrap();
    home.store.verify(&Content::Blob(blob)).unwrap();
}

#[test]
fn garbage_collection_spares_the_young() {
    let home = Home::new();
    let blob = Content::Blob(home.store.put_bytes(b"data").unwrap());
    let tree = Content::Tree(home.store.adopt_tree(&home.sample_tree("tree")).unwrap().0);
    let listed: Vec<_> = home.store.list().unwrap().into_iter().map(|stored| stored.content).collect();
    assert!(listed.len() == 2 && listed.contains(&blob) && listed.contains(&tree));
    for content in [&blob, &tree] {
        assert_eq!(home.store.remove(content, Duration::from_secs(3600)).unwrap(), Removal::TooYoung);
        assert!(home.store.contains(content));
        assert_eq!(home.store.remove(content, Duration::ZERO).unwrap(), Removal::Removed);
        assert_eq!(home.store.remove(content, Duration::ZERO).unwrap(), Removal::Absent);
    }
    // An old file is young in the store, and is young again when it is stored again.
    let old = home.write("old", "data");
    let age = |path: &Path| {
        let times = fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
        fs::File::open(path).unwrap().set_times(times).unwrap();
    };
    age(&old);
    let (digest, _) = home.store.adopt_file(&old).unwrap();
    let hour = Duration::from_secs(3600);
    assert_eq!(home.store.remove(&Content::Blob(digest), hour).unwrap(), Removal::TooYoung);
    age(&home.store.blob_path(&digest));
    home.store.put_bytes(b"data").unwrap();
    assert_eq!(home.store.remove(&Content::Blob(digest), hour).unwrap(), Removal::TooYoung);
    age(&home.store.blob_path(&digest));
    assert_eq!(home.store.remove(&Content::Blob(digest), hour).unwrap(), Removal::Removed);
}

#[test]
fn many_files_are_hashed_by_several_threads_to_the_same_digest() {
    let home = Home::new();
    for i in 0..40 {
        home.write(&format!("tree/d{}/f{i}", i % 7), &format!("{i}").repeat(200_000));
    }
    let (copied, bytes) = home.store.copy_tree(&home.path("tree"), &all).unwrap();
    assert!(bytes > 8 << 20);
    home.store.remove(&Content::Tree(copied), Duration::ZERO).unwrap();
    assert_eq!(home.store.adopt_tree(&home.path("tree")).unwrap(), (copied, bytes));
    home.store.verify(&Content::Tree(copied)).unwrap();
    home.store.sync(&Content::Tree(copied)).unwrap();
}

#[test]
fn several_threads_store_the_same_thing() {
    let home = Home::new();
    let trees: Vec<_> = (0..4).map(|i| home.sample_tree(&format!("t{i}"))).collect();
    let digests: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = trees.iter().map(|tree| scope.spawn(|| home.store.adopt_tree(tree).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(digests.iter().all(|digest| *digest == digests[0]));
    home.store.verify(&Content::Tree(digests[0].0)).unwrap();
    assert!(home.tmp_is_empty());
}

#[test]
fn another_file_system_means_a_copy() {
    let home = Home::new();
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else {
        println!("not run: no /dev/shm");
        return;
    };
    if fs::metadata(other.path()).unwrap().dev() == fs::metadata(home.dir.path()).unwrap().dev() {
        println!("not run: /dev/shm is the same file system");
        return;
    }
    let file = other.path().join("file");
    fs::write(&file, "data").unwrap();
    let (digest, _) = home.store.adopt_file(&file).unwrap();
    assert!(!file.exists());
    home.store.verify(&Content::Blob(digest)).unwrap();
    let tree = other.path().join("tree");
    fs::create_dir_all(tree.join("sub")).unwrap();
    fs::write(tree.join("sub/a"), "alpha").unwrap();
    let (digest, _) = home.store.adopt_tree(&tree).unwrap();
    assert!(!tree.exists());
    home.store.verify(&Content::Tree(digest)).unwrap();
    assert!(home.tmp_is_empty());
}

/// Runs only where a small tmpfs can be mounted.
#[test]
fn a_full_disk_leaves_nothing_half_written() {
    let dir = tempfile::tempdir().unwrap();
    let options = c"size=256k";
    if rustix::mount::mount("tmpfs", dir.path(), "tmpfs", rustix::mount::MountFlags::empty(), options).is_err() {
        println!("not run: no right to mount a tmpfs");
        return;
    }
    let store = Store::open(&dir.path().join("store")).unwrap();
    let result = store.put_bytes(&vec![1; 1 << 20]);
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("big"), vec![2; 1 << 20]).unwrap();
    let tree = store.copy_tree(source.path(), &all);
    let adopted = store.adopt_file(&source.path().join("big"));
    let listed = store.list();
    let later = store.put_bytes(&[3; 1000]);
    let leftovers = fs::read_dir(dir.path().join("store/tmp")).unwrap().count();
    rustix::mount::unmount(dir.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
    for error in [result.unwrap_err(), tree.unwrap_err(), adopted.unwrap_err()] {
        assert!(matches!(error, ArtifactError::NoSpace { .. }), "{error}");
    }
    assert!(listed.unwrap().is_empty() && leftovers == 0);
    assert!(source.path().join("big").exists());
    later.unwrap();
}

/// Changes the content of a stored file and keeps length and time, as a power cut does.
fn tear(path: &Path) {
    let metadata = fs::metadata(path).unwrap();
    let bytes = fs::read(path).unwrap().len();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, vec![0; bytes]).unwrap();
    let times = fs::FileTimes::new().set_modified(metadata.modified().unwrap());
    fs::File::options().write(true).open(path).unwrap().set_times(times).unwrap();
}

#[test]
fn what_another_boot_stored_is_verified_once_before_it_is_used() {
    let home = Home::new();
    let root = home.path("in-boots");
    let open = |boot: &str| Store::open_in_boot(&root, boot).unwrap();
    let store = open("one");
    let (torn, whole) = (store.put_bytes(b"torn").unwrap(), store.put_bytes(b"whole").unwrap());
    let (tree, _) = store.adopt_tree(&home.sample_tree("t")).unwrap();
    tear(&store.blob_path(&torn));
    tear(&store.tree_path(&tree).join("a"));
    // The death of a process damages nothing: within a boot nothing is read again.
    for store in [store, open("one")] {
        store.check(&Content::Blob(torn)).unwrap();
    }
    let store = open("two");
    store.check(&Content::Blob(whole)).unwrap();
    for content in [Content::Blob(torn), Content::Tree(tree)] {
        assert!(matches!(store.check(&content), Err(ArtifactError::Damaged { .. })), "{content:?}");
        assert!(!store.contains(&content), "it is not taken for the one that is made again");
    }
    assert_eq!(store.put_bytes(b"torn").unwrap(), torn);
    assert_eq!(store.adopt_tree(&home.sample_tree("again")).unwrap().0, tree);
    for content in [Content::Blob(torn), Content::Blob(whole), Content::Tree(tree)] {
        open("two").check(&content).unwrap();
        store.verify(&content).unwrap();
    }
    // What was found whole is not read again.
    tear(&store.blob_path(&whole));
    open("two").check(&Content::Blob(whole)).unwrap();
    // Whoever stores the same again does not take a torn one for it.
    assert_eq!(open("three").put_bytes(b"whole").unwrap(), whole);
    store.verify(&Content::Blob(whole)).unwrap();
}
