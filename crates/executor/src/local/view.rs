//! What a task saw at a path, after its end: looked up in the layers of its sandbox, link by link (DESIGN §5).
//! It must never follow a link out of that view, nor change a file of the machine.

use super::held::Place;
use super::layout::{COVERS, Layout};
use crate::runner::layers;
use model::runner::BindKind;
use std::collections::{BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

/// As the kernel's limit.
const LINKS_MAX: usize = 40;

/// Where the thing at a path really is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The attempt's own: it can be taken.
    Own(PathBuf),
    /// Somebody else's: it can only be copied.
    Foreign(PathBuf),
    /// Somebody else's, and others may write there at this moment: it can only be copied, by what is opened.
    Shared(Place),
    /// A directory whose parts are in several places: `assemble` it. The path is the task's.
    Scattered(PathBuf),
}

/// The files of an attempt that has ended.
pub(crate) struct View<'a> {
    layout: &'a Layout,
    home: PathBuf,
    /// Mounts of the machine that had layers of their own.
    mounts: Vec<PathBuf>,
}

/// The two places in which an entry can be.
#[derive(Debug, Default)]
struct Layers {
    upper: Option<PathBuf>,
    /// The top of `upper`, above which no whiteout counts.
    top: PathBuf,
    /// A second writable place (in user namespaces, for `/` itself).
    side: Option<PathBuf>,
    lower: Option<PathBuf>,
    /// `lower` again, where others may write in it now.
    shared: Option<Place>,
    /// `lower` is the attempt's own.
    own: bool,
    /// What was given to the attempt.
    given: bool,
}

impl<'a> View<'a> {
    pub fn new(layout: &'a Layout, home: &Path) -> Self {
        let entries = fs::read_dir(layout.scratch.join("mounts")).into_iter().flatten().flatten();
        let mounts = entries.map(|entry| layers::point_of(&entry.file_name().to_string_lossy())).collect();
        Self { layout, home: home.to_path_buf(), mounts }
    }

    /// What is at `path`, `None` if nothing is.
    ///
    /// # Errors
    /// Too many links.
    pub fn find(&self, path: &str) -> io::Result<Option<Found>> {
        if !self.layout.sandboxed {
            let path = PathBuf::from(super::layout::absolute(path, &self.layout.directory));
            // The user's own files stay with the user.
            let real = path.canonicalize().ok();
            let own = real.as_ref().is_some_and(|real| real.starts_with(&self.layout.scratch));
            return Ok(real.map(|real| if own { Found::Own(real) } else { Found::Foreign(real) }));
        }
        let directory = &self.layout.directory;
        if let Some(found) = self.find_absolute(&super::layout::absolute(path, directory))? {
            return Ok(Some(found));
        }
        // An image's working directory is usually `/`: what a task writes there by a relative path lies in ours.
        if path.starts_with('/') && directory == super::layout::SOURCE {
            return self.find_absolute(&format!("{directory}{path}"));
        }
        Ok(None)
    }

    fn find_absolute(&self, path: &str) -> io::Result<Option<Found>> {
        Ok(self.resolve(Path::new(path))?.and_then(|path| self.place(&path)))
    }

    /// The path without links.
    fn resolve(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let mut resolved = PathBuf::from("/");
        let mut rest: VecDeque<OsString> = parts(path).collect();
        let mut links = 0;
        while let Some(part) = rest.pop_front() {
            if part == ".." {
                resolved.pop();
                continue;
            }
            let next = resolved.join(&part);
            let Some((real, kind)) = self.entry(&next) else {
                // A mount point need not exist anywhere.
                if self.is_above_bind(&next) {
                    resolved = next;
                    continue;
                }
                return Ok(None);
            };
            if kind.is_symlink() {
                links += 1;
                if links > LINKS_MAX {
                    return Err(io::Error::other("too many levels of symbolic links"));
                }
                let target = fs::read_link(&real)?;
                if target.is_absolute() {
                    resolved = PathBuf::from("/");
                }
                parts(&target).rev().for_each(|part| rest.push_front(part));
            } else {
                resolved = next;
            }
        }
        Ok(Some(resolved))
    }

    fn is_above_bind(&self, path: &Path) -> bool {
        self.layout.binds.iter().any(|bind| Path::new(&bind.to).starts_with(path))
    }

    fn has_mounts_below(&self, path: &Path) -> bool {
        self.layout.binds.iter().any(|bind| Path::new(&bind.to) != path && Path::new(&bind.to).starts_with(path))
    }

    fn layers(&self, path: &Path) -> Layers {
        let scratch = &self.layout.scratch;
        let bind = self.layout.binds.iter().enumerate().rev().filter(|(_, bind)| path.starts_with(&bind.to));
        // The deepest counts, of equal ones the last.
        let bind = bind.reduce(|best, other| if other.1.to.len() > best.1.to.len() { other } else { best });
        if let Some((index, bind)) = bind {
            let rest = path.strip_prefix(&bind.to).unwrap_or(Path::new(""));
            let lower = Some(join(Path::new(&bind.from), rest));
            let own = Path::new(&bind.from).starts_with(scratch) && bind.how == BindKind::Writable;
            if bind.how != BindKind::Overlay {
                let shared = (bind.how == BindKind::Writable && !own)
                    .then(|| Place { base: PathBuf::from(&bind.from), rest: rest.to_path_buf() });
                return Layers { lower, shared, own, given: true, ..Layers::default() };
            }
            let top = self.layout.bind_layer(index).join("upper");
            return Layers { upper: Some(join(&top, rest)), top, lower, given: true, ..Layers::default() };
        }
        if ["/proc", "/sys", "/dev"].iter().any(|gone| path.starts_with(gone)) {
            return Layers::default();
        }
        if let Ok(rest) = path.strip_prefix("/tmp") {
            return Layers { lower: Some(join(&scratch.join("tmp"), rest)), own: true, ..Layers::default() };
        }
        if path.starts_with(&self.home) {
            return Layers::default();
        }
        let mount =
            self.mounts.iter().filter(|point| path.starts_with(point)).max_by_key(|point| point.as_os_str().len());
        let (top, rest) = match mount {
            Some(point) => (layers::layer_of(scratch, point).join("upper"), path.strip_prefix(point)),
            None => (scratch.join("upper"), path.strip_prefix("/")),
        };
        let rest = rest.unwrap_or(Path::new(""));
        let side = mount.is_none().then(|| join(&scratch.join("root"), rest));
        let shared = path.strip_prefix("/").ok().map(|rest| Place { base: "/".into(), rest: rest.to_path_buf() });
        let lower = Some(path.to_path_buf());
        Layers { upper: Some(join(&top, rest)), top, side, lower, shared, ..Layers::default() }
    }

    /// The entry itself, links not followed. Every directory above it has been found to be one.
    fn entry(&self, path: &Path) -> Option<(PathBuf, Metadata)> {
        let layers = self.layers(path);
        let look = |path: &PathBuf| fs::symlink_metadata(path).ok().map(|kind| (path.clone(), kind));
        if let Some(found) = layers.upper.as_ref().and_then(look) {
            return (!is_whiteout(&found.1)).then_some(found);
        }
        if let Some(found) = layers.side.as_ref().and_then(look) {
            return Some(found);
        }
        layers.lower.as_ref().filter(|_| layers.lower_is_seen()).and_then(look)
    }

    fn place(&self, path: &Path) -> Option<Found> {
        let layers = self.layers(path);
        let Some((real, kind)) = self.entry(path) else {
            return self.has_mounts_below(path).then(|| Found::Scattered(path.to_path_buf()));
        };
        if kind.is_dir() && self.has_mounts_below(path) {
            return Some(Found::Scattered(path.to_path_buf()));
        }
        let written = layers.own || layers.upper.as_ref() == Some(&real) || layers.side.as_ref() == Some(&real);
        if !written {
            // Whoever may not read it must not have it read by us: a link to it is not enough.
            let found = layers.shared.map_or(Found::Foreign(real), Found::Shared);
            return (layers.given || !self.layout.strict).then_some(found);
        }
        let below = layers.lower.as_ref().filter(|lower| !layers.own && layers.lower_is_seen() && lower.is_dir());
        let merged = kind.is_dir() && below.is_some() && !is_opaque(&real);
        Some(if merged { Found::Scattered(path.to_path_buf()) } else { Found::Own(real) })
    }

    /// Puts a scattered directory together at `to`, which must not exist. `moves`: what is the attempt's own is moved there.
    ///
    /// # Errors
    /// What could not be read or written.
    pub fn assemble(&self, path: &Path, to: &Path, moves: bool) -> io::Result<()> {
        fs::create_dir_all(to)?;
        for name in self.names(path) {
            let (inside, out) = (path.join(&name), to.join(&name));
            match self.place(&inside) {
                None => {}
                Some(Found::Scattered(_)) => self.assemble(&inside, &out, moves)?,
                Some(Found::Own(real)) if !moves => copy(&real, &out)?,
                Some(Found::Own(real)) => match fs::rename(&real, &out) {
                    Err(error) if error.kind() == io::ErrorKind::CrossesDevices => copy(&real, &out)?,
                    other => other?,
                },
                Some(Found::Foreign(real)) => copy(&real, &out)?,
                Some(Found::Shared(place)) => place.copy(&out)?,
            }
        }
        if let Some((_, kind)) = self.entry(path) {
            fs::set_permissions(to, fs::Permissions::from_mode(kind.mode() & 0o7777))?;
        }
        Ok(())
    }

    fn names(&self, path: &Path) -> BTreeSet<OsString> {
        let layers = self.layers(path);
        let lower = layers.lower.clone().filter(|_| layers.lower_is_seen());
        let upper = layers.upper.clone();
        let lower = lower.filter(|_| !upper.as_ref().is_some_and(|upper| is_opaque(upper)));
        let dirs = [upper, layers.side, lower];
        let listed = dirs.into_iter().flatten().flat_map(|dir| fs::read_dir(dir).into_iter().flatten().flatten());
        let mut names: BTreeSet<OsString> = listed.map(|entry| entry.file_name()).collect();
        let binds = self.layout.binds.iter().filter_map(|bind| Path::new(&bind.to).strip_prefix(path).ok());
        names.extend(binds.filter_map(|rest| rest.components().next().map(|part| part.as_os_str().to_os_string())));
        names
    }

    /// The directories that hold what the task wrote, and nothing else: each with its path as the task saw it, and whether files of
    /// others could be seen below it.
    pub fn written_places(&self) -> Vec<(PathBuf, PathBuf, bool)> {
        let scratch = &self.layout.scratch;
        let mut places: Vec<_> =
            ["upper", "root"].into_iter().map(|top| (scratch.join(top), PathBuf::from("/"), true)).collect();
        places.push((scratch.join("tmp"), PathBuf::from("/tmp"), false));
        places.extend(
            self.mounts.iter().map(|point| (layers::layer_of(scratch, point).join("upper"), point.clone(), true)),
        );
        for (index, bind) in self.layout.binds.iter().enumerate() {
            let to = PathBuf::from(&bind.to);
            if bind.how == BindKind::Overlay {
                places.push((self.layout.bind_layer(index).join("upper"), to, true));
            } else if bind.how == BindKind::Writable
                && ["volumes", COVERS].iter().any(|own| Path::new(&bind.from).starts_with(scratch.join(own)))
            {
                places.push((PathBuf::from(&bind.from), to, false));
            }
        }
        places
    }

    /// Whether something was laid at this very path: what lies below it in a layer is a mount point of ours.
    pub fn is_laid(&self, path: &Path) -> bool {
        self.layout.binds.iter().any(|bind| Path::new(&bind.to) == path)
            || self.mounts.iter().any(|point| point == path)
    }

    /// What others have at a path of the task.
    pub fn lower(&self, path: &Path) -> Option<PathBuf> {
        self.layers(path).lower
    }

    /// Copies what the task wrote at a path of its own, as `copy_written`.
    ///
    /// # Errors
    /// What could not be read or written.
    pub fn copy_found(&self, path: &str, to: &Path) -> io::Result<u64> {
        match self.find(path)? {
            Some(Found::Own(real)) => copy_own(&real, to),
            Some(Found::Scattered(path)) => self.copy_written(&path, to),
            None | Some(Found::Foreign(_) | Found::Shared(_)) => Ok(0),
        }
    }

    /// Puts together at `to`, which must not exist, what the task itself wrote at or below `path`. Answers how many things were
    /// left out because they are neither file, directory nor link.
    ///
    /// # Errors
    /// What could not be read or written.
    pub fn copy_written(&self, path: &Path, to: &Path) -> io::Result<u64> {
        match self.place(path) {
            None | Some(Found::Foreign(_) | Found::Shared(_)) => Ok(0),
            Some(Found::Own(real)) => copy_own(&real, to),
            Some(Found::Scattered(_)) => {
                fs::create_dir_all(to)?;
                let mut left_out = 0;
                for name in self.names(path) {
                    left_out += self.copy_written(&path.join(&name), &to.join(&name))?;
                }
                Ok(left_out)
            }
        }
    }
}

/// As `copy`, of what a task wrote: what stands for something that it removed is left out.
fn copy_own(from: &Path, to: &Path) -> io::Result<u64> {
    let kind = fs::symlink_metadata(from)?;
    if kind.is_dir() {
        fs::create_dir_all(to)?;
        let mut left_out = 0;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            left_out += copy_own(&entry.path(), &to.join(entry.file_name()))?;
        }
        fs::set_permissions(to, fs::Permissions::from_mode(kind.mode() & 0o777 | 0o700))?;
        return Ok(left_out);
    }
    if kind.is_symlink() || kind.is_file() {
        return copy(from, to).map(|()| 0);
    }
    Ok(u64::from(!is_whiteout(&kind)))
}

impl Layers {
    /// False below a directory that the task removed or replaced.
    fn lower_is_seen(&self) -> bool {
        let Some(upper) = &self.upper else { return true };
        let Ok(rest) = upper.strip_prefix(&self.top) else { return true };
        let mut at = self.top.clone();
        let mut parents = rest.components().collect::<Vec<_>>();
        parents.pop();
        for part in parents {
            at.push(part);
            match fs::symlink_metadata(&at) {
                Ok(kind) if !kind.is_dir() || is_opaque(&at) => return false,
                Ok(_) => {}
                Err(_) => return true,
            }
        }
        true
    }
}

/// `path/rest` without a slash at the end, which would follow a link.
fn join(path: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { path.to_path_buf() } else { path.join(rest) }
}

fn parts(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_os_string()),
        Component::ParentDir => Some(OsStr::new("..").to_os_string()),
        _ => None,
    });
    parts.collect::<Vec<_>>().into_iter()
}

pub(crate) fn is_whiteout(kind: &Metadata) -> bool {
    kind.file_type().is_char_device() && kind.rdev() == 0
}

fn is_opaque(dir: &Path) -> bool {
    let mut value = [0_u8; 8];
    ["trusted.overlay.opaque", "user.overlay.opaque"]
        .iter()
        .any(|name| rustix::fs::lgetxattr(dir, *name, &mut value[..]).is_ok_and(|length| value[..length] == *b"y"))
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let kind = fs::symlink_metadata(from)?;
    if kind.is_symlink() {
        symlink(fs::read_link(from)?, to)
    } else if kind.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        fs::set_permissions(to, fs::Permissions::from_mode(kind.mode() & 0o7777))
    } else if kind.is_file() {
        fs::copy(from, to)?;
        // Not a task's setuid programs.
        fs::set_permissions(to, fs::Permissions::from_mode(kind.mode() & 0o777))
    } else {
        Err(io::Error::other(format!("{} is neither file, directory nor link", from.display())))
    }
}
