//! Names in memory: a root with files and one level of directories, answering errors as a file
//! system does. What a file is, is the user's choice.

use std::collections::BTreeMap;
use std::io;

use super::backend::{Entry, EntryKind, FileName, FilePath};

#[derive(Clone, Debug)]
pub(super) struct Tree<F> {
    root: BTreeMap<FileName, Node<F>>,
}

#[derive(Clone, Debug)]
enum Node<F> {
    File(F),
    Directory(BTreeMap<FileName, F>),
}

impl<F> Default for Tree<F> {
    fn default() -> Self {
        Self { root: BTreeMap::new() }
    }
}

impl<F: Clone> Tree<F> {
    /// The files of a sub-directory.
    fn inside(&self, dir: &FileName) -> io::Result<&BTreeMap<FileName, F>> {
        match self.root.get(dir) {
            Some(Node::Directory(files)) => Ok(files),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn inside_mut(&mut self, dir: &FileName) -> io::Result<&mut BTreeMap<FileName, F>> {
        match self.root.get_mut(dir) {
            Some(Node::Directory(files)) => Ok(files),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// An error unless the directory exists.
    pub(super) fn check_dir(&self, dir: Option<&FileName>) -> io::Result<()> {
        dir.map_or(Ok(()), |dir| self.inside(dir).map(drop))
    }

    /// The file of this name.
    pub(super) fn file(&self, path: &FilePath) -> io::Result<&F> {
        match &path.dir {
            Some(dir) => self.inside(dir)?.get(&path.name).ok_or(io::ErrorKind::NotFound.into()),
            None => match self.root.get(&path.name) {
                Some(Node::File(file)) => Ok(file),
                Some(Node::Directory(_)) => Err(io::ErrorKind::IsADirectory.into()),
                None => Err(io::ErrorKind::NotFound.into()),
            },
        }
    }

    /// An error unless a new file may have this name.
    pub(super) fn check_free(&self, path: &FilePath) -> io::Result<()> {
        let taken = match &path.dir {
            Some(dir) => self.inside(dir)?.contains_key(&path.name),
            None => self.root.contains_key(&path.name),
        };
        if taken { Err(io::ErrorKind::AlreadyExists.into()) } else { Ok(()) }
    }

    /// Puts a file under a free name.
    pub(super) fn create(&mut self, path: &FilePath, file: F) -> io::Result<()> {
        self.check_free(path)?;
        self.put(path, file)
    }

    fn put(&mut self, path: &FilePath, file: F) -> io::Result<()> {
        match &path.dir {
            Some(dir) => drop(self.inside_mut(dir)?.insert(path.name.clone(), file)),
            None => drop(self.root.insert(path.name.clone(), Node::File(file))),
        }
        Ok(())
    }

    /// Takes a file away.
    pub(super) fn remove(&mut self, path: &FilePath) -> io::Result<F> {
        let file = self.file(path)?.clone();
        match &path.dir {
            Some(dir) => drop(self.inside_mut(dir)?.remove(&path.name)),
            None => drop(self.root.remove(&path.name)),
        }
        Ok(file)
    }

    /// Renames a file within its directory, over another file if need be.
    pub(super) fn rename(
        &mut self,
        dir: Option<&FileName>,
        from: &FileName,
        to: &FileName,
    ) -> io::Result<()> {
        let path = |name: &FileName| FilePath { dir: dir.cloned(), name: name.clone() };
        let (from, to) = (path(from), path(to));
        self.file(&from)?;
        match self.file(&to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = self.remove(&from)?;
        self.put(&to, file)
    }

    /// What a directory holds, in name order.
    pub(super) fn list(&self, dir: Option<&FileName>) -> io::Result<Vec<Entry>> {
        let entry = |name: &FileName, kind| Entry { name: Some(name.clone()), kind };
        Ok(match dir {
            Some(dir) => {
                self.inside(dir)?.keys().map(|name| entry(name, EntryKind::File)).collect()
            }
            None => {
                let kind = |node: &Node<F>| match node {
                    Node::File(_) => EntryKind::File,
                    Node::Directory(_) => EntryKind::Directory,
                };
                self.root.iter().map(|(name, node)| entry(name, kind(node))).collect()
            }
        })
    }

    /// Makes an empty directory under a free name.
    pub(super) fn create_dir(&mut self, dir: &FileName) -> io::Result<()> {
        self.check_free(&FilePath::root(dir.clone()))?;
        self.root.insert(dir.clone(), Node::Directory(BTreeMap::new()));
        Ok(())
    }

    /// Gives a directory a free name.
    pub(super) fn rename_dir(&mut self, from: &FileName, to: &FileName) -> io::Result<()> {
        self.inside(from)?;
        self.check_free(&FilePath::root(to.clone()))?;
        if let Some(node) = self.root.remove(from) {
            self.root.insert(to.clone(), node);
        }
        Ok(())
    }

    /// Takes an empty directory away.
    pub(super) fn remove_dir(&mut self, dir: &FileName) -> io::Result<()> {
        if !self.inside(dir)?.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        self.root.remove(dir);
        Ok(())
    }

    /// All files with their names.
    /// The same names for other files.
    #[cfg(feature = "testing")]
    pub(super) fn map(&self, of: impl Fn(&F) -> F) -> Self {
        let node = |node: &Node<F>| match node {
            Node::File(file) => Node::File(of(file)),
            Node::Directory(files) => {
                Node::Directory(files.iter().map(|(name, file)| (name.clone(), of(file))).collect())
            }
        };
        Self { root: self.root.iter().map(|(name, found)| (name.clone(), node(found))).collect() }
    }

    #[cfg(feature = "testing")]
    pub(super) fn files(&self) -> impl Iterator<Item = (Option<&FileName>, &FileName, &F)> {
        self.root.iter().flat_map(|(name, node)| {
            let (own, inner) = match node {
                Node::File(file) => (Some((None, name, file)), None),
                Node::Directory(files) => {
                    (None, Some(files.iter().map(move |(inner, file)| (Some(name), inner, file))))
                }
            };
            own.into_iter().chain(inner.into_iter().flatten())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_lists_every_file_once() {
        let name = |text| FileName::new(text).unwrap();
        let mut tree = Tree::default();
        tree.create_dir(&name("t-0")).unwrap();
        tree.create(&FilePath::within(&name("t-0"), name("b")), 2).unwrap();
        tree.create(&FilePath::root(name("a")), 1).unwrap();
        let found: Vec<_> = tree.files().map(|(_, name, file)| (name.as_str(), *file)).collect();
        assert_eq!(found, [("a", 1), ("b", 2)]);
        tree.rename_dir(&name("t-0"), &name("a")).unwrap_err();
        tree.rename_dir(&name("t-0"), &name("t-1")).unwrap();
        assert_eq!(tree.file(&FilePath::within(&name("t-1"), name("b"))).unwrap(), &2);
    }
}
